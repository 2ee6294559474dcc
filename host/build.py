"""Building an application for a board: model -> export -> compile -> admission -> signed package.

The result lies in build/apps/<app>/<board>/ and is reused while nothing that shaped it changed.
"""

import hashlib
import importlib.metadata
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from host.answers import right_answers
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
from host.schedule.admit import TaskTiming, Verdict, admit_tasks, op_limits_us
from host.schedule.modes import admit_modes
from host.schedule.share import Arenas, lay_apart, run_whole, share_arenas
from host.schedule.trial import trial_of
from host.schedule.wcet_table import (
    WcetTable,
    declare,
    find_table,
    image_digest,
    tables_folder,
)
from protocol import replay

if TYPE_CHECKING:
    from host.compile.result import CompiledModel, TensorInfo
    from host.export.program import ExportedModel

APPS = ROOT / "host" / "apps"
_SHAPING = (
    "appfile.py",
    "answers.py",
    "build.py",
    "boards.py",
    "export",
    "compile",
    "schedule",
    "package",
)
_VERSIONED = ("torch", "torchao", "executorch", "numpy", "scikit-learn")
_SELFTESTS = 2
RESULT_BYTES = 16  # TAC_RESULT_BYTES of sched/sched.h: what a result record carries of an output


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
        """Right outputs of all evaluation windows, as bytes: int8 [windows, output bytes]."""
        with np.load(self.folder / "expected.npz") as arrays:
            outputs: npt.NDArray[np.int8] = arrays[f"{task}.output"]
        return outputs

    def values(self, task: str, outputs: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
        """Outputs of a task as the numbers that their bytes are, [windows, values]."""
        row = next(row for row in self.report["tasks"] if row["name"] == task)
        return outputs.view(row["output_type"])

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


def build_app(
    name: str, board_name: str, progress: Progress = silent, signer: keys.Signer | None = None
) -> BuiltApp:
    """Build an application for a board, or take the finished build if nothing changed.

    Signed with the demo key of this checkout unless there is another `signer`.

    Raises UsageError (app.toml, model.py), UnsupportedOperatorError, DoesNotFitError (RAM, flash,
    time).
    """
    app, board = find_app(name), load_board(board_name)
    signer = signer or keys.demo_signer()
    folder = BUILD / "apps" / app.name / board.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _build(app, board, signer, folder, progress)


def _build(
    app: App, board: Board, signer: keys.Signer, folder: Path, progress: Progress
) -> BuiltApp:
    fingerprint = _fingerprint(app, board, signer.identity)
    report_file = folder / "report.json"
    if report_file.is_file():
        report = json.loads(report_file.read_text())
        if report.get("fingerprint") == fingerprint:
            return BuiltApp(folder, board, report)

    from host.export.program import export_model
    from host.export.spec import load_spec

    exported = []
    for index, task in enumerate(app.tasks):
        progress("training, exporting", index / len(app.tasks))
        exported.append(export_model(load_spec(app, task), task.precision == "float32"))
    progress("compiling", None)
    compiled, tables = _compile(app, board, exported)
    lites = _lite_variants(app, board, compiled)
    _check_outputs(app, compiled)
    timings = _timings(app, compiled)
    arenas = _arenas(app, board, timings, compiled, lites)
    timings = list(run_whole(timings, arenas.whole))
    verdict = admit_tasks(board, timings)
    admit_modes(board, app, timings, _lite_timings(timings, lites))
    tasks = _package_tasks(app, board, exported, compiled, lites, arenas)
    progress("running the reference", None)
    expected = {
        task.name: right_answers(model, plan, model.evaluation_inputs())
        for task, model, plan in zip(app.tasks, exported, compiled, strict=True)
    }
    tasks = [
        _with_selftests(task, model, expected[task.name])
        for task, model in zip(tasks, exported, strict=True)
    ]
    evidence = _evidence(app, board, exported, compiled, verdict, tables)
    head = PackageHead(app.name, app.version, app.counter, board.device_class)
    modes = _package_modes(app)
    trial = trial_of(app, board, timings, _lite_timings(timings, lites))
    package = write_package(head, tasks, evidence, signer, board.flash.slot_bytes, modes, trial)
    report = _report(app, board, exported, tasks, package, verdict)
    report["fingerprint"] = fingerprint
    report["signer"] = signer.name
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


def _fingerprint(app: App, board: Board, signer: bytes) -> str:
    """Digest of everything that shapes a build."""
    digest = hashlib.sha256(signer)
    for name in _VERSIONED:
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    own = [board.folder / "board.toml", *(ROOT / "host" / name for name in _SHAPING)]
    own += [ROOT / "device" / "engine", tables_folder(board)]  # what measured times belong to
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
        exported = export_model(
            load_spec(app, task.in_variant("lite")), task.precision == "float32"
        )
        lite = compile_model(exported, board, task.keep_input, longest_us=full.longest_op_us)
        table = find_table(board, lite, app.path.parent)
        lite = declare(lite, table) if table else lite
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
        expected = right_answers(exported, lite, inputs)
        found.append(LiteVariant(lite, _selftests(inputs, expected, lite.output)))
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
            most = RESULT_BYTES * model.output.elements // model.output.size_bytes
            raise DoesNotFitError(
                f"{app.path}: task {task.name!r} ends in {model.output.elements} values of "
                f"{model.output.dtype}, {model.output.size_bytes} bytes; "
                f"a result record carries {RESULT_BYTES} bytes of an output",
                f"end the model in at most {most} values of {model.output.dtype}",
            )


def _compile(
    app: App, board: Board, exported: list["ExportedModel"]
) -> tuple[list["CompiledModel"], list[WcetTable | None]]:
    """Compile all models, with ops cut into row tiles until the task set is admitted.

    Raises DoesNotFitError, with what falls short, when shorter ops do not help or cannot be had.
    """
    from host.compile.compile import compile_model

    longest: list[int | None] = [None] * len(exported)
    while True:
        compiled, tables = [], []
        for task, model, limit in zip(app.tasks, exported, longest, strict=True):
            plan = compile_model(model, board, task.keep_input, longest_us=limit)
            tables.append(find_table(board, plan, app.path.parent))
            compiled.append(declare(plan, tables[-1]) if tables[-1] else plan)
        timings = _timings(app, compiled)
        try:
            admit_tasks(board, timings)
        except DoesNotFitError:
            shorter = shorter_ops(board, timings, longest)
            if shorter is None:
                raise
            longest = shorter
        else:
            return compiled, tables


def shorter_ops(
    board: Board, timings: list[TaskTiming], longest: list[int | None]
) -> list[int | None] | None:
    """The op lengths to compile for next, us; None when no op is too long or the compiler could not.

    A limit only ever falls, and a model that kept no limit is not asked twice for the same: it ends.
    """
    limits = op_limits_us(board, timings)
    asked = list(longest)
    for index, (task, limit) in enumerate(zip(timings, limits, strict=True)):
        before = longest[index]
        if task.longest_op_us > limit > 0 and (before is None or limit < before):
            asked[index] = limit
    return asked if asked != longest else None


def _timings(app: App, compiled: list["CompiledModel"]) -> list[TaskTiming]:
    """What the models need. Raises DoesNotFitError for one above its declared budget."""
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
    return timings


def _lite_timings(
    timings: Sequence[TaskTiming], lites: Sequence[LiteVariant | None]
) -> list[TaskTiming | None]:
    """The timings of the lite variants; what runs whole does so in both."""
    return [
        replace(
            timing,
            budget_us=lite.model.budget_us,
            longest_op_us=lite.model.budget_us
            if timing.longest_op_us == timing.budget_us
            else lite.model.longest_op_us,
        )
        if lite
        else None
        for timing, lite in zip(timings, lites, strict=True)
    ]


def _arenas(
    app: App,
    board: Board,
    timings: Sequence[TaskTiming],
    compiled: Sequence["CompiledModel"],
    lites: Sequence[LiteVariant | None],
) -> Arenas:
    """Where the arenas lie; an application with modes shares none: an order of deadlines need not hold in all."""
    sizes = [
        max(full.arena_bytes, lite.model.arena_bytes if lite else 0)
        for full, lite in zip(compiled, lites, strict=True)
    ]
    return lay_apart(timings, sizes) if app.modes else share_arenas(board, timings, sizes)


def _package_tasks(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    compiled: list["CompiledModel"],
    lites: list[LiteVariant | None],
    arenas: Arenas,
) -> list[PackageTask]:
    """The tasks with their arenas: shared where jobs never interleave, else one after the other."""
    tasks = []
    listed = zip(app.tasks, exported, compiled, lites, strict=True)
    for index, (task, model, plan, lite) in enumerate(listed):
        record = model.spec.record
        tasks.append(
            PackageTask(
                name=task.name,
                model=plan,
                arena_offset=arenas.offsets[index],
                whole=arenas.whole[index],
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
    if arenas.total_bytes > board.arena_bytes:
        needs = ", ".join(f"{task.name} {task.arena_bytes}" for task in tasks)
        raise DoesNotFitError(
            f"the arenas need {arenas.total_bytes} bytes of RAM ({needs}), "
            f"{board.name} gives {board.arena_bytes}",
            f"make the models smaller by {arenas.total_bytes - board.arena_bytes} bytes of activations, "
            "or drop a task",
        )
    return tasks


def _with_selftests(
    task: PackageTask, model: "ExportedModel", expected: npt.NDArray[np.int8]
) -> PackageTask:
    """Add windows of different answers as self-test vectors."""
    vectors = _selftests(model.evaluation_inputs(), expected, task.model.output)
    return replace(task, selftests=vectors)


def _selftests(
    inputs: npt.NDArray[np.int8], expected: npt.NDArray[np.int8], output: "TensorInfo"
) -> tuple[SelfTestVector, ...]:
    answers = expected.view(output.numpy_type).argmax(axis=1)
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
    tables: list[WcetTable | None],
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
            "wcet": {
                model.name: _wcet(board, model, table)
                for model, table in zip(compiled, tables, strict=True)
            },
        },
    )


def _wcet(board: Board, model: "CompiledModel", table: WcetTable | None) -> dict[str, Any]:
    """Where the declared op times of a model come from."""
    if table is None:
        facts = {"source": "modelled", "margin_percent": board.wcet.margin_percent}
        return {**facts, "image": image_digest(model.image)}
    return {"source": "measured", **asdict(table)}


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
                "precision": plan.output.dtype,
                "output_type": plan.output.numpy_type,
                "longest_op_us": plan.budget_us if task.whole else plan.longest_op_us,
                "runs_whole": task.whole,
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
        "arena_bytes": _shared_bytes(rows, "arena_bytes"),
        "arena_bytes_unshared": sum(row["arena_bytes"] for row in rows),
        "arena_lower_bound_bytes": _shared_bytes(rows, "arena_lower_bound_bytes"),
        "utilization_percent": verdict.utilization_percent,
        "slack_us": verdict.slack_us,
        "tightest": verdict.tightest,
        "versions": exported[0].evidence["versions"],
        "tasks": rows,
    }


def _shared_bytes(rows: list[dict[str, Any]], key: str) -> int:
    """Bytes of all arenas together: tasks that begin at one offset share theirs."""
    largest: dict[int, int] = {}
    for row in rows:
        at = row["arena_offset"]
        largest[at] = max(largest.get(at, 0), row[key])
    return sum(largest.values())
