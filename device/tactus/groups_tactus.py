"""SMP group 64, Tactus: what runs, how well it keeps time, what it computed. SPEC.md, section "Group 64"."""

import _tactus

from protocol import errors, smp
from protocol.stats import RESULT_BYTES
from tactus import PROTOCOL, VERSION, application, groups_image, state, stream, telemetry, trial
from tactus.refusal import Refused
from tactus.request import DeviceError, StatusError, check, text, uint

_CURSOR_BYTES = 4
_TELEMETRY_OVERHEAD = 96  # header, map head, keys and numbers
_REPLY_OVERHEAD = 48  # header, map heads and keys around one byte string


def _chosen(request, reply):
    # On a line that damages long answers a client asks field by field.
    if "only" not in request:
        return reply
    name = text(request, "only")
    return {name: reply[name]} if name in reply else {}


def info(board, request):
    """Tell what the board is and runs."""
    facts = board.facts
    reply = {
        "board": facts["name"],
        "class": facts["class"],
        "firmware": VERSION,
        "protocol": PROTOCOL,
        "trust": facts["trust_name"],
        "boot_id": board.boot_id,
        "reset_cause": _tactus.reset_cause(),
        "uptime_ms": _tactus.uptime_ms(),
        "running": board.running,
        "speed": board.speed,
    }
    if board.package:
        manifest = board.package.manifest
        reply["app"] = manifest["app"]
        reply["version"] = manifest["version"]
        reply["slot"] = board.slot
        reply["state"] = state.Slot(board.slot).state
        reply["mode"] = mode_state(board)["mode"]
    if board.reason:
        reply["reason"] = board.reason
    if board.crashes:
        reply["crashes"] = board.crashes
    return _chosen(request, reply)


def tasks(board, request):
    """List the tasks of the loaded package; times as in its manifest, not divided by `speed`."""
    listed = []
    for task in board.tasks():
        output = task["output"]
        lite, early = task.get("lite"), task.get("early")
        listed.append(
            {
                "name": task["name"],
                "period_us": task["period_us"],
                "deadline_us": task["deadline_us"],
                "budget_us": task["budget_us"],
                "lite_budget_us": lite["budget_us"] if lite else 0,
                "labels": task["labels"],
                "plan_arena_bytes": task["arena_bytes"],
                "arena_offset": task["arena_offset"],
                "output": _scale(output),
            }
        )
        if early:
            listed[-1]["early"] = {
                "mandatory_us": early["mandatory_us"],
                "full_us": early["full_us"],
                "output": _scale(early["output"]),
            }
    return {"tasks": listed}


def _scale(tensor):
    return {"scale_f32": tensor["scale_f32"], "zero_point": tensor["zero_point"]}


def stats(board, request):
    """Read the statistics of one task, or of all."""
    count = len(board.sources)
    first, end = 0, count
    if "task" in request:
        first = uint(request, "task")
        if first >= count:
            raise DeviceError(errors.NOT_FOUND)
        end = first + 1
    snapshot = stream.snapshot(board, first, end)
    if snapshot is None:
        raise StatusError(smp.RC_MESSAGE_SIZE)
    return snapshot


def subscribe(board, request):
    """Grant or renew a lease on stream frames."""
    lease_ms = uint(request, "lease_ms", 0, stream.LEASE_MAX_MS)
    period_ms = uint(request, "period_ms", stream.PERIOD_MIN_MS, stream.PERIOD_MAX_MS)
    _tactus.link_stream()
    board.lease.grant(lease_ms, period_ms)
    return {}


def results(board, request):
    """Read inference results from a cursor on."""
    cursor = uint(request, "cursor")
    room = len(board.scratch) - _REPLY_OVERHEAD
    most = (room - _CURSOR_BYTES) // RESULT_BYTES
    wanted = uint(request, "max", 1, 0xFFFFFFFF, most)
    size = check(_tactus.sched_results(cursor, min(wanted, most), board.scratch[:room]))
    following = int.from_bytes(bytes(board.scratch[:_CURSOR_BYTES]), "little")
    return {"next": following, "data": board.scratch[_CURSOR_BYTES:size]}


def run(board, request):
    """Clear the statistics and start."""
    speed = uint(request, "speed", 1, application.SPEED_MAX, 1)
    if not board.package:
        raise DeviceError(errors.NOT_FOUND)
    try:
        application.start(board, speed)
    except Refused as refusal:
        raise DeviceError(refusal.code)
    return {}


def mode_state(board):
    """What mode the tasks run in and what mode is wanted, by their names."""
    if not board.package:
        raise DeviceError(errors.NOT_FOUND)
    names = board.modes()
    check(_tactus.sched_loop(board.scratch))
    return {"mode": names[board.scratch[1]], "modes": names, "wanted": names[board.scratch[2]]}


def mode(board, request):
    """Tell the present mode."""
    return mode_state(board)


def want_mode(board, request):
    """Ask for another mode; it begins at the next instant at which no job is there."""
    name = text(request, "mode")
    if not board.package or name not in board.modes():
        raise DeviceError(errors.NOT_FOUND)
    check(_tactus.sched_want_mode(board.modes().index(name)))
    return {}


def stop(board, request):
    """Stop sampling."""
    application.stop(board)
    return {}


def memory(board, request):
    """Tell who takes what of the RAM, and of each task's arena what its plan says and what was written."""
    listed = board.tasks()
    ram = [[name, size] for name, size in _tactus.memory()]
    arenas = []
    for i in range(len(listed)):
        yield
        planned = 0
        for task in listed:  # who shares the arena writes there too
            if task["arena_offset"] == listed[i]["arena_offset"]:
                planned = max(planned, task["arena_bytes"])
        arenas.append([planned, _tactus.arena_touched(i)])
    return {"ram": ram, "arenas": arenas}


