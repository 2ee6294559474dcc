"""Building an application for a board: model -> export -> compile -> admission -> signed package.

The result lies in build/apps/<app>/<board>/ and is reused while nothing that shaped it changed.
"""

import hashlib
import importlib.metadata
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.appfile import VARIANTS, App, load_app
from host.boards import BUILD, ROOT, Board, load_board
from host.errors import DoesNotFitError, UsageError
from host.flash.lock import locked
from host.package import keys
from host.package.evidence import evidence_bytes
from host.package.write import (
    LiteVariant,
    PackageHead,
    PackageMode,
    PackageTask,
    ReplaySource,
    SelfTestVector,
    write_package,
)
from host.progress import Progress, silent
from host.schedule.admit import TaskTiming, Verdict, admit_tasks
from host.schedule.modes import admit_modes
from protocol import replay

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel

APPS = ROOT / "host" / "apps"
_SHAPING = ("appfile.py", "build.py", "boards.py", "export", "compile", "schedule", "package")
_VERSIONED = ("torch", "torchao", "executorch", "numpy", "scikit-learn")
_SELFTESTS = 2
RESULT_BYTES = 16  # TAC_RESULT_BYTES of sched/sched.h: what a result record carries of an output
ARENA_ALIGN = 16


@dataclass(frozen=True, slots=True)
class BuiltApp:
    """A finished build: files by name, and the report that says everything about them."""

    folder: Path
    board: Board
    report: dict[str, Any]

    @property
    def package(self) -> bytes:
        """The signed package."""
        return (self.folder / "app.tpk").read_bytes()

    @property
    def replay(self) -> bytes:
        """The recorded sensor data of its replay sources."""
        return (self.folder / "replay.bin").read_bytes()

    def timings(self) -> list[TaskTiming]:
        """Timing of each task, for the admission test."""
        return [
            TaskTiming(
                row["name"],
                row["budget_us"],
                row["period_us"],
                row["deadline_us"],
                row["longest_op_us"],
            )
            for row in self.report["tasks"]
        ]

    def expected(self, task: str) -> npt.NDArray[np.int8]:
        """Reference outputs of all evaluation windows, int8 [windows, output bytes]."""
        with np.load(self.folder / "expected.npz") as arrays:
            outputs: npt.NDArray[np.int8] = arrays[f"{task}.output"]
        return outputs

    def truth(self, task: str) -> npt.NDArray[np.int64]:
        """Right labels of all evaluation windows, int64 [windows]."""
        with np.load(self.folder / "expected.npz") as arrays:
            labels: npt.NDArray[np.int64] = arrays[f"{task}.truth"]
        return labels


def find_app(name: str) -> App:
    """Load an application by the name of one in host/apps, or by its folder or app.toml."""
    for path in (Path(name) / "app.toml", Path(name), APPS / name / "app.toml"):
        if path.is_file():
            return load_app(path)
    known = sorted(path.parent.name for path in APPS.glob("*/app.toml"))
    raise UsageError(
        f"no application {name!r}: no folder with an app.toml, none of that name in host/apps",
        f"choose one of: {', '.join(known)}; or name a folder that holds app.toml",
    )


def build_app(name: str, board_name: str, progress: Progress = silent) -> BuiltApp:
    """Build an application for a board, or take the finished build if nothing changed.

    Raises UsageError (app.toml, model.py), UnsupportedOperatorError, DoesNotFitError (RAM, flash,
    time).
    """
    app, board = find_app(name), load_board(board_name)
    key = keys.demo_key()
    folder = BUILD / "apps" / app.name / board.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _build(app, board, key, folder, progress)


def _build(
    app: App, board: Board, key: Ed25519PrivateKey, folder: Path, progress: Progress
) -> BuiltApp:
    fingerprint = _fingerprint(app, board, keys.public_bytes(key))
    report_file = folder / "report.json"
    if report_file.is_file():
        report = json.loads(report_file.read_text())
        if report.get("fingerprint") == fingerprint:
            return BuiltApp(folder, board, report)

    from host.compile.compile import compile_model
    from host.export.program import export_model
    from host.export.spec import load_spec

    exported, compiled = [], []
    for index, task in enumerate(app.tasks):
        share = 1 / len(app.tasks)
        progress("training, exporting, compiling", index * share)
        exported.append(export_model(load_spec(app, task)))
        compiled.append(compile_model(exported[-1], board, task.keep_input))
    lites = _lite_variants(app, board, compiled)
    _check_outputs(app, compiled)
    verdict = _admit(app, board, compiled, lites)
    tasks = _package_tasks(app, board, exported, compiled, lites)
    progress("running the reference", None)
    expected = {
        task.name: model.reference(model.evaluation_inputs())
        for task, model in zip(app.tasks, exported, strict=True)
    }
    tasks = [
        _with_selftests(task, model, expected[task.name])
        for task, model in zip(tasks, exported, strict=True)
    ]
    evidence = _evidence(app, board, exported, compiled, verdict)
    head = PackageHead(app.name, app.version, app.counter, board.device_class)
    modes = _package_modes(app)
    package = write_package(head, tasks, evidence, key, board.flash.slot_bytes, modes)
    report = _report(app, board, exported, tasks, package, verdict)
    report["fingerprint"] = fingerprint
    report["signer"] = f"demo key {keys.key_id(keys.public_bytes(key)).hex()}"
    report["package"] = str((folder / "app.tpk").relative_to(ROOT))

    folder.mkdir(parents=True, exist_ok=True)
    report_file.unlink(missing_ok=True)  # last to be written, first to go: it vouches for the rest
    (folder / "app.tpk").write_bytes(package)
    (folder / "app.evidence.json").write_bytes(evidence)
    (folder / "replay.bin").write_bytes(_replay(board, exported))
    arrays: dict[str, npt.NDArray[Any]] = {
        f"{task.name}.output": expected[task.name] for task in app.tasks
    }
    arrays |= {
        f"{task.name}.truth": model.spec.truth
        for task, model in zip(app.tasks, exported, strict=True)
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "expected.npz").write_bytes(buffer.getvalue())
    report_file.write_text(json.dumps(report, indent=1, sort_keys=True))
    return BuiltApp(folder, board, report)


