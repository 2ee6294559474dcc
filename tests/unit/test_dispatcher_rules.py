"""One rule of the dispatcher each, in exact virtual time."""

import ctypes
import struct
import subprocess

import cbor2
import pytest

from protocol.stats import EVENT_KINDS
from tests.sched_library import (
    ABORT,
    ATTENTION,
    COUNT_ONLY,
    DEGRADE,
    DONE,
    ERR_ARGUMENT,
    ERR_NOT_FOUND,
    ERR_SPACE,
    ERR_STATE,
    FLAGS,
    FOREVER,
    ROOT,
    SKIP_NEXT,
    START,
    STOPPED,
    U32,
    UNTIL,
    Bench,
)


def _kinds(bench: Bench) -> list[str]:
    return [EVENT_KINDS[event.kind] for event in bench.events()]


def test_a_job_is_preempted_only_between_ops_and_by_a_shorter_deadline() -> None:
    with Bench() as b:
        b.add(100, 90, [10])
        b.add(400, 400, [80, 80, 80])
        b.start()
        assert [b.run()[0], b.begin(0), b.run()[0]] == [START, 0, DONE]  # 0..10
        assert b.run() == (START, 1)
        b.begin(1)
        assert b.run() == (START, 0)  # released at 100, inside the op from 90 to 170
        assert b.now_us == 170
        b.begin(0)
        assert b.run() == (DONE, 0)
        s = b.stats(0)
        assert (s.done, s.missed_late, s.start.max_us, s.response.max_us) == (2, 0, 70, 80)


def test_a_job_that_runs_whole_is_not_preempted_once_it_has_its_input() -> None:
    with Bench() as b:
        b.add(100, 90, [10])
        b.add(400, 400, [80, 80, 80], whole=True)
        b.start()
        assert [b.run()[0], b.begin(0), b.run()[0]] == [START, 0, DONE]  # 0..10
        assert b.run() == (START, 1)
        b.begin(1)
        assert b.run() == (DONE, 1)  # releases at 100 and 200 wait
        assert b.now_us == 250
        assert b.run() == (START, 0)


def test_a_whole_job_that_has_not_begun_waits_for_shorter_deadlines() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.add(400, 400, [80], whole=True)
        b.start()
        assert [b.run(), b.begin(0), b.run(), b.run()] == [(START, 0), 0, (DONE, 0), (START, 1)]
        b.passes(95)  # a prologue during which task 0 is released again
        b.begin(1)
        assert b.run() == (DONE, 1)


def test_the_running_job_wins_a_tie_and_otherwise_the_lower_index() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.add(300, 300, [150, 100])
        b.start()
        # Job 0 of task 1 and job 2 of task 0 are both due at 300, released at 200 while 1 runs.
        log = b.go(330)
        assert log[:4] == [(START, 0), (DONE, 0), (START, 1), (START, 0)]
        assert log[4:7] == [(DONE, 0), (DONE, 1), (START, 0)]
        assert b.stats(0).released == b.stats(0).done + int(b.stats(0).in_flight)


def test_start_is_returned_once_and_a_waiting_job_does_not_block_others() -> None:
    with Bench() as b:
        b.add(1000, 100, [10])
        b.add(1000, 900, [10])
        b.start()
        assert b.run() == (START, 0)
        assert b.run() == (START, 1)  # task 0 has not its input yet
        assert b.begin(1) == 0
        assert b.run() == (DONE, 1)
        assert b.run(500) == (UNTIL, 0)
        assert b.begin(0) == 0
        assert b.begin(0) == ERR_STATE
        assert b.skip(0) == ERR_STATE
        assert b.run() == (DONE, 0)
        assert b.stats(0).start.max_us == 500
        assert (b.begin(2), b.skip(2)) == (ERR_NOT_FOUND, ERR_NOT_FOUND)


def test_the_model_is_reset_before_the_caller_writes_its_input() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.start()
        b.run()
        assert b.lib.stub_resets(b.stub, 0) == 1
        b.begin(0)
        b.run()
        assert b.lib.stub_resets(b.stub, 0) == 1


