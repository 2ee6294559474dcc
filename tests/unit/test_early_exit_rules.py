"""The dispatcher and early exits: protocol/SPEC.md, "Rules of dispatch". Exact virtual time."""

from __future__ import annotations

from sched_library import (
    ABORT,
    COUNT_ONLY,
    DEGRADE,
    DONE,
    FOREVER,
    SKIP_NEXT,
    START,
    UNTIL,
    Bench,
)

POLICIES = (ABORT, SKIP_NEXT, DEGRADE, COUNT_ONLY)
EARLY_KIND = 11


def answers(bench: Bench) -> list[tuple[int, bool]]:
    """(response, early) of each result."""
    return [(r.response_us, r.early) for r in bench.results()[1]]


def misses(bench: Bench, task: int) -> int:
    s = bench.stats(task)
    return s.missed_late + s.aborted + s.skipped


def test_with_room_the_final_answer_comes() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 20, 30])
        b.mandatory(0, 1)
        b.start()
        b.go(499)
        s = b.stats(0)
        assert (s.has_early, s.early, s.done) == (True, 0, 5)
        assert answers(b) == [(60, False)] * 5
        assert b.results()[1][0].output[0] == 3  # all three ops have made it
        assert b.lib.tac_sched_is_early(b.sched, 0) == 0


def test_the_budget_ends_the_optional_part_under_every_policy() -> None:
    for policy in POLICIES:
        with Bench() as b:
            b.add(100, 100, [10, 20, 30], budget_us=30, policy=policy)
            b.mandatory(0, 1)
            b.start()
            assert b.run() == (START, 0)
            b.begin(0, 7)
            assert b.run() == (DONE, 0)
            assert b.now_us == 30  # two ops fit, the third is not begun
            (r,) = b.results()[1]
            assert (r.tag, r.response_us, r.early, r.late, r.output[0]) == (7, 30, True, False, 1)
            assert b.lib.tac_sched_is_early(b.sched, 0) == 1
            b.go(450)
            s = b.stats(0)
            assert (s.done, s.early, s.budget_exceeded, misses(b, 0)) == (5, 5, 0, 0)
            kinds = [e.kind for e in b.events()]
            assert kinds.count(EARLY_KIND) == 5
            early = next(e for e in b.events() if e.kind == EARLY_KIND)
            assert (early.task, early.op, early.value) == (0, 2, 30)


def test_a_fast_mandatory_part_leaves_its_time_to_the_optional_one() -> None:
    with Bench() as b:
        b.add(100, 100, [40, 20], [15, 20], budget_us=40)
        b.mandatory(0, 1)
        b.start()
        b.go(99)
        assert answers(b) == [(35, False)]


def test_an_optional_part_that_cannot_end_before_the_deadline_is_not_begun() -> None:
    with Bench() as b:
        b.add(100, 50, [20, 30, 10], [20, 30, 10] + [21, 30, 10] * 3, budget_us=50)
        b.mandatory(0, 1)
        b.start()
        assert b.run() == (START, 0)
        b.passes(25)  # the loop is slow: 45 after the mandatory part
        b.begin(0)
        assert b.run() == (DONE, 0)
        assert answers(b) == [(45, True)] and misses(b, 0) == 0


def test_a_preempted_optional_part_ends_when_its_deadline_cannot_be_reached() -> None:
    with Bench() as b:
        b.add(200, 200, [10, 60, 60], [10, 60, 60])
        b.add(200, 150, [20] * 6, [20] * 6)  # begun first, takes until 120
        b.mandatory(0, 1)
        b.start()
        log = b.go(199)
        assert log == [(START, 1), (DONE, 1), (START, 0), (DONE, 0), (UNTIL, 0)]
        # 130 after the mandatory part, 190 after the second op; the third would end at 250.
        assert answers(b) == [(120, False), (190, True)]
        assert misses(b, 0) == 0


def test_the_answer_is_not_late_while_others_hold_the_processor() -> None:
    with Bench() as b:
        b.add(300, 120, [10, 20, 30], [10, 20, 30])
        b.add(300, 60, [50], [95], budget_us=50)  # overruns its declared time
        b.mandatory(0, 1)
        b.start()
        assert b.run() == (START, 1)
        assert b.skip(1) == 0
        assert b.run() == (START, 0)
        b.begin(0)
        b.go(299)
        assert misses(b, 0) == 0 and b.stats(0).early == 0
        # The next time the other one comes first, and takes until 395 of 420.
        b.go(599)
        assert (misses(b, 0), b.stats(0).early) == (0, 1)
        assert answers(b)[-1] == (105, True)