def _fingerprint(app: App, board: Board, public_key: bytes) -> str:
    """Digest of everything that shapes a build."""
    digest = hashlib.sha256(public_key)
    for name in _VERSIONED:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    own = [board.folder / "board.toml", *(ROOT / "host" / name for name in _SHAPING)]
    for top in (app.path.parent, *own, ROOT / "protocol"):
        for file in _files(top):
            data = file.read_bytes()
            digest.update(f"{file.relative_to(top)} {len(data)}\0".encode() + data)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Every file that an application or a part of the host consists of."""
    if path.is_file():
        yield path
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def _lite_variants(
    app: App, board: Board, compiled: list["CompiledModel"]
) -> list[LiteVariant | None]:
    """Compile the lite variants; None for a task without one. Raises DoesNotFitError for one that is not lighter."""
    from host.compile.compile import compile_model
    from host.export.program import export_model
    from host.export.spec import load_spec

    found: list[LiteVariant | None] = []
    for task, full in zip(app.tasks, compiled, strict=True):
        if task.lite is None:
            found.append(None)
            continue
        exported = export_model(load_spec(app, task.in_variant("lite")))
        lite = compile_model(exported, board, task.keep_input)
        if lite.budget_us > full.budget_us or lite.longest_op_us > full.longest_op_us:
            raise DoesNotFitError(
                f"{app.path}: the lite variant of task {task.name!r} needs {lite.budget_us} us, "
                f"its longest op {lite.longest_op_us}; the full one {full.budget_us} and {full.longest_op_us}",
                f"make {task.lite!r} smaller than {task.model!r}",
            )
        for side, own, other in (
            ("input", lite.input, full.input),
            ("output", lite.output, full.output),
        ):
            if own.size_bytes != other.size_bytes:
                raise UsageError(
                    f"{app.path}: the lite variant of task {task.name!r} has {own.size_bytes} {side} bytes, "
                    f"the full one {other.size_bytes}",
                    f"give {task.lite!r} the {side} of {task.model!r}",
                )
        inputs = exported.evaluation_inputs()
        found.append(LiteVariant(lite, _selftests(inputs, exported.reference(inputs))))
    return found


def _package_modes(app: App) -> list[PackageMode]:
    return [
        PackageMode(
            mode.name,
            tuple(
                (task.period_us, task.deadline_us, VARIANTS.index(task.variant)) if task else None
                for task in mode.tasks
            ),
        )
        for mode in app.modes
    ]


def _check_outputs(app: App, compiled: list["CompiledModel"]) -> None:
    for task, model in zip(app.tasks, compiled, strict=True):
        if model.output.size_bytes > RESULT_BYTES:
            raise DoesNotFitError(
                f"{app.path}: task {task.name!r} has {model.output.size_bytes} output bytes, "
                f"a result record carries {RESULT_BYTES}",
                f"end the model in at most {RESULT_BYTES} values",
            )


def _admit(
    app: App,
    board: Board,
    compiled: list["CompiledModel"],
    lites: list[LiteVariant | None],
) -> Verdict:
    """Check declared budgets, then the admission test for every mode. Raises DoesNotFitError."""
    timings = []
    for task, model in zip(app.tasks, compiled, strict=True):
        if task.budget_us is not None and model.budget_us > task.budget_us:
            raise DoesNotFitError(
                f"{app.path}: task {task.name!r} needs {model.budget_us} us, "
                f"its budget_us says {task.budget_us}",
                f"raise budget_us to {model.budget_us}, or make the model smaller",
            )
        timings.append(
            TaskTiming(
                task.name, model.budget_us, task.period_us, task.deadline_us, model.longest_op_us
            )
        )
    verdict = admit_tasks(board, timings)
    light = [
        replace(timing, budget_us=lite.model.budget_us, longest_op_us=lite.model.longest_op_us)
        if lite
        else None
        for timing, lite in zip(timings, lites, strict=True)
    ]
    admit_modes(board, app, timings, light)
    return verdict


def _package_tasks(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    compiled: list["CompiledModel"],
    lites: list[LiteVariant | None],
) -> list[PackageTask]:
    """Lay the arenas of the tasks one after the other: jobs may interleave between any two ops."""
    tasks, offset = [], 0
    for task, model, plan, lite in zip(app.tasks, exported, compiled, lites, strict=True):
        record = model.spec.record
        tasks.append(
            PackageTask(
                name=task.name,
                model=plan,
                arena_offset=offset,
                period_us=task.period_us,
                deadline_us=task.deadline_us,
                policy=task.policy,
                labels=model.spec.labels,
                source=ReplaySource(record.name, record.lsb, record.window, record.hop),
                selftests=(),
                post=task.post,
                lite=lite,
            )
        )
        offset += -(-tasks[-1].arena_bytes // ARENA_ALIGN) * ARENA_ALIGN
    if offset > board.arena_bytes:
        needs = ", ".join(f"{task.name} {task.arena_bytes}" for task in tasks)
        raise DoesNotFitError(
            f"the arenas need {offset} bytes of RAM ({needs}), {board.name} gives {board.arena_bytes}",
            f"make the models smaller by {offset - board.arena_bytes} bytes of activations, "
            "or drop a task",
        )
    return tasks


def _with_selftests(
    task: PackageTask, model: "ExportedModel", expected: npt.NDArray[np.int8]
) -> PackageTask:
    """Add windows of different answers as self-test vectors."""
    return replace(task, selftests=_selftests(model.evaluation_inputs(), expected))


def _selftests(
    inputs: npt.NDArray[np.int8], expected: npt.NDArray[np.int8]
) -> tuple[SelfTestVector, ...]:
    answers = expected.argmax(axis=1)
    chosen = [int(np.flatnonzero(answers == answer)[0]) for answer in np.unique(answers)]
    return tuple(
        SelfTestVector(inputs[index].tobytes(), expected[index].tobytes())
        for index in chosen[:_SELFTESTS]
    )


def _evidence(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    compiled: list["CompiledModel"],
    verdict: Verdict,
) -> bytes:
    return evidence_bytes(
        app.name,
        app.version,
        board.name,
        compiled,
        exported[0].evidence["versions"],
        {
            "fallback": app.fallback,
            "export": {model.name: model.evidence for model in exported},
            "admission": asdict(verdict),
        },
    )


def _replay(board: Board, exported: list["ExportedModel"]) -> bytes:
    """The records of all replay sources. Raises DoesNotFitError for more than the board's region."""
    records = {model.spec.record.name: model.spec.record for model in exported}
    image = replay.build(
        [
            (
                record.name,
                record.counts.astype("<i2").tobytes(),
                record.counts.shape[1],
                record.starts.tolist(),
            )
            for record in records.values()
        ]
    )
    if len(image) > board.flash.replay_bytes:
        raise DoesNotFitError(
            f"the recorded data has {len(image)} bytes, {board.name} keeps {board.flash.replay_bytes}",
            "evaluate on fewer or shorter windows",
        )
    return image