def health(board, request):
    """Tell the temperature, None without a sensor, and the most that was ever written of heap and stacks where that is measured."""
    heap, stack = _tactus.memory_peaks()
    peaks = [["interpreter heap", heap], ["stacks", stack]]
    yield
    temperature_mc = _tactus.temperature_mc()
    return {"temperature_mc": temperature_mc, "peaks": [peak for peak in peaks if peak[1]]}


def selftest(board, request):
    """Run the package's self-test vectors; only while stopped, they use the arena."""
    if board.running:
        raise DeviceError(errors.STATE)
    if not board.package:
        raise DeviceError(errors.NOT_FOUND)
    try:
        passed, failed = application.selftest(board.package)
    except Refused as refusal:
        raise DeviceError(refusal.code)
    return {"passed": passed, "failed": failed}


def profile(board, request):
    """Measure each op of a task's model in one run on made-up input; only while stopped."""
    if board.running:
        raise DeviceError(errors.STATE)
    listed = board.tasks()
    task = uint(request, "task")
    if task >= len(listed):
        raise DeviceError(errors.NOT_FOUND)
    image = board.package.payload(listed[task]["plan"])
    times = bytearray(4 * _tactus.plan_info(image, 0)[0])
    if len(times) > len(board.scratch) - _REPLY_OVERHEAD:
        raise StatusError(smp.RC_MESSAGE_SIZE)
    pattern = uint(request, "pattern", 0, 4, 0)
    seed = uint(request, "seed", 0, 0xFFFFFFFF, 1)
    total = check(_tactus.engine_times(image, pattern, seed, times))
    return {"times": times, "sum": total}


def events(board, request):
    """Read the ring of events, 512 bytes at most."""
    size = check(_tactus.sched_events(board.scratch))
    return {"events": board.scratch[:size]}


def slots(board, request):
    """Tell the journal's view of both slots, the security counter and the version of the confirmed key set."""
    listed = []
    for slot in state.slots():
        listed.append(
            {
                "state": slot.state,
                "reason": slot.reason,
                "length": slot.length,
                "received": slot.received,
                "sha": slot.sha256,
                "proven": slot.is_proven,
            }
        )
    if "slot" in request:
        return _chosen(request, listed[uint(request, "slot", 0, state.SLOTS - 1)])
    reply = {"slots": listed, "counter": _tactus.counter(), "keys": _tactus.key_version()}
    return _chosen(request, reply)


def read_telemetry(board, request):
    """Read telemetry records from a cursor on; without one, those that nobody has acknowledged."""
    oldest, following, acknowledged, lost, _ = _tactus.telemetry_info()
    cursor = uint(request, "cursor", default=acknowledged + 1)
    room = board.scratch[: len(board.scratch) - _TELEMETRY_OVERHEAD]
    size = check(_tactus.telemetry_records(cursor, room))
    return {
        "oldest": oldest,
        "newest": following - 1,
        "acknowledged": acknowledged,
        "lost": lost,
        "next": int.from_bytes(bytes(room[:_CURSOR_BYTES]), "little"),
        "data": room[_CURSOR_BYTES:size],
    }


def acknowledge_telemetry(board, request):
    """Remember that a reader has stored all records up to one."""
    check(_tactus.telemetry_acknowledge(uint(request, "acknowledged")))
    return {}


def pace_telemetry(board, request):
    """Write a summary each period until the lease ends."""
    period_ms = uint(request, "period_ms", telemetry.PACE_MIN_MS, stream.PERIOD_MAX_MS)
    board.telemetry.quicken(period_ms, uint(request, "lease_ms", 0, stream.LEASE_MAX_MS))
    return {}


def trial_state(board, request):
    """Tell how the trial stands, and why the last package that was given up was."""
    reply = {"state": trial.NONE, "remaining_ms": 0, "jobs": 0, "misses": 0}
    if board.trial:
        jobs, misses = board.trial.count()
        reply["state"] = trial.UNDER_WAY if board.running else trial.HELD
        reply["remaining_ms"] = board.trial.remaining_ms()
        reply["jobs"] = jobs
        reply["misses"] = misses
    reply["reason"] = trial.last_reason()
    return _chosen(request, reply)


NAME = "tactus"
READ = {
    smp.TACTUS_INFO: info,
    smp.TACTUS_TASKS: tasks,
    smp.TACTUS_STATS: stats,
    smp.TACTUS_RESULTS: results,
    smp.TACTUS_MEMORY: memory,
    smp.TACTUS_EVENTS: events,
    smp.TACTUS_SLOTS: slots,
    smp.TACTUS_MODE: mode,
    smp.TACTUS_TELEMETRY: read_telemetry,
    smp.TACTUS_HEALTH: health,
    smp.TACTUS_TRIAL: trial_state,
}
WRITE = {
    smp.TACTUS_SUBSCRIBE: subscribe,
    smp.TACTUS_RUN: run,
    smp.TACTUS_STOP: stop,
    smp.TACTUS_SELFTEST: selftest,
    smp.TACTUS_MODE: want_mode,
    smp.TACTUS_PATCH: groups_image.patch,
    smp.TACTUS_PROFILE: profile,
    smp.TACTUS_TELEMETRY: acknowledge_telemetry,
    smp.TACTUS_TELEMETRY_PACE: pace_telemetry,
}
