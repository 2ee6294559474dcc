"""What people and programs see of a running board."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from demo_board import DemoBoard
from fake_board import INFO, FakeBoard
from report_samples import TASKS, moment, packed, report, stats
from rich.console import Console, Group

from host.errors import ExitCode
from host.link.errors import BadReplyError
from host.link.ports import PortInfo
from host.link.session import connect
from host.link.tactus_group import StatsSnapshot
from host.monitor import tables
from host.monitor.board_view import board_lines
from host.monitor.live import watch
from host.monitor.status import read_status, slow_ops, status_json, status_view
from host.monitor.times import milliseconds
from host.monitor.views import JsonLines, LiveTable, PlainLines, choose_view
from protocol import smp
from protocol.stats import unpack_stats


def text_of(renderable: object, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def row_of(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.strip().startswith(name))


def test_the_sample_statistics_survive_the_wire():
    sample = stats(3, 50, 9_000, 2)
    seen = unpack_stats(packed(sample))
    assert seen.response.buckets == sample.response.buckets
    assert (seen.released, seen.lateness_max_us) == (51, -12_000)


def test_the_task_table_shows_promise_and_measurement():
    row = tables.TaskRow("motion", 1_000_000, 500_000, stats(1, 40, 64_000))
    text = text_of(tables.task_table([row]))
    response = row.stats.response
    cells = row_of(text, "motion")
    assert cells[1:6] == ["1,000.0", "500.0", "41", "40", "0"]
    assert milliseconds(response.max_us) in cells
    assert milliseconds(response.percentile(99)) in cells
    assert f"{response.max_us / 500_000:.0%}" in cells


def test_the_task_table_says_how_often_a_task_ended_early():
    seen = stats(1, 40, 64_000)._replace(has_early=True, early=10)
    text = text_of(tables.task_table([tables.TaskRow("motion", 1_000_000, 500_000, seen)]))
    assert "40 25% early" in text
    assert unpack_stats(packed(seen)).early == 10


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_task_table_cuts_nothing_on_a_narrow_terminal(width):
    rows = [
        tables.TaskRow("motion", 1_000_000, 500_000, stats(1, 40, 64_000)),
        tables.TaskRow("digits", 50_000, 40_000, stats(2, 400)),
    ]
    text = text_of(tables.task_table(rows), width)
    for row in rows:
        response = row.stats.response
        for value in (response.percentile(50), response.percentile(99), response.max_us):
            assert milliseconds(value) in text
    assert "\u2026" not in text and "1,000.0" in text and "401" in text


def test_misses_of_every_kind_add_up_and_are_marked():
    sample = stats(1, 40)._replace(missed_late=1, aborted=2, skipped=4)
    table = tables.task_table([tables.TaskRow("t", 10, 10, sample)])
    cells = list(table.rows().columns[5].cells)
    assert str(cells[0]) == "7" and "red" in str(cells[0].style)


def test_a_task_without_a_job_shows_dashes_and_does_not_divide_by_zero():
    text = text_of(tables.task_table([tables.TaskRow("new", 10, 10, stats(1, 0))]))
    assert row_of(text, "new").count("-") == 3


@pytest.mark.parametrize(
    ("value_us", "shown"),
    [(0, "0.000"), (999, "0.999"), (9_999, "9.999"), (10_000, "10.00"), (1_234_567, "1,234.6")],
)
def test_milliseconds_keep_about_four_digits(value_us, shown):
    assert milliseconds(value_us) == shown


def test_the_memory_table_adds_up():
    text = text_of(tables.memory_table([("arena", 3000), ("stacks", 1000)]))
    assert row_of(text, "arena")[1:3] == ["3,000", "75.0%"]
    assert row_of(text, "total")[1] == "4,000"
    assert "0" in text_of(tables.memory_table([]))


def test_the_other_tables_show_every_value():
    text = text_of(tables.accuracy_table(report(mismatches=2).tasks))
    assert row_of(text, "digits") == ["digits", "360", "98.33%", "98.05%", "98.05%", "2"]
    port = PortInfo("/dev/ttyACM0", "Pico", None, "2e8a:0005", "E66")
    assert "2e8a:0005" in text_of(tables.port_table([port]))


def test_watching_stops_when_the_caller_has_seen_enough():
    seen: list[StatsSnapshot] = []

    def enough(frame: StatsSnapshot) -> bool:
        seen.append(frame)
        return len(seen) == 3

    out = io.StringIO()
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        last = watch(session, JsonLines(out), enough)
    assert last.sequence == 2 and [frame.sequence for frame in seen] == [0, 1, 2]
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["seq"] for line in lines] == [0, 1, 2]
    digits = lines[2]["tasks"]["digits"]
    assert digits["released"] == 121 and digits["response_us"]["max"] > 20_000


def test_a_run_is_started_after_everything_else_was_asked():
    out = io.StringIO()
    demo = DemoBoard(info=INFO | {"board": "host"})
    with FakeBoard(demo) as board, connect(port=board.port) as session:
        watch(session, JsonLines(out), lambda _: True, start_speed=10)
        asked = [r.command for r in board.requests]
        started = next(r for r in board.requests if r.command == smp.TACTUS_RUN)
    assert asked[-2:] == [smp.TACTUS_RUN, smp.TACTUS_SUBSCRIBE] and started.body == {"speed": 10}
    assert json.loads(out.getvalue())["tasks"]["digits"]["deadline_us"] == 4_000


def test_the_lease_is_renewed_before_it_ends():
    count = 0

    def five(_: StatsSnapshot) -> bool:
        nonlocal count
        count += 1
        return count == 5

    with FakeBoard(DemoBoard(frames=2)) as board, connect(port=board.port) as session:
        watch(session, PlainLines(io.StringIO()), five, lease_ms=200)
        leases = [r for r in board.requests if "lease_ms" in r.body]
    assert len(leases) == 3 and leases[0].body == {"lease_ms": 200, "period_ms": 500}


def test_the_caller_may_ask_other_things_between_frames():
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        names: list[str] = []

        def ask(frame: StatsSnapshot) -> bool:
            names.append(session.tactus.tasks()[frame.sequence % 2].name)
            return len(names) == 3

        watch(session, PlainLines(io.StringIO()), ask)
    assert names == ["motion", "digits", "motion"]


def test_statistics_that_do_not_fit_the_tasks_are_an_error():
    class Liar(DemoBoard):
        def _body(self, request):
            body = super()._body(request)
            return {"tasks": body["tasks"][:1]} if "tasks" in body and len(body) == 1 else body

    with (
        FakeBoard(Liar()) as board,
        connect(port=board.port) as session,
        pytest.raises(BadReplyError, match="2 statistics for 1 tasks"),
    ):
        watch(session, PlainLines(io.StringIO()), lambda _: True)


def test_lines_for_a_pipe_name_task_and_deadline():
    out = io.StringIO()
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        watch(session, choose_view(False, out), lambda _: True)
    assert "digits: released 41 done 40 missed 0" in out.getvalue()
    assert "of 40000 us" in out.getvalue()


def test_the_live_view_shows_tasks_and_line_errors():
    out = io.StringIO()
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        console = Console(width=100, height=30, file=out, force_terminal=True, no_color=True)
        watch(session, LiveTable(console, keep=True), lambda _: True)
    text = out.getvalue()
    assert " on qemu-m4, up 1.0 s" in text and "link 1 bad checksum" in text
    assert "RAM 231,768 of 262,144 B (88%)" in text
    assert "digits" in text and "within 40.00" in text


def test_an_op_that_took_longer_than_declared_is_named_with_its_excess():
    calm, slow = (
        stats(),
        stats(index=1)._replace(wcet_exceeded=3, wcet_excess_op=7, wcet_excess_max_us=1_250),
    )
    (line,) = slow_ops(TASKS, [calm, slow])
    assert TASKS[1].name in line
    assert "3 ops" in line
    assert "op 7 by 1,250 us" in line
    shown = text_of(
        Group(*board_lines(replace(moment(), stats=replace(moment().stats, tasks=(calm, slow)))))
    )
    assert "op 7 by 1,250 us" in shown


def test_status_explains_why_a_package_was_refused():
    with FakeBoard(DemoBoard()) as board, connect(port=board.port) as session:
        status = read_status(session)
    text = text_of(status_view(status))
    for words in (
        "qemu-m4 (armv7e-m)",
        "demo 1.0.0",
        "confirmed",
        "slot 1: the signature does not verify (PKG_SIGNATURE); build and sign",
        "interpreter heap",
        "errors crc 1",
        "trusts demo keys: anybody with this checkout can sign for it",
        "key set 2",
    ):
        assert words in text, text
    seen = status_json(status)
    json.dumps(seen)
    assert seen["demo_keys"] is True and seen["key_set_version"] == 2
    assert seen["slots"][1]["reason"]["name"] == "PKG_SIGNATURE"
    assert seen["slots"][0]["reason"] is None and seen["reset_cause"] == "power on"
    assert seen["tasks"]["digits"]["missed"] == 0
    assert sum(row["bytes"] for row in seen["ram_table"]) == 262_144


def test_a_board_without_a_package_says_so():
    empty = {k: v for k, v in INFO.items() if k not in ("app", "version", "slot", "state")}
    named = {"running": False, "reason": 40, "trust": "2 of 3 root keys"}
    board = DemoBoard(info=empty | named)
    with FakeBoard(board) as port, connect(port=port.port) as session:
        status = read_status(session)
    text = text_of(status_view(status))
    assert "nothing: no package is loaded" in text
    assert "board: the deadlines cannot be guaranteed on this board" in text
    assert status_json(status)["reason"]["code"] == 40
    assert status_json(status)["demo_keys"] is False and "anybody" not in text


def test_the_tools_of_the_cable_start_fast_and_without_torch():
    code = (
        "import sys, host.link.session, host.monitor.live, host.monitor.status\n"
        "import host.install, host.rollback, host.monitor.telemetry, host.verbs.update\n"
        "heavy = {'torch', 'executorch', 'matplotlib', 'numpy', 'rich.live'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.OK, done.stderr


@pytest.mark.parametrize("verb", ["update", "rollback", "telemetry", "status", "monitor"])
def test_the_verbs_of_the_cable_load_nothing_heavy_to_say_what_they_take(verb):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['tasks.py', {verb!r}, '--help']\n"
        "try:\n"
        "    runpy.run_path('tasks.py', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'torch', 'executorch', 'matplotlib', 'numpy', 'cbor2', 'serial'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.OK, done.stderr
    assert f"{verb} [--options]" in done.stdout


@pytest.mark.parametrize(("board", "divisor"), [("host", 10), ("qemu-m4", 1), ("unknown", 1)])
def test_times_are_those_in_force_at_the_boards_speed(board, divisor):
    demo = DemoBoard(info=INFO | {"board": board, "speed": 10})
    with FakeBoard(demo) as port, connect(port=port.port) as session:
        status = read_status(session)
    assert [task.deadline_us for task in status.tasks] == [500_000 // divisor, 40_000 // divisor]
    assert "speed 10" in text_of(status_view(status))
