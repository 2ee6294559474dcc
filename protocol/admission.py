"""The admission test: does a task set keep every deadline under EDF with preemption between ops?

A task is a tuple (budget_us, period_us, deadline_us, longest_op_us), all int, with
0 < longest_op <= budget <= deadline <= period. Releases may be sporadic (at least a period apart),
so a periodic grid with any offsets is covered. With

    B(t) = max of (q_j - 1) over tasks with D_j > t, 0 if none
    h(t) = sum over D_i <= t of (floor((t - D_i) / T_i) + 1) * C_i

a set is admitted iff
  1. sum of ceil(C_i * 2**32 / T_i) <= 2**32,
  2. h(t) + B(t) <= t for every absolute deadline t < max D,
  3. h(t) <= t for every absolute deadline t from max D to the end of the synchronous busy period,
     by QPA (Zhang and Burns, IEEE TC 58(9), 2009).
Blocking by non-preemptible regions: Baruah, ECRTS 2005. Integers only; host and device run this file,
protocol/vectors/admission.json holds them together.
"""

from collections import namedtuple

from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

# Points looked at before the test gives up, which refuses. About 2 s on a 25 MHz Cortex-M4.
CAP = 10000
PIECE_POINTS = 4  # of work in pieces: some 4 ms there
UTILIZATION_ONE = 1 << 32
UTILIZATION_WINDOW_US = 1000000

# admitted      bool
# reason        "" when admitted, else "parameters", "utilization", "demand" (too much work, whatever
#               the op lengths), "blocking" (ops too long) or "cap" (too hard to prove)
# task          index of the task whose deadline lies at at_us; for "parameters" the offender; for
#               "utilization" the task with the largest share; -1 for "cap"
# at_us         the instant after a synchronous release: the earliest failing deadline below max D,
#               else the latest failing one; when admitted the (first) tightest deadline up to max D; for
#               "parameters" the deadline; for "utilization" a window of one second
# slack_us      at_us - h(at_us) - B(at_us): negative is the shortfall, when admitted the least slack
#               up to max D; for "parameters" deadline - budget; for "utilization" minus the excess
# blocker       index of the task whose op blocks at at_us (the longest op), -1 where nothing blocks
# largest_op_us for "blocking": the largest op length of the blocker that would pass, 0 if none; else 0
Admission = namedtuple(
    "Admission",
    ("admitted", "reason", "task", "at_us", "slack_us", "blocker", "largest_op_us"),
)


