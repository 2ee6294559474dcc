"""How late a job can start: a bound for each task of an admitted set.

Start-time analysis of EDF with regions that cannot be preempted: L. George, N. Rivierre, M. Spuri, "Preemptive and
Non-Preemptive Real-Time Uni-Processor Scheduling", INRIA RR-2966, 1996, section 5, with the longest op of a job
in the place of the whole job. Let t0 be the last instant before the job's start at which no job with a deadline as
early as its own was ready, and a its release after t0. From t0 to the start run only the rest of one op that began
before, of a task with D_j > a + D_i, then jobs with earlier or equal deadlines, and the job's own prologue:

    L = B(a) + prologue + floor(a / T_i) * C_i
        + sum over j != i, D_j <= a + D_i of (1 + min(floor(L / T_j), floor((a + D_i - D_j) / T_j))) * C_j

The bound is the largest L - a over all a, of which only the instants matter where the sum steps up. It holds for
releases at least a period apart, so for a grid with any offsets.
"""

from collections.abc import Iterator, Sequence

Task = tuple[int, int, int, int]  # as protocol.admission.inflate() gives it

STEPS_MAX = 20_000  # fixed-point steps before the deadline is the answer: deadline - budget


def start_bounds_us(
    tasks: Sequence[Task], prologues_us: Sequence[int] = (), background_us: int = 0
) -> tuple[int, ...]:
    """Per task, the latest start of a job's first op after its release, us.

    `tasks`: an admitted set with the board's costs in it, the background left out. `prologues_us`: what the board does
    for a job of each task between its turn and its first op, nothing when not given. `background_us`: longest piece of work that may have begun
    when nothing was ready; 0 when there is none.
    """
    return tuple(
        _start_bound_us(tasks, index, prologues_us[index] if prologues_us else 0, background_us)
        for index in range(len(tasks))
    )


def _start_bound_us(tasks: Sequence[Task], index: int, prologue_us: int, background_us: int) -> int:
    budget, _, deadline, _ = tasks[index]
    limit = deadline - max(0, budget - prologue_us)  # admitted: a job that needs it all is in time
    end = _busy_us(tasks, max(background_us, *(task[3] for task in tasks)) + prologue_us)
    worst = steps = 0
    for release in _releases(tasks, index):
        if release >= end or worst >= limit:
            break
        blockers = [op for _, _, other, op in tasks if other > release + deadline]
        before = max(1, background_us, *blockers) - 1 + prologue_us
        length, longer = -1, before
        while longer != length and longer - release < limit:
            length = longer
            longer = before + _work(tasks, index, release, length)
            steps += 1
            if steps > STEPS_MAX:
                return limit
        worst = max(worst, longer - release)
    return min(worst, limit)


def _work(tasks: Sequence[Task], index: int, release: int, length: int) -> int:
    """What runs before the job of `index` that is released at `release` and starts at `length`."""
    budget, period, deadline, _ = tasks[index]
    total = release // period * budget
    for other, (cost, every, due, _) in enumerate(tasks):
        if other != index and due <= release + deadline:
            total += (1 + min(length // every, (release + deadline - due) // every)) * cost
    return total


def _busy_us(tasks: Sequence[Task], before_us: int) -> int:
    """Length of the longest busy period behind `before_us` of other work; no later release matters.

    With a processor used to the last cycle it has no end: then what the steps allow.
    """
    length, longer = 0, before_us + sum(task[0] for task in tasks)
    for _ in range(STEPS_MAX):
        if longer == length:
            break
        length = longer
        longer = before_us + sum(-(-length // period) * budget for budget, period, _, _ in tasks)
    return length + 1


def _releases(tasks: Sequence[Task], index: int) -> Iterator[int]:
    """0 and the later instants at which a job of another task comes to share the deadline, rising."""
    deadline = tasks[index][2]
    upcoming = [
        (due - deadline) if due >= deadline else (due - deadline) % every
        for _, every, due, _ in tasks
    ]
    now = 0
    while True:
        yield now
        for other, (_, every, _, _) in enumerate(tasks):
            while upcoming[other] <= now:
                upcoming[other] += every
        now = min(upcoming)