def test_a_release_without_input_is_a_skipped_sample_and_a_miss() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.start()
        b.run()
        assert b.skip(0) == 0
        s = b.stats(0)
        assert (s.released, s.skipped, s.done, s.mk16_max, s.in_flight) == (1, 1, 0, 1, False)
        assert _kinds(b) == ["release", "skipped"]


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        # released, done, late, aborted, skipped after 8 periods; every 4th job's first op takes 60
        # instead of 30 of a budget of 60
        (ABORT, (8, 6, 0, 2, 0)),
        (SKIP_NEXT, (8, 6, 0, 0, 2)),
        (DEGRADE, (8, 6, 0, 0, 2)),  # without a lite variant it acts as skip_next
        (COUNT_ONLY, (8, 8, 0, 0, 0)),
    ],
)
def test_each_overrun_policy_does_what_its_name_says(policy: int, outcome: tuple[int, ...]) -> None:
    durations = {
        ABORT: [60, 30, 30, 30, 30, 30, 30],  # the aborted job never runs its second op
        SKIP_NEXT: [60, 30, 30, 30, 30, 30],  # one release of four is skipped
        DEGRADE: [60, 30, 30, 30, 30, 30],
        COUNT_ONLY: [60, 30, 30, 30, 30, 30, 30, 30],
    }[policy]
    with Bench() as b:
        b.add(100, 100, [30, 30], durations, policy=policy)
        b.start()
        b.go(799)
        s = b.stats(0)
        assert (s.released, s.done, s.missed_late, s.aborted, s.skipped) == outcome
        assert (s.budget_exceeded, s.wcet_exceeded) == (2, 2)


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        (ABORT, (6, 4, 1, 2, 0)),  # 1 and 2 are past their deadlines, 3 starts at 350
        (SKIP_NEXT, (6, 3, 1, 0, 3)),  # 1, 2 and 3 found job 0 there; 4 is on the beat again
        (COUNT_ONLY, (6, 4, 2, 0, 2)),  # 1 waits and runs late; 2 and 3 are skipped
    ],
)
def test_every_release_missed_behind_something_long_is_accounted(
    policy: int, outcome: tuple[int, ...]
) -> None:
    """An op of 350 us where 10 were declared: three releases pass by meanwhile."""
    with Bench() as b:
        b.add(100, 100, [10], [350, 10, 10, 10, 10, 10], policy=policy)
        b.start()
        b.go(599)
        s = b.stats(0)
        assert s.released == 6
        assert s.released == s.done + s.aborted + s.skipped
        got = (s.released, s.done, s.missed_late, s.aborted, s.skipped)
        assert got == outcome


def test_a_long_absence_of_the_caller_is_accounted_release_by_release() -> None:
    with Bench() as b:
        b.add(100, 80, [10], policy=SKIP_NEXT)
        b.start()
        b.run()
        b.begin(0)
        b.run()
        b.passes(100_000)
        b.go(100_450)
        s = b.stats(0)
        assert s.released == s.done + s.aborted + s.skipped == 1005
        assert (s.missed_late, s.skipped) == (1, 999)
        assert (s.mk16_max, s.mk64_max) == (16, 64)


def test_the_first_miss_freezes_the_event_ring() -> None:
    with Bench() as b:
        b.add(100, 50, [10], [10, 10, 60, 10])
        b.start()
        b.go(150)
        assert not b.stats(0).events_frozen
        b.go(1000)
        frozen = b.packed_events()
        assert b.stats(0).events_frozen
        assert _kinds(b)[-3:] == ["op", "done", "late"]
        last = b.events()[-1]
        assert (last.at_us, last.job, last.value) == (260, 2, 10)
        b.go(5000)
        assert b.packed_events() == frozen
        b.start()
        assert b.events() == [] and not b.stats(0).events_frozen