def demand(tasks: "list[tuple[int, int, int, int]]", t: int) -> int:
    """h(t): the work, us, of all jobs released and due within t us after a synchronous release."""
    total = 0
    for budget, period, deadline, _ in tasks:
        if deadline <= t:
            total += ((t - deadline) // period + 1) * budget
    return total


def next_deadline(tasks: "list[tuple[int, int, int, int]]", t: int) -> int:
    """The earliest absolute deadline after t (one exists unless there are no tasks)."""
    first = 0
    for _, period, deadline, _ in tasks:
        at = deadline
        if t >= deadline:
            at += ((t - deadline) // period + 1) * period
        if first == 0 or at < first:
            first = at
    return first


def previous_deadline(tasks: "list[tuple[int, int, int, int]]", t: int) -> int:
    """The latest absolute deadline before t, 0 if there is none."""
    last = 0
    for _, period, deadline, _ in tasks:
        if deadline < t:
            at = deadline + (t - deadline - 1) // period * period
            last = max(last, at)
    return last


def _due(tasks: "list[tuple[int, int, int, int]]", t: int) -> int:
    """Lowest index of a task with an absolute deadline at t."""
    for index, (_, period, deadline, _) in enumerate(tasks):
        if t >= deadline and (t - deadline) % period == 0:
            return index
    return -1


def _blocker(tasks: "list[tuple[int, int, int, int]]", t: int) -> int:
    """Index of the task with D > t and the longest op, lowest index on a tie; -1 if none blocks."""
    found = -1
    longest = 1  # an op of 1 us blocks for q - 1 = 0
    for index, (_, _, deadline, op) in enumerate(tasks):
        if deadline > t and op > longest:
            found = index
            longest = op
    return found


def op_limit(tasks: "list[tuple[int, int, int, int]]", index: int, cap: int = CAP) -> int:
    """The largest op length, us, that task `index` may have, at most its budget.

    Min of t - h(t) + 1 over the absolute deadlines t < D_index: it depends on no other task's op
    lengths, so each task may be cut to its own limit on its own. 0 when none passes or the cap
    is reached.
    """
    return finish(_op_limit(tasks, index, cap))


def _op_limit(
    tasks: "list[tuple[int, int, int, int]]", index: int, cap: int
) -> "Generator[None, None, int]":
    budget, _, deadline, _ = tasks[index]
    limit = budget
    t = next_deadline(tasks, 0)
    while t < deadline:
        if cap <= 0:
            return 0
        if cap % PIECE_POINTS == 0:
            yield
        cap -= 1
        limit = min(limit, t - demand(tasks, t) + 1)
        t = next_deadline(tasks, t)
    return max(limit, 0)


def _refuse_parameters(tasks: "list[tuple[int, int, int, int]]") -> "Admission | None":
    for index, (budget, period, deadline, op) in enumerate(tasks):
        if not 0 < op <= budget <= deadline <= period:
            return Admission(False, "parameters", index, deadline, deadline - budget, -1, 0)
    return None


def _refuse_utilization(tasks: "list[tuple[int, int, int, int]]") -> "Admission | None":
    total = 0
    largest = 0
    heaviest = -1
    for index, (budget, period, _, _) in enumerate(tasks):
        share = -(-budget * UTILIZATION_ONE // period)  # rounding up keeps the test sound
        total += share
        if share > largest:
            heaviest = index
            largest = share
    if total <= UTILIZATION_ONE:
        return None
    window = UTILIZATION_WINDOW_US
    excess = -(-(total - UTILIZATION_ONE) * window // UTILIZATION_ONE)
    return Admission(False, "utilization", heaviest, window, -excess, -1, 0)


def admit(tasks: "list[tuple[int, int, int, int]]", cap: int = CAP) -> Admission:
    """Decide a task set. Never raises on ints; an empty set is admitted."""
    return finish(admit_in_pieces(tasks, cap))


def admit_in_pieces(
    tasks: "list[tuple[int, int, int, int]]", cap: int = CAP
) -> "Generator[None, None, Admission]":
    """admit() of which each piece looks at PIECE_POINTS points."""
    if not tasks:
        return Admission(True, "", -1, 0, 0, -1, 0)
    refused = _refuse_parameters(tasks) or _refuse_utilization(tasks)
    if refused:
        return refused
    gave_up = Admission(False, "cap", -1, 0, 0, -1, 0)

    # 2. Below max D, where a longer deadline can block.
    latest = max([task[2] for task in tasks])
    tightest = least = blocker = -1
    steps = 0
    t = next_deadline(tasks, 0)
    while t < latest:
        steps += 1
        if steps > cap:
            return gave_up
        if steps % PIECE_POINTS == 0:
            yield
        room = t - demand(tasks, t)
        if room < 0:
            return Admission(False, "demand", _due(tasks, t), t, room, -1, 0)
        j = _blocker(tasks, t)
        slack = room if j < 0 else room - (tasks[j][3] - 1)
        if slack < 0:
            yield
            limit = yield from _op_limit(tasks, j, cap)
            return Admission(False, "blocking", _due(tasks, t), t, slack, j, limit)
        if least < 0 or slack < least:
            tightest = t
            least = slack
            blocker = j
        t = next_deadline(tasks, t)
    room = latest - demand(tasks, latest)
    if least < 0 or room < least:
        tightest = latest
        least = room
        blocker = -1

    # 3. From the end of the synchronous busy period down to max D.
    busy = 0
    longer = sum([task[0] for task in tasks])
    while longer != busy:
        steps += 1
        if steps > cap:
            return gave_up
        if steps % PIECE_POINTS == 0:
            yield
        busy = longer
        longer = sum([-(-busy // period) * budget for budget, period, _, _ in tasks])
    t = previous_deadline(tasks, busy + 1)
    while t >= latest:
        steps += 1
        if steps > cap:
            return gave_up
        if steps % PIECE_POINTS == 0:
            yield
        work = demand(tasks, t)
        if work > t:
            t = previous_deadline(tasks, t + 1)
            return Admission(False, "demand", _due(tasks, t), t, t - demand(tasks, t), -1, 0)
        t = work if work < t else previous_deadline(tasks, t)
    return Admission(True, "", _due(tasks, tightest), tightest, least, blocker, 0)


def input_us(samples: int, sample_ns: int, dispatch_us: int, starts_again: bool) -> int:
    """What a job's input costs, us: `samples` values converted to what the model takes.

    A job that may start again on its lite variant is charged for doing it twice, and for being asked for twice.
    """
    once = -(-samples * sample_ns // 1000)
    return 2 * once + dispatch_us if starts_again else once


def with_input(task: "tuple[int, int, int, int]", cost_us: int) -> "tuple[int, int, int, int]":
    """A task whose times are those of its ops, with the cost of its input added.

    Nothing else runs while the input is written, but before the first op it may: it is like one op more. A task that runs
    whole (longest op = budget) does so from its input on.
    """
    budget, period, deadline, op = task
    if not 0 < op <= budget:
        return task  # for admit() to refuse
    longest = budget + cost_us if op == budget else max(op, cost_us)
    return (budget + cost_us, period, deadline, longest)


def inflate(
    tasks: "list[tuple[int, int, int, int]]",
    dispatch_us: int,
    lockout_us: int,
    background_us: int,
    background_period_us: int,
    gc_us: int = 0,
    gc_period_us: int = 0,
) -> "list[tuple[int, int, int, int]]":
    """Add what the board itself costs; the background becomes one more task, the last.

    Each job: budget + dispatch. Each non-preemptible stretch: the longest op + dispatch (between the
    last op of a job and its epilogue nobody looks at the release queue; a job that shares its arena
    runs whole, prologue included) + lockout; the budget grows with it where it would be shorter.

    Background work runs only when idle, one piece at a time, and cannot be preempted: a piece is
    a job that is released at the instant it starts, which limited-preemptive EDF might have done as
    well, so the pseudo-task C = q = background, T = D = its period is sound for pieces at least
    that far apart. It is sound for any rate: within one busy period at most one piece can delay
    (by q - 1), and the pseudo-task demands at least that at every t (B(t) below its deadline, h(t)
    from it on). What the period buys is service: so much idle time is proven to be there for the link.
    """
    inflated = []
    for budget, period, deadline, op in tasks:
        if not 0 < op <= budget:
            inflated.append((budget, period, deadline, op))  # as it is, for admit() to refuse
            continue
        stretch = op + dispatch_us + lockout_us
        inflated.append((max(budget + dispatch_us, stretch), period, deadline, stretch))
    for piece_us, period_us in ((background_us, background_period_us), (gc_us, gc_period_us)):
        if piece_us > 0:
            piece = piece_us + lockout_us
            inflated.append((piece, period_us, period_us, piece))
    return inflated
