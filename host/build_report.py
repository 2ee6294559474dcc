"""What a build says of itself: the report beside it and the evidence that travels with the package."""

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from host.appfile import App
from host.boards import Board
from host.package.evidence import evidence_bytes
from host.package.write import PackageTask
from host.schedule.admit import Verdict
from host.schedule.wcet_table import WcetTable, image_digest

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel


def build_evidence(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    compiled: list["CompiledModel"],
    verdict: Verdict,
    tables: list[WcetTable | None],
) -> bytes:
    """The evidence file: how the package came to be, and how the tasks were admitted."""
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


def build_report(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    tasks: list[PackageTask],
    package: bytes,
    verdict: Verdict,
) -> dict[str, Any]:
    """The report beside the package: sizes, times and memory plans, by task."""
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