def test_the_event_ring_keeps_the_last_32_oldest_first() -> None:
    with Bench(2**40) as b:
        b.add(100, 100, [5, 5])
        b.start()
        b.go(2**40 + 10_000)
        events = b.events()
        assert len(events) == 32
        ends = [e.at_us for e in events if EVENT_KINDS[e.kind] == "done"]
        assert ends == sorted(ends) and ends[-1] == 10_010
        small = ctypes.create_string_buffer(511)
        assert b.lib.tac_sched_pack_events(b.sched, small, 511) == ERR_SPACE


@pytest.mark.parametrize("speed", [1, 2, 3, 10, 1000])
def test_idle_compression_shortens_waiting_by_its_factor_and_nothing_else(speed: int) -> None:
    with Bench(77) as b:
        b.add(1000, 1000, [100])
        b.start(0, speed)
        b.go(77 + 10_000 - 1)
        s = b.stats(0)
        assert b.now_us == 77 + 9_999
        assert (s.done, s.start.max_us, s.response.min_us, s.response.max_us) == (10, 0, 100, 100)
        waits = [900] * 9 + [899]
        assert b.lib.stub_waited(b.stub) == sum(-(-wait // speed) for wait in waits)
        assert b.real_us == 77 + 1000 + sum(-(-wait // speed) for wait in waits)


@pytest.mark.parametrize("speed", [1, 7, 100])
def test_waits_that_end_early_never_jump_over_a_release(speed: int) -> None:
    with Bench() as b:
        b.add(1000, 1000, [100])
        b.start(0, speed)
        b.wakes(range(1, 40_000, 13))
        b.go(20_000)
        s = b.stats(0)
        assert (s.done, s.start.max_us, s.cycle_jitter_max_us, s.skipped) == (21, 0, 0, 0)


@pytest.mark.parametrize("speed", [1, 10])
def test_a_wait_that_ends_late_is_late_by_as_much_and_not_by_speed_times_that(speed: int) -> None:
    with Bench() as b:
        b.add(1000, 1000, [100])
        b.start(500, speed)
        b.lib.stub_set_overshoot(b.stub, 30)
        b.go(20_000)
        s = b.stats(0)
        assert (s.start.min_us, s.start.max_us, s.missed_late) == (30, 30, 0)


def test_attention_is_given_only_when_idle_and_until_comes_first() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 10])
        b.lib.stub_set_attention(b.stub, 1)
        b.start()
        assert b.run(50) == (START, 0)
        b.begin(0)
        assert b.run(50) == (DONE, 0)
        assert b.run(50) == (ATTENTION, 0)
        assert b.run(b.now_us) == (UNTIL, 0)


def test_background_work_shows_in_ring_and_statistics() -> None:
    with Bench(500) as b:
        b.add(100, 100, [10])
        b.start()
        b.go(540)
        begun = b.now_us
        b.passes(25)
        b.lib.tac_sched_background(b.sched, begun, 0)
        event = b.events()[-1]
        assert (event.task, EVENT_KINDS[event.kind], event.at_us, event.value) == (
            255,
            "background",
            40,
            25,
        )
        assert b.stats(0).background_max_us == 25


def test_results_are_kept_in_order_and_an_old_cursor_jumps_to_the_oldest() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.start()
        b.go(2_001)
        cursor, first = b.results(0, 36 * 5 + 35)
        assert cursor == 5 and [r.sequence for r in first] == [0, 1, 2, 3, 4]
        cursor, rest = b.results(cursor)
        assert cursor == 21 and len(rest) == 16
        assert (rest[-1].job, rest[-1].response_us, rest[-1].late) == (20, 10, False)
        assert len(rest[-1].output) == 10 and rest[-1].output[0] == 21
        assert b.results(cursor) == (21, [])
        assert b.results(2**31)[1][0].sequence == 0  # a cursor from another life
        b.go(60_000)
        cursor, all_kept = b.results(3)
        assert len(all_kept) == 512 and all_kept[0].sequence == cursor - 512
        place = U32(cursor - 1)
        small = ctypes.create_string_buffer(35)
        packed = b.lib.tac_sched_pack_results(b.sched, ctypes.byref(place), small, 35)
        assert (packed, place.value) == (ERR_SPACE, cursor - 1)


def test_statistics_refuse_a_small_buffer_and_an_unknown_task() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.start()
        b.go(500)
        size = len(b.packed_stats(0))
        buf = ctypes.create_string_buffer(size)
        assert b.lib.tac_sched_pack_stats(b.sched, 0, buf, size) == size
        assert b.lib.tac_sched_pack_stats(b.sched, 0, buf, size - 1) == ERR_SPACE
        assert b.lib.tac_sched_pack_stats(b.sched, 1, buf, size) == ERR_NOT_FOUND


def test_bad_arguments_and_states_get_their_codes() -> None:
    with Bench() as b:
        assert b.start() == ERR_STATE  # no tasks
        assert b.add(100, 101, [10]) == ERR_ARGUMENT
        assert b.add(100, 50, [10], budget_us=51) == ERR_ARGUMENT
        assert b.add(100, 100, [10], policy=4) == ERR_ARGUMENT
        assert b.add(100, 100, []) == ERR_ARGUMENT
        assert [b.add(100, 100, [10]) for _ in range(4)] == [0, 1, 2, 3]
        assert b.add(100, 100, [10]) == ERR_SPACE
        assert b.start(0, 0) == ERR_ARGUMENT
        assert b.run(0) == (STOPPED, 0)
        assert b.start() == 0
        assert b.add(100, 100, [10]) == ERR_STATE
        b.lib.tac_sched_stop(b.sched)
        assert b.begin(0) == ERR_STATE


def test_a_stopped_dispatcher_rests_until_attention_or_until() -> None:
    with Bench() as b:
        assert (b.run(300), b.now_us) == ((STOPPED, 0), 300)
        b.lib.stub_set_attention(b.stub, 1)
        assert (b.run(900), b.now_us) == ((STOPPED, 0), 300)


def test_a_restart_clears_the_statistics_and_begins_a_new_grid() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.start()
        b.go(1234)
        b.lib.tac_sched_stop(b.sched)
        b.start(6)
        assert b.stats(0).released == 0 and b.results()[1] == []
        b.go(b.now_us + 500)
        s = b.stats(0)
        assert (s.released, s.start.max_us, b.results()[1][0].job) == (5, 0, 0)


def test_the_grid_does_not_drift_over_a_year() -> None:
    """10^8 periods of 333 333 us fit no 32-bit clock; the grid is exact after each."""
    with Bench(2**32 - 5) as b:
        b.add(3_600_000_000, 3_600_000_000, [7])
        b.start(0, 1_000_000)
        hours = 24 * 365
        b.go(2**32 - 5 + hours * 3_600_000_000)
        s = b.stats(0)
        assert (s.done, s.start.max_us, s.missed_late) == (hours + 1, 0, 0)


@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc"],
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-Os"],
    ],
    ids=["host", "cortex-m4"],
)
def test_the_sources_compile_without_a_warning(compiler: list[str]) -> None:
    for source in ("sched.c", "tasks.c", "jobs.c", "stats.c", "hist.c", "frame.c"):
        command = [*compiler, *FLAGS, f"-I{ROOT / 'device'}", "-c", "-o", "/dev/null"]
        command.append(str(ROOT / "device/sched" / source))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_forever_is_later_than_any_release() -> None:
    with Bench() as b:
        b.add(2**32 - 1, 2**32 - 1, [1])
        b.start(2**32 - 1)
        assert b.run(FOREVER) == (START, 0)
        assert b.now_us == 2**32 - 1


