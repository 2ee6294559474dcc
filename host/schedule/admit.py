"""Admission of an application's tasks on a board; a refusal says what would pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from host.boards import Board
from host.errors import DoesNotFitError
from host.schedule.latency import start_bounds_us
from protocol.admission import Admission, admit, inflate, input_us, op_limit, with_input

BACKGROUND = "the board's background work"
COLLECTION = "the board's garbage collection"
_PIECES = (BACKGROUND, COLLECTION)
STRETCH_MAX = 1024  # a remedy beyond this factor would be no remedy


@dataclass(frozen=True, slots=True)
class TaskTiming:
    """Timing of one task as its application and its plan state it, without the board's costs."""

    name: str
    budget_us: int  # sum of declared op times
    period_us: int
    deadline_us: int  # <= period_us
    longest_op_us: int  # longest declared op
    input_us: int = 0  # what writing the input costs each job on the board


@dataclass(frozen=True, slots=True)
class Verdict:
    """An admitted task set: its tightest deadline and what is left there.

    `at_us` counts from a common release of all tasks; `slack_us` >= 0 is the least slack up to the
    longest deadline. `utilization_percent` includes the board's costs. `op_limits_us`: per task, the
    longest op (us) it might have with everything else as it is.
    """

    tightest: str
    at_us: int
    slack_us: int
    utilization_percent: float
    op_limits_us: tuple[int, ...]


def admit_tasks(board: Board, tasks: Sequence[TaskTiming], speed: int = 1) -> Verdict:
    """Run the device's admission test with the costs of `board` added.

    `speed` divides periods and deadlines where the board scales with it (board.toml), else it changes
    nothing. Raises DoesNotFitError naming task, instant, shortfall and what would pass.
    """
    timings = _at_speed(board, tasks, speed)
    result = _test(board, timings)
    if not result.admitted:
        if timings != tuple(tasks) and _passes(board, tasks):
            raise DoesNotFitError(
                f"{_cause(board, timings, result)} at speed {speed}",
                f"use speed {_largest_speed(board, tasks, speed)} or lower",
            )
        result = _test(board, tasks)
        raise DoesNotFitError(_cause(board, tasks, result), _remedy(board, tasks, result))
    names = [*(task.name for task in timings), *_PIECES]
    share = sum(budget / period for budget, period, _, _ in _inflated(board, timings))
    return Verdict(
        tightest=names[result.task] if timings else "",
        at_us=result.at_us,
        slack_us=result.slack_us,
        utilization_percent=round(100 * share, 2),
        op_limits_us=op_limits_us(board, tasks, speed),
    )


def task_input_us(board: Board, samples: int, starts_again: bool) -> int:
    """What the input of `samples` values costs a job on `board`, us; starts_again: may degrade to a lite variant."""
    return input_us(samples, board.time.sample_ns, board.time.dispatch_us, starts_again)


def is_admitted(board: Board, tasks: Sequence[TaskTiming]) -> bool:
    """Whether the set passes with the costs of `board` added."""
    return _passes(board, tasks)


def start_latency_bounds_us(board: Board, tasks: Sequence[TaskTiming]) -> tuple[int, ...]:
    """Per task of an admitted set, the latest start after a release on this board, us."""
    cost = board.time
    inflated = _inflated(board, tasks)[: len(tasks)]
    longest = max(cost.background_us, cost.gc_us)  # a collection is a piece of its own
    piece = longest + cost.lockout_us if longest else 0
    before = [cost.dispatch_us + cost.lockout_us + task.input_us for task in tasks]
    return start_bounds_us(inflated, before, piece)


def op_limits_us(board: Board, tasks: Sequence[TaskTiming], speed: int = 1) -> tuple[int, ...]:
    """Per task, the longest op (us, at most its budget) that lets the others keep their deadlines.

    0: no op length passes. A task set whose ops keep these limits is admitted unless it asks for too
    much work; the limits do not depend on one another.
    """
    timings = _at_speed(board, tasks, speed)
    inflated = _inflated(board, timings)
    cost = board.time
    limits = []
    for index, task in enumerate(timings):
        # Prologue and epilogue cannot be preempted either, whatever the length of the ops.
        stretch = op_limit(inflated, index)
        op_us = stretch - cost.dispatch_us - cost.lockout_us
        limits.append(task.budget_us if stretch == inflated[index][0] else max(0, op_us))
    return tuple(limits)


