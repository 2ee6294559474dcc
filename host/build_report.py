"""What a build says of itself: the report beside it and the evidence that travels with the package."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from host.appfile import App, TaskMode
from host.boards import Board
from host.package.evidence import evidence_bytes, model_facts
from host.package.write import LiteVariant, PackageTask
from host.schedule.admit import TaskTiming, Verdict
from host.schedule.wcet_table import WcetTable, image_digest
from protocol.manifest import NORMAL

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel


def build_evidence(
    app: App,
    board: Board,
    exported: list["ExportedModel"],
    compiled: list["CompiledModel"],
    lites: Sequence[LiteVariant | None],
    verdicts: Mapping[str, Verdict],
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
            "lite_variants": {
                task.name: model_facts(lite.model)
                for task, lite in zip(app.tasks, lites, strict=True)
                if lite
            },
            "admission": {mode: asdict(verdict) for mode, verdict in verdicts.items()},
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
    timings: Sequence[TaskTiming],
    package: bytes,
    verdicts: Mapping[str, Verdict],
) -> dict[str, Any]:
    """The report beside the package: sizes, times and memory plans, by task."""
    rows = []
    for task, model, timing in zip(tasks, exported, timings, strict=True):
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
                "input_us": timing.input_us,
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
                "lite": _lite(task),
                "early": _early(task, model),
            }
        )
    normal = verdicts[NORMAL]
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
        "utilization_percent": normal.utilization_percent,
        "slack_us": normal.slack_us,
        "tightest": normal.tightest,
        "modes": [_mode(app, name, verdict) for name, verdict in verdicts.items()],
        "versions": exported[0].evidence["versions"],
        "tasks": rows,
    }


def _lite(task: PackageTask) -> dict[str, Any] | None:
    """The lite variant of a task, None without one."""
    if task.lite is None:
        return None
    plan = task.lite.model
    return {
        "ops": len(plan.ops),
        "image_bytes": len(plan.image),
        "arena_bytes": plan.arena_bytes,
        "budget_us": plan.budget_us,
        "longest_op_us": plan.budget_us if task.whole else plan.longest_op_us,
    }


def _early(task: PackageTask, model: "ExportedModel") -> dict[str, Any] | None:
    """The early exit of a task, None without one: what its parts take, and how good its answer is."""
    plan = task.model
    if plan.early is None:
        return None
    return {
        "mandatory_ops": plan.mandatory_ops,
        "mandatory_us": plan.mandatory_us,
        "full_us": plan.full_us,
        "accuracy": {
            "float": model.float_accuracy(early=True),
            "quantized": model.quantized_accuracy(early=True),
        },
    }


def _mode(app: App, name: str, verdict: Verdict) -> dict[str, Any]:
    """A mode as it was admitted: who runs how, and what is left at the tightest deadline."""
    settings = next((mode.tasks for mode in app.modes if mode.name == name), None)
    runs = settings or [TaskMode(task.period_us, task.deadline_us, "full") for task in app.tasks]
    return {
        "name": name,
        "utilization_percent": verdict.utilization_percent,
        "slack_us": verdict.slack_us,
        "tightest": verdict.tightest,
        "tasks": {
            task.name: asdict(run) if run else None
            for task, run in zip(app.tasks, runs, strict=True)
        },
    }


def _shared_bytes(rows: list[dict[str, Any]], key: str) -> int:
    """Bytes of all arenas together: tasks that begin at one offset share theirs."""
    largest: dict[int, int] = {}
    for row in rows:
        at = row["arena_offset"]
        largest[at] = max(largest.get(at, 0), row[key])
    return sum(largest.values())
