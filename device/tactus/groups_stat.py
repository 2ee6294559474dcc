"""SMP group 2, statistics: named counters for any SMP client."""

import _tactus

from protocol import smp
from protocol.stats import unpack_counters, unpack_loop
from tactus.request import StatusError, check, text

_LINK = ("frames", "errors_crc", "errors_format", "errors_size", "sent")
_TASK = (
    "released",
    "done",
    "missed_late",
    "aborted",
    "skipped",
    "wcet_exceeded",
    "budget_exceeded",
    "mk16_max",
    "mk64_max",
    "cycle_jitter_max_us",
    "lateness_max_us",
    "exec_n",
    "exec_min_us",
    "exec_max_us",
    "done_lite",
    "degraded",
    "restored",
    "restarted",
    "wcet_excess_max_us",
    "wcet_excess_op",
    "period_us",
    "deadline_us",
    "budget_us",
)
_LOOP = (
    "mode",
    "wanted_mode",
    "elapsed_us",
    "idle_us",
    "op_us",
    "background_us",
    "ops",
    "preemptions",
    "background_count",
    "background_max_us",
    "mode_switches",
    "mode_wait_max_us",
    "gc_count",
    "gc_forced",
    "gc_pause_max_us",
)


def names(board, request):
    """List the statistics: link, loop and one per task."""
    return {"stat_list": ["link", "loop"] + [task["name"] for task in board.tasks()]}


def show(board, request):
    """Read the counters of one of them."""
    name = text(request, "name")
    yield
    if name == "link":
        fields = dict(zip(_LINK, _tactus.link_counters()))
    elif name == "loop":
        size = check(_tactus.sched_loop(board.scratch))
        loop = unpack_loop(board.scratch[:size])
        yield
        fields = {field: getattr(loop, field) for field in _LOOP}
        fields["uptime_ms"] = _tactus.uptime_ms()
        fields["messages"] = board.messages
        fields["stream_frames"] = board.frames
    else:
        fields = yield from _task(board, name)
    return {"name": name, "fields": fields}


def _task(board, name):
    tasks = board.tasks()
    for index in range(len(tasks)):
        if tasks[index]["name"] == name:
            size = check(_tactus.sched_stats(index, board.scratch))
            counters = unpack_counters(board.scratch[:size])
            yield
            fields = {field: counters[field] for field in _TASK}
            fields["start_max_us"], fields["response_max_us"] = _tactus.sched_longest(index)
            return fields
    raise StatusError(smp.RC_NO_ENTRY)


NAME = "stat mgmt"
READ = {smp.STAT_SHOW: show, smp.STAT_LIST: names}
WRITE = {}