def test_degrade_starts_again_lite_within_the_budget_and_comes_back_after_a_while() -> None:
    with Bench() as b:
        # 20 of 60 are used when the second op would lead to 80: 40 are left, lite needs 30.
        b.add(100, 100, [20, 40], [20, 40, 50] + [20, 40] * 40, budget_us=60, policy=DEGRADE)
        assert b.add_lite(0, [10, 20]) == 0
        b.start()
        log = b.go(99)
        assert [kind for kind, _ in log] == [START, DONE, UNTIL]
        log = b.go(199)  # the first op takes 50 of 60: 10 + 30 fits no more, so the job runs on
        assert [kind for kind, _ in log] == [START, DONE, UNTIL]
        s = b.stats(0)
        assert (s.degraded, s.restarted, s.variant, s.done_lite) == (1, 0, 1, 0)
        b.go(1799)
        s = b.stats(0)
        assert (s.done, s.done_lite, s.restored, s.variant) == (18, 16, 1, 0)
        b.go(1899)
        assert b.stats(0).done_lite == 16
        assert [r.variant for r in b.results()[1]] == [0, 0] + [1] * 16 + [0]


def test_a_job_that_starts_again_asks_for_its_input_once_more_and_counts_what_it_used() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 80], [20, 80], budget_us=90, policy=DEGRADE)
        b.add_lite(0, [30, 30])
        b.start()
        log = b.go(99)
        assert [kind for kind, _ in log] == [START, START, DONE, UNTIL]
        s = b.stats(0)
        assert (s.restarted, s.degraded, s.done_lite, s.budget_exceeded) == (1, 1, 1, 1)
        assert (s.exec_max_us, s.response.max_us, s.start.n, s.missed_late) == (80, 80, 1, 0)