def test_a_release_finds_no_job_in_its_optional_part() -> None:
    for policy in POLICIES:
        with Bench() as b:
            b.add(100, 100, [55, 40], policy=policy)
            b.add(60, 35, [10], [10, 250] + [10] * 50)  # one op is far above its declared time
            b.mandatory(0, 1)
            b.start()
            b.go(599)
            first = b.results()[1][1]
            assert (first.task, first.job, first.response_us, first.late) == (0, 0, 65, False)
            s = b.stats(0)
            assert first.early and s.early >= 1
            assert s.released == s.done + s.aborted + s.skipped


def test_the_mandatory_part_is_the_policies_business() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 20, 30], [10, 45, 30], budget_us=30, policy=ABORT)
        b.mandatory(0, 2)
        b.start()
        b.go(99)
        s = b.stats(0)  # the second op exceeds the budget: known only once it is over
        assert (s.done, s.early, s.budget_exceeded) == (1, 1, 1)
    with Bench() as b:
        b.add(100, 100, [10, 20, 30], [25, 20, 30], budget_us=30, policy=ABORT)
        b.mandatory(0, 2)
        b.start()
        b.go(99)
        s = b.stats(0)
        assert (s.done, s.aborted, s.early, s.budget_exceeded) == (0, 1, 0, 1)
    with Bench() as b:
        b.add(100, 100, [10, 20, 30], [25, 20, 30], budget_us=30, policy=SKIP_NEXT)
        b.mandatory(0, 2)
        b.start()
        b.go(199)
        s = b.stats(0)  # runs its mandatory part to the end and not further
        assert (s.done, s.skipped, s.early, s.budget_exceeded) == (1, 1, 1, 1)
        assert answers(b) == [(45, True)]


def test_a_lite_variant_takes_over_from_the_mandatory_part() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 20, 30], [45, 20, 30], budget_us=60, policy=DEGRADE)
        b.add_lite(0, [15])
        b.mandatory(0, 2)
        b.start()
        b.go(99)
        s = b.stats(0)  # 45 + 20 are too many: again on the lite variant, which has no early exit
        assert (s.restarted, s.degraded, s.done_lite, s.early) == (1, 1, 1, 0)
        assert answers(b) == [(60, False)]


def test_a_late_mandatory_part_is_late() -> None:
    with Bench() as b:
        b.add(100, 40, [20, 20], [60, 20], budget_us=40)
        b.mandatory(0, 1)
        b.start()
        b.go(99)
        s = b.stats(0)
        assert (s.done, s.early, s.missed_late, s.budget_exceeded) == (1, 1, 1, 1)
        assert answers(b) == [(60, True)]


def test_a_task_that_runs_whole_may_end_early() -> None:
    with Bench() as b:
        b.add(300, 300, [20, 20, 20, 20], budget_us=60, whole=True)
        b.add(100, 50, [10])
        b.mandatory(0, 1)
        b.start()
        b.go(299)
        assert (b.stats(0).done, b.stats(0).early) == (1, 1)
        assert b.stats(0).exec_max_us == 60
        assert (b.stats(1).done, misses(b, 1)) == (3, 0)


def test_a_mode_brings_its_own_budget() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 20, 30])
        b.mandatory(0, 1)
        assert b.mode(1, 0, 50, 50, 30) == 0
        b.start()
        b.go(99)
        assert b.stats(0).early == 0
        b.want(1)
        b.go(198)  # a grid of its own, from 99 on
        assert b.stats(0).early == 2
        b.want(0)
        b.go(298)
        assert (b.stats(0).early, misses(b, 0)) == (2, 0)


def test_jobs_that_end_early_together_are_each_told() -> None:
    with Bench() as b:
        for _ in range(2):
            b.add(200, 100, [10, 60])
        b.add(200, 99, [10], [10, 95], budget_us=10)
        b.mandatory(0, 1)
        b.mandatory(1, 1)
        b.start()
        log = b.go(399)
        assert sum(kind == DONE for kind, _ in log) == 6
        assert [b.stats(i).done for i in range(3)] == [2, 2, 2]
        assert b.run(FOREVER)[0] == START
