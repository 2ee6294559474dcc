"""SMP group 2, statistics: named counters for any SMP client."""

import _tactus

from protocol import smp
from protocol.stats import unpack_stats
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
)


def names(board, request):
    """List the statistics: link, loop and one per task."""
    return {"stat_list": ["link", "loop"] + [task["name"] for task in board.tasks()]}


def show(board, request):
    """Read the counters of one of them."""
    name = text(request, "name")
    if name == "link":
        fields = dict(zip(_LINK, _tactus.link_counters()))
    elif name == "loop":
        fields = {
            "uptime_ms": _tactus.uptime_ms(),
            "messages": board.messages,
            "stream_frames": board.frames,
            "background_max_us": board.background_max_us,
        }
    else:
        fields = _task(board, name)
    return {"name": name, "fields": fields}


def _task(board, name):
    tasks = board.tasks()
    for index in range(len(tasks)):
        if tasks[index]["name"] == name:
            size = check(_tactus.sched_stats(index, board.scratch))
            stats = unpack_stats(board.scratch[:size])
            fields = {field: getattr(stats, field) for field in _TASK}
            fields["start_max_us"] = stats.start.max_us
            fields["response_max_us"] = stats.response.max_us
            return fields
    raise StatusError(smp.RC_NO_ENTRY)


READ = {smp.STAT_SHOW: show, smp.STAT_LIST: names}
WRITE = {}