def test_a_lite_variant_must_be_lighter_and_of_a_task() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        assert b.add_lite(0, [11]) == ERR_ARGUMENT
        assert b.add_lite(1, [1]) == ERR_NOT_FOUND
        assert b.mode(1, 0, 100, 100, 10, 1) == ERR_ARGUMENT  # no lite variant
        assert b.add_lite(0, [9]) == 0
        b.start()
        assert b.add_lite(0, [9]) == ERR_STATE


def test_a_mode_begins_at_the_first_instant_without_a_job_and_with_a_grid_of_its_own() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.add(400, 400, [80, 80])
        b.mode(1, 0, 50, 40, 10)
        b.mode(1, 1, 0, 0, 0)
        assert b.want(1) == ERR_STATE
        b.start()
        b.run()
        assert b.want(1) == 0 and b.want(2) == ERR_NOT_FOUND
        b.begin(0)
        b.go(600)
        loop, first, second = b.loop(), b.stats(0), b.stats(1)
        # 0..10 task 0, 10..170 task 1, 170..180 task 0: idle at 180, where mode 1 begins.
        assert (loop.mode, loop.wanted_mode, loop.mode_switches) == (1, 1, 1)
        assert loop.mode_wait_max_us == 180
        assert (second.off, second.done, second.released, second.period_us) == (True, 1, 1, 0)
        assert (first.period_us, first.deadline_us, first.budget_us) == (50, 40, 10)
        assert (first.done, first.start.max_us) == (2 + 9, 70)
        assert first.cycle_jitter_max_us == 70  # of the old grid: not taken across
        starts = [e.at_us for e in b.events() if EVENT_KINDS[e.kind] == "start"]
        assert starts[-3:] == [480, 530, 580]


def test_a_mode_that_is_taken_back_in_time_never_begins() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.mode(1, 0, 200, 200, 10)
        b.start()
        b.run()
        b.want(1)
        b.want(0)
        b.begin(0)
        b.go(1000)
        assert (b.loop().mode_switches, b.stats(0).period_us) == (0, 100)


def test_a_whole_task_is_not_left_between_start_and_done() -> None:
    for whole, order in ((False, [1, 0, 0, 1]), (True, [1, 1, 0, 0])):
        with Bench() as b:
            b.add(100, 50, [10])
            b.add(400, 400, [30, 30], whole=whole)
            b.start(0)
            b.run()
            b.begin(0)
            b.run()
            b.passes(60)
            seen = []
            kind, task = b.run()
            while len(seen) < 4:
                seen.append(task)
                if kind == START:
                    b.passes(30)
                    b.begin(task)
                kind, task = b.run()
            assert seen == order


