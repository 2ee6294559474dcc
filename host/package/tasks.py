"""From the models of an application to the tasks and modes that its package carries."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from host.appfile import VARIANTS, App
from host.errors import DoesNotFitError
from host.package.write import LiteVariant, PackageMode, PackageTask, ReplaySource, SelfTestVector
from host.schedule.share import Arenas

if TYPE_CHECKING:
    from host.compile.result import CompiledModel, TensorInfo
    from host.export.program import ExportedModel

RESULT_BYTES = 16  # TAC_RESULT_BYTES of sched/sched.h: what a result record carries of an output
_SELFTESTS = 2


def package_tasks(
    app: App,
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
    return tasks


def package_modes(app: App) -> list[PackageMode]:
    """The modes beside the normal one."""
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


def check_outputs(app: App, compiled: list["CompiledModel"]) -> None:
    """Raise DoesNotFitError for a model with more output than a result record carries."""
    for task, model in zip(app.tasks, compiled, strict=True):
        if model.output.size_bytes > RESULT_BYTES:
            most = RESULT_BYTES * model.output.elements // model.output.size_bytes
            raise DoesNotFitError(
                f"{app.path}: task {task.name!r} ends in {model.output.elements} values of "
                f"{model.output.dtype}, {model.output.size_bytes} bytes; "
                f"a result record carries {RESULT_BYTES} bytes of an output",
                f"end the model in at most {most} values of {model.output.dtype}",
            )


def with_selftests(
    task: PackageTask,
    model: "ExportedModel",
    expected: npt.NDArray[np.int8],
    early: npt.NDArray[np.int8] | None = None,
) -> PackageTask:
    """Add windows of different answers as self-test vectors; with an early exit they hold both answers."""
    vectors = selftests(model.evaluation_inputs(), expected, task.model.output, early)
    return replace(task, selftests=vectors)


def selftests(
    inputs: npt.NDArray[np.int8],
    expected: npt.NDArray[np.int8],
    output: "TensorInfo",
    early: npt.NDArray[np.int8] | None = None,
) -> tuple[SelfTestVector, ...]:
    """Self-test vectors of different answers."""
    answers = expected.view(output.numpy_type).argmax(axis=1)
    chosen = [int(np.flatnonzero(answers == answer)[0]) for answer in np.unique(answers)]
    outputs = expected if early is None else np.concatenate([expected, early], axis=1)
    return tuple(
        SelfTestVector(inputs[index].tobytes(), outputs[index].tobytes())
        for index in chosen[:_SELFTESTS]
    )