def _at_speed(board: Board, tasks: Sequence[TaskTiming], speed: int) -> tuple[TaskTiming, ...]:
    if not board.time.scales_with_speed:
        speed = 1
    return tuple(
        replace(task, period_us=task.period_us // speed, deadline_us=task.deadline_us // speed)
        for task in tasks
    )


def _inflated(board: Board, tasks: Sequence[TaskTiming]) -> list[tuple[int, int, int, int]]:
    cost = board.time
    return inflate(
        [
            with_input(
                (task.budget_us, task.period_us, task.deadline_us, task.longest_op_us),
                task.input_us,
            )
            for task in tasks
        ],
        cost.dispatch_us,
        cost.lockout_us,
        cost.background_us,
        cost.background_period_us,
        cost.gc_us,
        cost.gc_period_us,
    )


def _test(board: Board, tasks: Sequence[TaskTiming]) -> Admission:
    return admit(_inflated(board, tasks))


def _passes(board: Board, tasks: Sequence[TaskTiming]) -> bool:
    return bool(_test(board, tasks).admitted)


def _cause(board: Board, tasks: Sequence[TaskTiming], result: Admission) -> str:
    """One line: which task, when, by how much, because of what."""
    inflated = _inflated(board, tasks)
    names = [*(repr(task.name) for task in tasks), *_PIECES]
    on = f"on board {board.name}"
    if result.reason == "cap":
        return f"the task set is too hard to prove schedulable {on}"
    name = names[result.task]
    if result.reason == "parameters":
        if result.task < len(tasks):
            task = tasks[result.task]
            op, budget = _ms(task.longest_op_us), _ms(task.budget_us)
            deadline, period = _ms(task.deadline_us), _ms(task.period_us)
            if not 0 < task.longest_op_us <= task.budget_us:
                return f"task {name} declares an op of {op} in a budget of {budget}"
            if task.deadline_us > task.period_us:
                return f"task {name} has a deadline of {deadline}, after its period of {period}"
        need = inflated[result.task][0]
        return (
            f"task {name} needs {_ms(need)} a job {on}, {_ms(-result.slack_us)} more than its "
            f"deadline of {_ms(result.at_us)}"
        )
    if result.reason == "utilization":
        need = result.at_us - result.slack_us
        return (
            f"the tasks need {_ms(need)} of processor time each second {on}, "
            f"{_ms(-result.slack_us)} too much; {name} needs the largest share"
        )
    due = (
        f"task {name} can miss its deadline {on}, {_ms(-result.slack_us)} short at "
        f"{_ms(result.at_us)} after a common release"
    )
    if result.reason == "blocking":
        return f"{due}, blocked {_ms(inflated[result.blocker][3])} by {names[result.blocker]}"
    return f"{due}: more work is due by then than fits"


def _remedy(board: Board, tasks: Sequence[TaskTiming], result: Admission) -> str:
    """One line: changes that were each tried and pass on their own."""
    if result.reason == "parameters" and result.task < len(tasks):
        task = tasks[result.task]
        if not 0 < task.longest_op_us <= task.budget_us:
            return "declare a budget of at least the longest op"
        if task.deadline_us > task.period_us:
            return f"give {task.name!r} a deadline of at most {_ms(task.period_us)}"
    options = [
        option
        for option in (
            _shorter_ops(board, tasks, result),
            _later_deadline(board, tasks, result.task),
            _longer_period(board, tasks, result.task),
        )
        if option
    ]
    return ", or ".join(options) or _stretch(board, tasks)


def _shorter_ops(board: Board, tasks: Sequence[TaskTiming], result: Admission) -> str:
    if result.reason != "blocking":
        return ""
    limits = op_limits_us(board, tasks)
    if 0 in limits:
        return ""
    cut = [
        replace(task, longest_op_us=min(task.longest_op_us, limit))
        for task, limit in zip(tasks, limits, strict=True)
    ]
    if not _passes(board, cut):
        return ""
    return " and ".join(
        f"split the ops of {task.name!r} to at most {limit} us"
        for task, limit in zip(tasks, limits, strict=True)
        if task.longest_op_us > limit
    )


def _later_deadline(board: Board, tasks: Sequence[TaskTiming], index: int) -> str:
    if not 0 <= index < len(tasks):
        return ""
    task = tasks[index]

    def passes(deadline_us: int) -> bool:
        return _passes(board, _with(tasks, index, replace(task, deadline_us=deadline_us)))

    found = _smallest(passes, task.deadline_us, task.period_us)
    return f"give {task.name!r} a deadline of {_ms(found)}" if found else ""


def _longer_period(board: Board, tasks: Sequence[TaskTiming], index: int) -> str:
    if not 0 <= index < len(tasks):
        return ""
    task = tasks[index]
    together = task.deadline_us == task.period_us

    def passes(period_us: int) -> bool:
        deadline_us = period_us if together else task.deadline_us
        changed = replace(task, period_us=period_us, deadline_us=deadline_us)
        return _passes(board, _with(tasks, index, changed))

    found = _smallest(passes, task.period_us, task.period_us * STRETCH_MAX)
    both = " and deadline" if together else ""
    return f"give {task.name!r} a period{both} of {_ms(found)}" if found else ""


def _stretch(board: Board, tasks: Sequence[TaskTiming]) -> str:
    def passes(percent: int) -> bool:
        return _passes(
            board,
            [
                replace(
                    task,
                    period_us=task.period_us * percent // 100,
                    deadline_us=task.deadline_us * percent // 100,
                )
                for task in tasks
            ],
        )

    percent = _smallest(passes, 100, 100 * STRETCH_MAX)
    if percent:
        return f"multiply all periods and deadlines by {percent // 100}.{percent % 100:02d}"
    return "take a task out, or use a faster board"


def _largest_speed(board: Board, tasks: Sequence[TaskTiming], refused: int) -> int:
    passing = 1
    while refused - passing > 1:
        middle = (passing + refused) // 2
        if _passes(board, _at_speed(board, tasks, middle)):
            passing = middle
        else:
            refused = middle
    return passing


def _smallest(passes: Callable[[int], bool], refused: int, largest: int) -> int:
    """Smallest passing value in (refused, largest] by bisection, 0 if none was found.

    What is returned was tried. Where passing is not monotone (a later deadline can block others) a
    smaller one may exist.
    """
    step = 1
    failing = refused
    value = min(refused + step, largest)
    while value > failing and not passes(value):
        failing = value
        step *= 2
        value = min(refused + step, largest)
    if value <= failing:
        return 0
    while value - failing > 1:
        middle = (failing + value) // 2
        if passes(middle):
            value = middle
        else:
            failing = middle
    return value


def _with(tasks: Sequence[TaskTiming], index: int, task: TaskTiming) -> list[TaskTiming]:
    return [task if i == index else other for i, other in enumerate(tasks)]


def _ms(value_us: int) -> str:
    """Microseconds as milliseconds, exact: 62010 -> '62.01 ms'."""
    return f"{value_us // 1000}.{value_us % 1000:03d}".rstrip("0").rstrip(".") + " ms"