def test_loop_statistics_add_up() -> None:
    with Bench(100) as b:
        b.add(100, 100, [10, 5])
        b.start()
        b.go(549)
        begun = b.now_us
        b.passes(20)
        b.lib.tac_sched_background(b.sched, begun, 1)
        b.lib.tac_sched_collected(b.sched, 19, 0)
        b.lib.tac_sched_collected(b.sched, 7, 1)
        loop = b.loop()
        assert (loop.ops, loop.op_us, loop.background_us, loop.background_count) == (10, 75, 20, 1)
        assert loop.elapsed_us == loop.idle_us + loop.op_us + loop.background_us
        assert (loop.gc_count, loop.gc_forced, loop.gc_pause_max_us) == (2, 1, 19)
        event = b.events()[-1]
        assert (EVENT_KINDS[event.kind], event.op) == ("background", 1)
        b.lib.tac_sched_stop(b.sched)
        b.passes(500)
        assert b.loop().elapsed_us == loop.elapsed_us and not b.loop().running


def test_an_op_beyond_its_declared_time_is_named() -> None:
    with Bench() as b:
        b.add(100, 100, [10, 10, 10], [10, 14, 10, 10, 13, 10], budget_us=90)
        b.start()
        b.go(199)
        s = b.stats(0)
        assert (s.wcet_exceeded, s.wcet_excess_op, s.wcet_excess_max_us) == (2, 1, 4)


def test_ops_in_a_row_are_one_event_and_a_blocked_release_lies_inside_it() -> None:
    with Bench() as b:
        b.add(100, 30, [10])
        b.add(400, 400, [40, 40, 40])
        b.start()
        b.go(200)
        kinds = [(EVENT_KINDS[e.kind], e.task, e.op, e.at_us, e.value) for e in b.events()]
        assert ("op", 1, 2, 10, 120) in kinds  # 10..130, three ops
        assert ("release", 0, 0, 100, 30) in kinds
        assert kinds[-1][0] == "late"


def test_a_frame_is_a_map_that_any_cbor_reader_takes() -> None:
    with Bench() as b:
        b.add(100, 100, [10])
        b.add(100, 100, [10])
        b.start()
        b.go(5000)
        message = b.frame(7, 123, [1, 2, 30, 400, 70_000])
        body = cbor2.loads(message[8:])
        assert message[:8] == struct.pack(">BBHHBB", 9, 0, len(message) - 8, 64, 0, 4)
        assert cbor2.dumps(body, canonical=True) == message[8:]
        assert list(body) == ["seq", "link", "loop", "tasks", "uptime_ms"]
        assert (body["seq"], body["uptime_ms"]) == (7, 123)
        assert body["link"] == [1, 2, 30, 400, 70_000]
        assert body["tasks"] == [b.packed_stats(0), b.packed_stats(1)]
        for size in range(len(message)):
            assert b.frame(7, 123, [1, 2, 30, 400, 70_000], size=size) == b""


def test_a_frame_carries_the_frozen_events_also_where_the_tasks_find_no_room() -> None:
    with Bench() as b:
        b.add(100, 50, [10], [10] * 40 + [60])
        b.start()
        assert "events" not in cbor2.loads(b.frame(1, 1, [0] * 5, events=True)[8:])
        b.go(6000)
        body = cbor2.loads(b.frame(2, 1, [0] * 5, events=True)[8:])
        assert body["events"] == b.packed_events() and len(body["tasks"]) == 1
        body = cbor2.loads(b.frame(2, 1, [0] * 5, events=True, size=700)[8:])
        assert body["events"] == b.packed_events() and body["tasks"] == []
        assert "events" not in cbor2.loads(b.frame(3, 1, [0] * 5)[8:])
