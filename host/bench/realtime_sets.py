"""The task sets of `bench realtime`: models of MLPerf Tiny and of the demo, periods from their measured times."""

from collections.abc import Sequence
from dataclasses import dataclass

from host.bench.workload import workload
from host.boards import Board
from host.build import find_app
from host.compile.result import CompiledModel
from host.export.spec import ModelSpec
from host.schedule.admit import TaskTiming

DEMO = ("motion", "digits")


@dataclass(frozen=True, slots=True)
class Member:
    """A task of a set, its share of the set's utilization, and its deadline as a part of its period.

    task: the name of a model, with ".2" for a second task of the same model.
    """

    task: str
    share: float
    deadline: float = 1.0


def model_of(task: str) -> str:
    """The model that a task of a set runs."""
    return task.partition(".")[0]


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks that use `utilization` of the processor by their declared times, what each job costs beside its ops included."""

    utilization: float
    members: tuple[Member, ...]

    def timings(
        self, budgets: dict[str, tuple[int, int, int]], dispatch_us: int
    ) -> tuple[TaskTiming, ...]:
        """Periods and deadlines, from (budget, longest op, input) of each model, us, and the cost of a job's dispatch."""
        timings = []
        for member in self.members:
            budget, longest, input_us = budgets[model_of(member.task)]
            period = round((budget + input_us + dispatch_us) / (self.utilization * member.share))
            timings.append(
                TaskTiming(
                    member.task, budget, period, int(period * member.deadline), longest, input_us
                )
            )
        return tuple(timings)


# The long model of each set has a period of ten times the shortest deadline and more; its longest op is shorter than
# that deadline, the whole model several times longer. That no two periods have a small common multiple
# lets every phase between the tasks occur.
SETS = (
    TaskSet(
        0.70,
        (Member("digits", 0.0857, 0.7), Member("ds_cnn", 0.7143, 0.7), Member("ds_cnn.2", 0.2)),
    ),
    TaskSet(
        0.90,
        (
            Member("digits", 0.0639, 0.7),
            Member("motion", 0.0561, 0.8),
            Member("ds_cnn", 0.6, 0.8),
            Member("ds_cnn.2", 0.28),
        ),
    ),
    TaskSet(
        0.97,
        (Member("digits", 0.0531, 0.7), Member("ds_cnn", 0.4329), Member("ds_cnn.2", 0.514)),
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A compiled model and the data that its source plays."""

    compiled: CompiledModel
    spec: ModelSpec


def load_models(names: Sequence[str], board: Board) -> dict[str, Model]:
    """The models by name, compiled for a board."""
    from host.bench.mlperf_tiny import mlperf_tiny_spec
    from host.compile.compile import compile_model
    from host.export.program import export_model
    from host.export.spec import load_spec

    demo = find_app("demo")
    specs = {task.name: load_spec(demo, task) for task in demo.tasks if task.name in names}
    models = {
        name: Model(compile_model(export_model(spec), board), spec) for name, spec in specs.items()
    }
    for name in names:
        if name not in models:
            models[name] = Model(workload(name, board).compiled, mlperf_tiny_spec(name))
    return models
