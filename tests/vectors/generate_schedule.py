"""Writes protocol/vectors/{admission,histogram,stats}.json. Run once per format; the files are committed.

Everything here is brute force or spelled out by hand and shares no code with protocol/: every integer
instant is looked at, buckets are found by listing their edges, bytes are joined field by field.
"""

import random
from collections.abc import Sequence

from vector_file import write

Task = tuple[int, int, int, int]  # budget, period, deadline, longest op
CAP = 10_000


def _demand(tasks: Sequence[Task], t: int) -> int:
    """Counts job by job."""
    total = 0
    for budget, period, deadline, _ in tasks:
        due = deadline
        while due <= t:
            total += budget
            due += period
    return total


def _deadlines(tasks: Sequence[Task], end: int) -> list[int]:
    """All absolute deadlines in (0, end], ascending."""
    found = set()
    for _, period, deadline, _ in tasks:
        found.update(range(deadline, end + 1, period))
    return sorted(found)


def judge(tasks: Sequence[Task]) -> list[object]:
    """[admitted, reason, task, at, slack, blocker, largest op] by the definitions in admission.py."""
    if not tasks:
        return [True, "", -1, 0, 0, -1, 0]
    for i, (c, t, d, q) in enumerate(tasks):
        if c < 1 or q < 1 or q > c or c > d or d > t:
            return [False, "parameters", i, d, d - c, -1, 0]
    shares = [(c * 2**32 + t - 1) // t for c, t, _, _ in tasks]
    excess = sum(shares) - 2**32
    if excess > 0:
        lost = 0
        while lost * 2**32 < excess * 10**6:
            lost += 1
        return [False, "utilization", shares.index(max(shares)), 10**6, -lost, -1, 0]

    def due_at(t: int) -> int:
        return next(i for i in range(len(tasks)) if t in _deadlines([tasks[i]], t))

    longest_deadline = max(task[2] for task in tasks)
    below = _deadlines(tasks, longest_deadline - 1)
    tightest: tuple[int, int, int] | None = None
    for count, t in enumerate(below):
        if count >= CAP:
            return [False, "cap", -1, 0, 0, -1, 0]
        room = t - _demand(tasks, t)
        if room < 0:
            return [False, "demand", due_at(t), t, room, -1, 0]
        blocking = [(q, -j) for j, (_, _, d, q) in enumerate(tasks) if d > t and q > 1]
        q, j = max(blocking, default=(1, 1))
        slack, j = room - (q - 1), -j
        if slack < 0:
            limit = tasks[j][0]
            for earlier in _deadlines(tasks, tasks[j][2] - 1):
                limit = min(limit, earlier - _demand(tasks, earlier) + 1)
            return [False, "blocking", due_at(t), t, slack, j, max(limit, 0)]
        if tightest is None or slack < tightest[1]:
            tightest = (t, slack, j)
    busy = 1
    while sum((busy + t - 1) // t * c for c, t, _, _ in tasks) != busy:
        busy += 1
    failing = [
        t for t in _deadlines(tasks, busy) if t >= longest_deadline and _demand(tasks, t) > t
    ]
    if failing:
        t = failing[-1]
        return [False, "demand", due_at(t), t, t - _demand(tasks, t), -1, 0]
    room = longest_deadline - _demand(tasks, longest_deadline)
    if tightest is None or room < tightest[1]:
        tightest = (longest_deadline, room, -1)
    return [True, "", due_at(tightest[0]), *tightest, 0]


def _admission() -> dict[str, object]:
    rng = random.Random(1)
    by_hand: list[list[Task]] = [
        [],
        [(1, 1, 1, 1)],
        [(5, 10, 10, 5), (5, 10, 10, 5)],
        [(5, 10, 10, 5), (5, 10, 10, 5), (1, 2**31, 2**31, 1)],
        [(2, 10, 4, 1), (9, 30, 30, 9)],
        [(0, 10, 10, 0)],
        [(4, 10, 3, 1)],
        [(4, 10, 11, 1)],
        [(4, 10, 10, 5)],
        [(1, 1000, 1000, 1), (1, 10**9, 10**9, 1)],
        [
            (10900, 50000, 50000, 3060),
            (40900, 1000000, 500000, 8060),
            (20060, 250000, 250000, 20060),
        ],
        [(10900, 50000, 50000, 3060), (400900, 1000000, 900000, 48060)],
        [(3, 7, 7, 1), (4, 7, 7, 1)],
    ]
    sets = list(by_hand)
    wanted = {"": 20, "demand": 12, "blocking": 16, "utilization": 4}
    late_demand = 0
    while any(wanted.values()) or late_demand < 3:
        count = rng.randint(2, 4)
        scale = rng.choice([12, 40, 100])
        tasks = []
        for _ in range(count):
            period = rng.randint(3, scale)
            budget = min(period, rng.randint(1, period // count + 2))
            tasks.append((budget, period, rng.randint(budget, period), rng.randint(1, budget)))
        verdict = judge(tasks)
        beyond = verdict[1] == "demand" and verdict[3] >= max(task[2] for task in tasks)
        if beyond:
            late_demand += 1
            sets.append(tasks)
        elif wanted.get(str(verdict[1]), 0):
            wanted[str(verdict[1])] -= 1
            sets.append(tasks)
    return {
        "about": "tasks: [budget, period, deadline, longest op]; verdict: [admitted, reason, task, "
        "at_us, slack_us, blocker, largest_op_us]",
        "cases": [{"tasks": tasks, "verdict": judge(tasks)} for tasks in sets],
    }


def _edges() -> list[tuple[int, int]]:
    """(lowest, highest) value of each of the 176 buckets, listed octave by octave."""
    edges = [(value, value) for value in range(8)]
    width = 1
    low = 8
    while len(edges) < 176:
        for _ in range(8):
            edges.append((low, low + width - 1))
            low += width
        width *= 2
    return edges


def _bucket(value: int) -> int:
    return next((i for i, (_, high) in enumerate(_edges()) if value <= high), 175)


def _histogram() -> dict[str, object]:
    rng = random.Random(2)
    edges = _edges()
    probes = sorted({v for low, high in edges for v in (low, high)} | {2**24, 2**24 + 1, 2**32 - 1})
    cases = []
    for values in (
        [],
        [0],
        [17_000_000, 5],
        [rng.randrange(20) for _ in range(40)],
        [int(rng.lognormvariate(7, 1.5)) for _ in range(200)],
        [rng.randrange(2**25) for _ in range(60)],
    ):
        ranked = sorted(values)
        percentiles = []
        for numerator, denominator in ((0, 100), (50, 100), (99, 100), (999, 1000), (100, 100)):
            reported = 0
            if values:
                rank = max(1, (len(values) * numerator + denominator - 1) // denominator)
                bucket = _bucket(ranked[rank - 1])
                reported = min(edges[bucket][1], ranked[-1]) if bucket < 175 else ranked[-1]
            percentiles.append([numerator, denominator, reported])
        buckets = sorted({_bucket(v) for v in values})
        cases.append(
            {
                "values": values,
                "n": len(values),
                "min_us": min(values, default=0),
                "max_us": max(values, default=0),
                "sum_us": sum(values),
                "buckets": [[b, sum(_bucket(v) == b for v in values)] for b in buckets],
                "percentiles": percentiles,
            }
        )
    return {
        "about": "index: [value, bucket]; edges: highest value of each bucket; percentiles: "
        "[numerator, denominator, reported]",
        "index": [[v, _bucket(v)] for v in probes],
        "edges": [high for _, high in edges],
        "cases": cases,
    }


def _le(value: int, size: int) -> str:
    return (value % 2 ** (8 * size)).to_bytes(size, "little").hex()


def _join(*fields: tuple[int, int]) -> str:
    return "".join(_le(value, size) for value, size in fields)


def _stats() -> dict[str, object]:
    head = {
        "task": 2,
        "policy": 1,
        "in_flight": True,
        "events_frozen": True,
        "off": False,
        "has_early": True,
        "released": 70_001,
        "done": 70_000 - 9,
        "missed_late": 4,
        "aborted": 3,
        "skipped": 6,
        "wcet_exceeded": 7,
        "budget_exceeded": 5,
        "mk16_max": 3,
        "mk64_max": 8,
        "cycle_jitter_max_us": 1234,
        "lateness_max_us": -250,
        "background_max_us": 19_999,
        "exec_n": 70_000 - 9,
        "exec_min_us": 9_000,
        "exec_max_us": 2**32 - 1,
        "exec_sum_us": 2**40 + 1,
        "done_lite": 60,
        "degraded": 3,
        "restored": 2,
        "restarted": 1,
        "wcet_excess_max_us": 77_000,
        "wcet_excess_op": 513,
        "variant": 1,
        "period_us": 50_000,
        "deadline_us": 40_000,
        "budget_us": 30_000,
        "early": 11,
    }
    names = list(head)
    packed = _join((3, 1), (2, 1), (1, 1), (11, 1))
    packed += "".join(_le(int(head[name]), 4) for name in names[6:13])
    packed += _join((3, 2), (8, 2))
    packed += "".join(_le(int(head[name]), 4) for name in names[15:21])
    packed += _le(int(head["exec_sum_us"]), 8)
    packed += _join((60, 4), (3, 4), (2, 4), (1, 4), (77_000, 4), (513, 2), (1, 1), (0, 1))
    packed += _join((50_000, 4), (40_000, 4), (30_000, 4), (11, 4))
    loop = {
        "mode": 1,
        "wanted_mode": 2,
        "running": True,
        "events_frozen": False,
        "elapsed_us": 2**40,
        "idle_us": 2**39,
        "op_us": 2**38 + 7,
        "background_us": 2**33,
        "ops": 123_456,
        "preemptions": 789,
        "background_count": 55,
        "background_max_us": 19_999,
        "mode_switches": 4,
        "mode_wait_max_us": 12_000,
        "gc_count": 54,
        "gc_forced": 2,
        "gc_pause_max_us": 9_876,
    }
    loop_names = list(loop)
    loop_bytes = _join((1, 1), (1, 1), (2, 1), (1, 1))
    loop_bytes += "".join(_le(int(loop[name]), 8) for name in loop_names[4:8])
    loop_bytes += "".join(_le(int(loop[name]), 4) for name in loop_names[8:])
    # start: 300 times 5 us and once 20 000 000 us; response: empty
    packed += _join((301, 4), (5, 4), (20_000_000, 4), (300 * 5 + 20_000_000, 8), (2, 1))
    packed += "05" + "ac02" + "af" + "01"
    packed += _join((0, 4), (0, 4), (0, 4), (0, 8), (0, 1))
    result = _join((9, 4), (3, 4), (77, 4), (12_345, 4), (1, 1), (7, 1), (6, 1), (0, 1))
    result += "7f80ff000102" + "00" * 10
    event = _join((2**32 - 1, 4), (77, 4), (1, 1), (6, 1), (0, 2), (45, 4))
    background = _join((5, 4), (0, 4), (255, 1), (9, 1), (0, 2), (19_999, 4))
    bad_order = packed.replace("05ac02af01", "afac020501")
    return {
        "stats": {
            "bytes": packed,
            **head,
            "start": {
                "n": 301,
                "min_us": 5,
                "max_us": 20_000_000,
                "sum_us": 20_001_500,
                "buckets": [[5, 300], [175, 1]],
            },
            "response": {"n": 0, "min_us": 0, "max_us": 0, "sum_us": 0, "buckets": []},
        },
        "stats_refused": {
            "empty": "",
            "cut off": packed[:-2],
            "too long": packed + "00",
            "version 2": "02" + packed[2:],
            "variant 2": packed[:180] + "02" + packed[182:],
            "policy 4": packed[:4] + "04" + packed[6:],
            "buckets out of order": bad_order,
            "bucket 176": packed.replace("05ac02af01", "05ac02b001"),
            "counts do not add up": packed.replace("05ac02af01", "05ac02af02"),
            "endless count": packed.replace("05ac02af01", "05ffffffffff"),
        },
        "loop": {"bytes": loop_bytes, **loop},
        "loop_refused": {
            "cut off": loop_bytes[:-2],
            "too long": loop_bytes + "00",
            "version 2": "02" + loop_bytes[2:],
        },
        "results": {
            "bytes": result,
            "records": [[9, 3, 77, 12_345, 1, True, 1, "7f80ff000102", True]],
        },
        "results_refused": {
            "cut off": result[:-2],
            "17 output bytes": result[:36] + "11" + result[38:],
        },
        "events": {
            "bytes": background + event,
            "records": [[5, 0, 255, 9, 0, 19_999], [2**32 - 1, 77, 1, 6, 0, 45]],
        },
        "events_refused": {
            "cut off": event[2:],
            "kind 0": event[:18] + "00" + event[20:],
            "kind 12": event[:18] + "0c" + event[20:],
        },
    }


def main() -> None:
    write("admission", _admission())
    write("histogram", _histogram())
    write("stats", _stats())


if __name__ == "__main__":
    main()
