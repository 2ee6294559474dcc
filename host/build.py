"""Building an application for a board: model -> export -> compile -> admission -> signed package.

The result lies in build/apps/<app>/<board>/ and is reused while nothing that shaped it changed.
"""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from host.answers import right_answers
from host.appfile import App, load_app
from host.boards import BUILD, ROOT, Board, load_board
from host.build_report import build_evidence, build_report
from host.built_app import BuiltApp
from host.errors import DoesNotFitError, UsageError
from host.fingerprint import fingerprint
from host.flash.lock import locked
from host.package import keys
from host.package.tasks import check_outputs, package_modes, package_tasks, with_selftests
from host.package.write import PackageHead, write_package
from host.progress import Progress, silent
from host.schedule.fit import fit_application
from host.schedule.trial import trial_of
from host.schedule.variants import lite_timings
from protocol import replay

if TYPE_CHECKING:
    from host.export.program import ExportedModel

APPS = ROOT / "host" / "apps"


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
    digest = fingerprint(app, board, signer.identity)
    report_file = folder / "report.json"
    if report_file.is_file():
        report = json.loads(report_file.read_text())
        if report.get("fingerprint") == digest:
            return BuiltApp(folder, board, report)

    from host.export.program import export_model
    from host.export.spec import load_spec

    exported = []
    for index, task in enumerate(app.tasks):
        progress("training, exporting", index / len(app.tasks))
        floating, early_exit = task.precision == "float32", task.early_exit is not False
        exported.append(export_model(load_spec(app, task), floating, early_exit))
    progress("compiling", None)
    fit = fit_application(app, board, exported)
    compiled = fit.compiled
    check_outputs(app, compiled)
    tasks = package_tasks(app, exported, compiled, fit.lites, fit.arenas)
    progress("running the reference", None)
    expected = {
        task.name: right_answers(model, plan, model.evaluation_inputs())
        for task, model, plan in zip(app.tasks, exported, compiled, strict=True)
    }
    early = {
        task.name: right_answers(model, plan, model.evaluation_inputs(), output=1)
        for task, model, plan in zip(app.tasks, exported, compiled, strict=True)
        if plan.early
    }
    tasks = [
        with_selftests(task, model, expected[task.name], early.get(task.name))
        for task, model in zip(tasks, exported, strict=True)
    ]
    evidence = build_evidence(app, board, exported, compiled, fit.lites, fit.verdicts, fit.tables)
    head = PackageHead(app.name, app.version, app.counter, board.device_class)
    modes = package_modes(app)
    trial = trial_of(app, board, fit.timings, lite_timings(fit.timings, fit.lites))
    package = write_package(head, tasks, evidence, signer, board.flash.slot_bytes, modes, trial)
    report = build_report(app, board, exported, tasks, fit.timings, package, fit.verdicts)
    report["fingerprint"] = digest
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
    arrays |= {f"{name}.early": answers for name, answers in early.items()}
    arrays |= {
        f"{task.name}.truth": model.spec.truth
        for task, model in zip(app.tasks, exported, strict=True)
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (folder / "expected.npz").write_bytes(buffer.getvalue())
    report_file.write_text(json.dumps(report, indent=1, sort_keys=True))
    return BuiltApp(folder, board, report)


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
