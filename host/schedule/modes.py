"""The modes of an application as complete task sets: each is admitted on its own."""

from collections.abc import Sequence
from dataclasses import replace

from host.appfile import App
from host.boards import Board
from host.errors import DoesNotFitError
from host.schedule.admit import TaskTiming, Verdict, admit_tasks


def mode_timings(
    app: App, full: Sequence[TaskTiming], lite: Sequence[TaskTiming | None]
) -> dict[str, list[TaskTiming | None]]:
    """Mode name -> timing of each task in it, None where it is off. `full` and `lite` by task, as in the normal mode."""
    sets = {}
    for mode in app.modes:
        timings: list[TaskTiming | None] = []
        for setting, heavy, light in zip(mode.tasks, full, lite, strict=True):
            if setting is None:
                timings.append(None)
                continue
            timing = light if setting.variant == "lite" and light else heavy
            timings.append(
                replace(timing, period_us=setting.period_us, deadline_us=setting.deadline_us)
            )
        sets[mode.name] = timings
    return sets


def admit_modes(
    board: Board, app: App, full: Sequence[TaskTiming], lite: Sequence[TaskTiming | None]
) -> dict[str, Verdict]:
    """Admit every mode beside the normal one. Raises DoesNotFitError that names the mode."""
    verdicts = {}
    for name, timings in mode_timings(app, full, lite).items():
        try:
            verdicts[name] = admit_tasks(board, [timing for timing in timings if timing])
        except DoesNotFitError as error:
            raise DoesNotFitError(f"in mode {name!r}: {error}", error.remedy) from error
    return verdicts