def _report(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    tasks: list[PackageTask],
    package: bytes,
    verdict: Verdict,
) -> dict[str, Any]:
    rows = []
    for task, model in zip(tasks, exported, strict=True):
        plan = task.model
        rows.append(
            {
                "name": task.name,
                "ops": len(plan.ops),
                "image_bytes": len(plan.image),
                "pte_bytes": plan.pte_bytes,
                "arena_bytes": plan.arena_bytes,
                "arena_lower_bound_bytes": plan.arena_lower_bound_bytes,
                "plan_optimal": plan.plan_optimal,
                "keep_input_bytes": plan.keep_input_bytes,
                "arena_offset": task.arena_offset,
                "period_us": task.period_us,
                "deadline_us": task.deadline_us,
                "budget_us": plan.budget_us,
                "policy": task.policy,
                "longest_op_us": plan.longest_op_us,
                "windows": len(model.spec.truth),
                "labels": list(task.labels),
                "accuracy": {
                    "float": model.float_accuracy(),
                    "quantized": model.quantized_accuracy(),
                },
                "op_table": [asdict(op) for op in plan.ops],
                "buffers": [asdict(buffer) for buffer in plan.buffers],
            }
        )
    return {
        "app": app.name,
        "version": app.version,
        "board": board.name,
        "package_bytes": len(package),
        "package_sha256": hashlib.sha256(package).hexdigest(),
        "pte_bytes": sum(row["pte_bytes"] for row in rows),
        "arena_bytes": sum(row["arena_bytes"] for row in rows),
        "arena_lower_bound_bytes": sum(row["arena_lower_bound_bytes"] for row in rows),
        "utilization_percent": verdict.utilization_percent,
        "slack_us": verdict.slack_us,
        "tightest": verdict.tightest,
        "versions": exported[0].evidence["versions"],
        "tasks": rows,
    }
