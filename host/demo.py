"""The main job, end to end: build, flash, install, run on recorded data, judge, report."""

from pathlib import Path
from typing import Any

from host.build import build_app
from host.built_app import BuiltApp
from host.compile.result import BufferPlan, OpReport
from host.demo_result import Accuracy, DemoReport, ModelMemory, TaskResult
from host.flash.flasher import flash_board
from host.install import install_package
from host.link.session import connect
from host.link.tactus_group import ArenaUse
from host.monitor.live import View
from host.monitor.report import demo_page, write_report
from host.package.keys import trusted
from host.progress import Progress
from host.replay_run import ReplayRun, run_replay
from host.schedule.admit import admit_tasks


def prepare(app: str, board_name: str, speed: int, progress: Progress) -> BuiltApp:
    """Build the application, put firmware and recorded data on the board, install the package.

    Raises DoesNotFitError when the tasks cannot keep their deadlines at `speed`.
    """
    built = build_app(app, board_name, progress)
    admit_tasks(built.board, built.timings(), speed)
    flash_board(built.board, built.replay, *trusted(), progress=progress)
    install_package(board_name, None, built.package, progress)
    return built


def run_demo(built: BuiltApp, speed: int, view: View, report_file: Path) -> DemoReport:
    """Run a prepared board until every recorded window was inferred; write the HTML report."""
    with connect(built.board.name) as session:
        run = run_replay(session, built, speed, view)
        firmware = session.info.firmware
    report = _judge(built, run, speed, firmware)
    write_report(demo_page(report), report_file)
    return report


def _judge(built: BuiltApp, run: ReplayRun, speed: int, firmware: str) -> DemoReport:
    facts, board = built.report, built.board
    scale = speed if board.time.scales_with_speed else 1
    tasks = tuple(
        TaskResult(
            name=row["name"],
            period_us=row["period_us"] // scale,
            deadline_us=row["deadline_us"] // scale,
            budget_us=row["budget_us"],
            policy=row["policy"],
            stats=stats,
            accuracy=Accuracy(
                row["accuracy"]["float"], row["accuracy"]["quantized"], outcome.accuracy
            ),
            windows=outcome.seen,
            parity_mismatches=outcome.mismatches,
        )
        for row, stats, outcome in zip(facts["tasks"], run.stats.tasks, run.tasks, strict=True)
    )
    return DemoReport(
        board=board.name,
        board_title=board.title,
        app=facts["app"],
        version=facts["version"],
        versions={"firmware": firmware, **facts["versions"]},
        speed=speed,
        package_bytes=facts["package_bytes"],
        arena_bytes=facts["arena_bytes"],
        arena_lower_bound_bytes=facts["arena_lower_bound_bytes"],
        tasks=tasks,
        models=tuple(
            _memory(row, arena) for row, arena in zip(facts["tasks"], run.arenas, strict=True)
        ),
        ram=run.memory,
        events=run.events,
    )


def _memory(row: dict[str, Any], arena: ArenaUse) -> ModelMemory:
    return ModelMemory(
        name=row["name"],
        arena_offset=row["arena_offset"],
        arena_bytes=row["arena_bytes"],
        arena_lower_bound_bytes=row["arena_lower_bound_bytes"],
        pte_bytes=row["pte_bytes"],
        image_bytes=row["image_bytes"],
        ops=tuple(
            OpReport(**{**op, "out_shape": tuple(op["out_shape"])}) for op in row["op_table"]
        ),
        buffers=tuple(BufferPlan(**buffer) for buffer in row["buffers"]),
        arena_planned_bytes=arena.planned,
        arena_touched_bytes=arena.touched,
    )
