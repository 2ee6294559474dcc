"""The C dispatcher against the same rules written a second time, and against the admission test."""

import copy
import os
import random
from collections.abc import Sequence

import pytest

from protocol.admission import admit, inflate, with_input
from protocol.histogram import Histogram
from tests.property.dispatcher_model import LONG, ModelTask, jitter, simulate, worst_window
from tests.sched_library import ATTENTION, DONE, START, UNTIL, Bench

SEED = int(os.environ.get("TACTUS_SEED", "4"))
SETS = 600


def _replay(case: int) -> str:
    return f"case {case}; replay: TACTUS_SEED={SEED} pytest {__file__}"


def _random_task(rng: random.Random, count: int) -> ModelTask:
    """Between comfortable and hopeless, ops that keep or break their declared times."""
    period = rng.choice([rng.randint(20, 400), 100, 200])
    total = rng.randint(1, max(1, period * rng.choice([6, 12, 20]) // (10 * count)))
    ops = rng.randint(1, min(6, total))
    wcets = [total // ops] * (ops - 1) + [total - total // ops * (ops - 1)]
    wild = rng.choice([0, 0, 1])
    durations = [
        rng.randint(1, wcet * (3 if wild and rng.random() < 0.2 else 1))
        for wcet in wcets * rng.randint(1, 7)
    ]
    deadline = max(min(period, sum(wcets)), rng.randint(period // 2, period))
    lite = [max(1, wcet // 3) for wcet in wcets[: rng.randint(1, len(wcets))]]
    lite_durations = [rng.randint(1, wcet * (2 if rng.random() < 0.02 else 1)) for wcet in lite * 9]
    if rng.random() < 0.4:
        lite, lite_durations = [], []
    budget = rng.choice([sum(wcets), deadline, max(1, sum(wcets) - 1)])
    return ModelTask(
        period=period,
        deadline=deadline,
        wcets=wcets,
        durations=durations,
        budget=max(min(budget, deadline), sum(lite)),
        lite_wcets=lite,
        lite_durations=lite_durations,
        policy=rng.randrange(4),
        skip_every=rng.choice([0, 0, 0, 5]),
        whole=rng.random() < 0.3,
    )


def _random_modes(rng: random.Random, tasks: list[ModelTask]) -> list[tuple[int, int]]:
    """Two more modes for the tasks, and wishes for them."""
    for task in tasks:
        modes: list[tuple[int, int, int, int] | None] = []
        for _ in range(2):
            variant = int(bool(task.lite_wcets) and rng.random() < 0.5)
            budget = sum(task.lite_wcets) if variant else task.budget
            period = max(budget, task.period * rng.randint(2, 9) // 4)
            modes.append((period, rng.randint(budget, period), budget, variant))
            if rng.random() < 0.2:
                modes[-1] = None
        task.modes = modes
    return sorted((rng.randrange(6000), rng.randrange(3)) for _ in range(rng.randrange(6)))


def _drive(
    bench: Bench,
    tasks: list[ModelTask],
    until: int,
    prologue: int,
    wishes: Sequence[tuple[int, int]] = (),
    origin: int = 0,
) -> None:
    """What the device's loop does, with inputs missing where the model says so."""
    asked = [0] * len(tasks)
    left = list(wishes)
    while True:
        kind, task = bench.run(until)
        if kind == START:
            asked[task] += 1
            bench.passes(prologue)
            while left and origin + left[0][0] <= bench.now_us:
                assert bench.want(left.pop(0)[1]) == 0
            every = tasks[task].skip_every
            if every and asked[task] % every == 0:
                assert bench.skip(task) == 0
            else:
                assert bench.begin(task, asked[task]) == 0
        elif kind == UNTIL:
            return
        else:
            assert kind == DONE
            if bench.now_us >= until + LONG:
                return


def _histogram(values: list[int]) -> Histogram:
    h = Histogram()
    for value in values:
        h.add(value)
    return h


@pytest.mark.parametrize("speed", [1, 7, 1000])
def test_starts_responses_and_misses_equal_those_of_an_independent_model(speed: int) -> None:
    misses = {"late": 0, "aborted": 0, "skipped": 0}
    seen = {"lite": 0, "restored": 0, "restarted": 0, "switches": 0, "kept_waiting": 0, "early": 0}
    for case in range(SETS):
        rng = random.Random(f"{SEED} {case}")
        count = rng.randint(1, 4)
        tasks = [_random_task(rng, count) for _ in range(count)]
        until, delay, prologue = rng.randint(1000, 8000), rng.randrange(200), rng.choice([0, 0, 3])
        origin = rng.choice([0, 2**32 - 1500, 2**63])
        with Bench(origin) as bench:
            for task in tasks:
                index = bench.add(
                    task.period,
                    task.deadline,
                    task.wcets,
                    task.durations,
                    budget_us=task.budget,
                    policy=task.policy,
                    whole=task.whole,
                )
                assert index >= 0
                if task.lite_wcets:
                    assert bench.add_lite(index, task.lite_wcets, task.lite_durations) == 0
            wishes = _random_modes(rng, tasks) if rng.random() < 0.5 else []
            for index, task in enumerate(tasks):
                often = 0.1 if task.lite_wcets else 0.4
                if len(task.wcets) > 1 and rng.random() < often:
                    task.mandatory = rng.randrange(1, len(task.wcets))
                    bench.mandatory(index, task.mandatory)
            for index, task in enumerate(tasks):
                for mode, timing in enumerate(task.modes, 1):
                    assert bench.mode(mode, index, *(timing or (0, 0, 0, 0))) == 0
            assert bench.start(delay, speed) == 0
            _drive(bench, tasks, origin + until, prologue, wishes, origin)
            expected = simulate(tasks, until, delay, prologue, wishes)
            where = _replay(case)
            got = [(r.task, r.job, r.response_us, r.late) for r in bench.results()[1]]
            assert got == expected[-512:], where
            seen["switches"] += bench.loop().mode_switches
            for index, task in enumerate(tasks):
                s = bench.stats(index)
                in_flight = int(task.active is not None)
                assert s.in_flight == bool(in_flight), where
                assert s.released == s.done + s.aborted + s.skipped + in_flight, where
                assert s.released == task.releases - (task.held is not None), where
                counts = [task.outcomes.count(k) for k in ("ok", "late", "aborted", "skipped")]
                assert [s.done - s.missed_late, s.missed_late, s.aborted, s.skipped] == counts, (
                    where
                )
                assert s.mk16_max == worst_window(task.outcomes, 16), where
                assert s.mk64_max == worst_window(task.outcomes, 64), where
                worst_jitter = jitter(task.start_latencies, task.start_breaks)
                assert s.cycle_jitter_max_us == worst_jitter, where
                assert (s.done_lite, s.degraded) == (task.lite_done, task.went_lite), where
                assert (s.early, s.has_early) == (task.early_done, task.mandatory > 0), where
                assert (s.restored, s.restarted) == (task.came_back, task.restarted), where
                assert s.wcet_exceeded == task.wcet_exceeded, where
                assert s.budget_exceeded == task.budget_exceeded, where
                assert vars(s.start) == vars(_histogram(task.start_latencies)), where
                assert vars(s.response) == vars(_histogram(task.responses)), where
                assert (s.exec_n, s.exec_sum_us) == (s.done, sum(task.executions)), where
                assert s.exec_max_us == max(task.executions, default=0), where
                assert s.exec_min_us == min(task.executions, default=0), where
                if not wishes:
                    worst = max((r - task.deadline for r in task.responses), default=0)
                    assert s.lateness_max_us == worst, where
                seen["lite"] += task.lite_done
                seen["early"] += task.early_done
                seen["restored"] += task.came_back
                seen["restarted"] += task.restarted
                seen["kept_waiting"] += task.kept_waiting
                for kind in misses:
                    misses[kind] += task.outcomes.count(kind)
    assert min(misses.values()) > 500, f"the sets exercise too little: {misses}"
    assert min(seen.values()) > 50, f"the sets exercise too little: {seen}"


@pytest.mark.parametrize("speed", [1, 10])
def test_an_admitted_set_never_misses_on_the_dispatcher(speed: int) -> None:
    """With prologues, background work of any rate and ops up to their declared time."""
    admitted = 0
    for case in range(SETS):
        rng = random.Random(f"{SEED} admitted {case}")
        count = rng.randint(1, 4)
        timings = []
        for _ in range(count):
            period = rng.randint(30, 600)
            ops = rng.randint(1, 8)
            wcets = [rng.randint(1, max(1, period // (count * ops + 1))) for _ in range(ops)]
            deadline = max(rng.randint(period // 2, period), sum(wcets))
            timings.append((period, min(deadline, period), wcets, rng.random() < 0.3))
        prologue, piece = rng.choice([0, 2, 6]), rng.choice([0, 5, 20])
        inputs = [rng.choice([0, 0, 3, 9]) for _ in timings]
        tasks = [
            with_input((sum(w), p, d, sum(w) if whole else max(w)), cost)
            for (p, d, w, whole), cost in zip(timings, inputs, strict=True)
        ]
        if not admit(inflate(tasks, prologue, 0, piece, 400)).admitted:
            continue
        admitted += 1
        with Bench() as bench:
            for period, deadline, wcets, whole in timings:
                durations = [w if rng.random() < 0.7 else rng.randint(1, w) for w in wcets * 5]
                bench.add(period, deadline, wcets, durations, whole=whole)
            bench.start(rng.randrange(300), speed)
            bench.lib.stub_set_attention(bench.stub, int(piece > 0))
            while bench.now_us < 12000:
                kind, task = bench.run(12000)
                if kind == START:
                    bench.passes(rng.randint(0, prologue + inputs[task]))
                    bench.begin(task)
                elif kind == ATTENTION:
                    begun = bench.now_us
                    bench.passes(rng.randint(1, piece))
                    bench.lib.tac_sched_background(bench.sched, begun, 0)
            for index in range(count):
                s = bench.stats(index)
                missed = s.missed_late + s.aborted + s.skipped
                assert missed == 0, f"{timings} missed {missed}; {_replay(case)}"
                assert s.done > 10 and s.lateness_max_us <= 0 and s.wcet_exceeded == 0
    assert admitted > SETS // 4


def test_the_model_finds_a_difference_when_there_is_one() -> None:
    """The comparison would notice: one changed op time changes what the model reports."""
    rng = random.Random(SEED)
    tasks = [_random_task(rng, 2) for _ in range(2)]
    other = copy.deepcopy(tasks)
    other[0].durations = [d + 1 for d in other[0].durations]
    assert simulate(tasks, 5000) != simulate(other, 5000)
