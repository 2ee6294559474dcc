"""What one run of an application on a board showed: the values of the closing JSON and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from host.compile.result import BufferPlan, OpReport
from protocol.histogram import Histogram
from protocol.stats import Event, TaskStats


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers, 0..1: float model, quantized model in PyTorch, the board."""

    float_model: float
    quantized: float
    device: float


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task over the run. Times in microseconds.

    windows: test windows whose device output was compared; parity_mismatches: how many of them
    differ from the reference in any element.
    """

    name: str
    period_us: int
    deadline_us: int
    budget_us: int
    policy: str
    stats: TaskStats
    accuracy: Accuracy
    windows: int
    parity_mismatches: int


@dataclass(frozen=True, slots=True)
class ModelMemory:
    """One model's arena plan. The arena starts at `arena_offset` of the board's arena, bytes.

    arena_planned_bytes: of all models that share the arena.
    arena_touched_bytes: up to the last byte that the board saw written.
    """

    name: str
    arena_offset: int
    arena_bytes: int
    arena_lower_bound_bytes: int
    pte_bytes: int
    image_bytes: int
    ops: tuple[OpReport, ...]
    buffers: tuple[BufferPlan, ...]
    arena_planned_bytes: int = 0
    arena_touched_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """A whole run.

    versions: what made it, name -> version (tactus, firmware, executorch, torch, ...).
    speed: how much faster than real time the idle time passed. ram: (name, bytes), as the board
    tells it. arena_bytes, arena_lower_bound_bytes: of all models together. events: the frozen ring when a
    deadline was missed.
    """

    board: str
    board_title: str
    app: str
    version: str
    versions: Mapping[str, str]
    speed: int
    package_bytes: int
    arena_bytes: int
    arena_lower_bound_bytes: int
    tasks: tuple[TaskResult, ...]
    models: tuple[ModelMemory, ...]
    ram: tuple[tuple[str, int], ...]
    events: tuple[Event, ...] = ()

    @property
    def pte_bytes(self) -> int:
        """Size of the ExecuTorch programs of the same models, for comparison."""
        return sum(model.pte_bytes for model in self.models)

    @property
    def missed(self) -> int:
        """Deadlines missed by all tasks in any way."""
        return sum(missed(task.stats) for task in self.tasks)

    @property
    def parity_mismatches(self) -> int:
        """Windows of all tasks whose device output differs from the reference."""
        return sum(task.parity_mismatches for task in self.tasks)


def missed(stats: TaskStats) -> int:
    """Releases that missed their deadline: finished late, aborted or skipped."""
    total: int = stats.missed_late + stats.aborted + stats.skipped
    return total


def percentiles(histogram: Histogram) -> dict[str, int]:
    """p50, p99 (upper edge of the bucket, at most 12.5 % high) and the exact maximum, us."""
    return {
        "p50": histogram.percentile(50),
        "p99": histogram.percentile(99),
        "max": histogram.max_us,
    }


def timing_json(stats: TaskStats) -> dict[str, Any]:
    """The timing of a task as every JSON output of Tactus names it."""
    return {
        "released": stats.released,
        "done": stats.done,
        "missed_late": stats.missed_late,
        "aborted": stats.aborted,
        "skipped": stats.skipped,
        "start_latency_us": percentiles(stats.start),
        "response_us": percentiles(stats.response),
    }


def demo_json(report: DemoReport) -> dict[str, Any]:
    """The object that `demo --json` prints as its last line."""
    return {
        "board": report.board,
        "app": report.app,
        "arena_bytes": report.arena_bytes,
        "arena_lower_bound_bytes": report.arena_lower_bound_bytes,
        "package_bytes": report.package_bytes,
        "pte_bytes": report.pte_bytes,
        "ram_table": [{"name": name, "bytes": size} for name, size in report.ram],
        "tasks": {
            task.name: {
                **timing_json(task.stats),
                "accuracy": {
                    "float": task.accuracy.float_model,
                    "quantized": task.accuracy.quantized,
                    "device": task.accuracy.device,
                },
                "parity_mismatches": task.parity_mismatches,
            }
            for task in report.tasks
        },
    }
