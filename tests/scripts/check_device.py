"""The whole device stack on the real `_tactus`: boot, link, update, loop. Usage: check_device.py VECTORS FOLDER

FOLDER holds flash.bin (a flash file with a replay image), one.tpk, two.tpk and refused-*.tpk, all signed by the
key that the board trusts. What is printed does not depend on time, keys or the interpreter.
"""

import hashlib
import sys

import _tactus
from board_session import ask, power_up, read, upload
from tactus import link, loop, pieces, platform
from vector_file import show

from protocol import errors, smp
from protocol.stats import unpack_results, unpack_stats

HIDDEN = ("uptime_ms", "boot_id", "reset_cause", "sha", "hash", "trust", "board")


def plain(value):
    """A reply without what differs from run to run, maps in the order of their keys."""
    if isinstance(value, dict):
        return [(key, plain(value[key])) for key in sorted(value) if key not in HIDDEN]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return len(value) if isinstance(value, bytes) else value


def told(board):
    """Print what the board says about itself."""
    for group, command in ((0, 2), (0, 6), (1, 0), (2, 1), (64, 0), (64, 1), (64, 11)):
        show(f"  {group}.{command}", plain(ask(board, smp.READ, group, command, {})))


def install(board, name):
    """Upload, choose, reset; the board on trial."""
    data = read(name)
    show(name, plain(upload(board, data)))
    request = {"hash": hashlib.sha256(data).digest(), "confirm": False}
    show("  test", plain(ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, request)))
    return power_up()


def confirm(board):
    """Confirm the running package."""
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, {"confirm": True})
    show("  confirm", plain(reply))


def locked_beat(board):
    """The loop under the heap lock, until the next frame is due."""
    platform.heap_lock()
    try:
        loop.beat(board)
    finally:
        platform.heap_unlock()
    board.lease.due()


def beat(board, jobs):
    """Run the loop under the heap lock until `jobs` results are there."""
    board.lease.grant(60000, 50)
    for _ in range(2000):
        locked_beat(board)
        reply = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_RESULTS, {"cursor": 0, "max": 99})
        if reply["next"] >= jobs:
            return unpack_results(reply["data"])
    return []


def check_loop(board):
    """Results come in the order of the windows, with the outputs that the model gives them."""
    results = beat(board, 12)
    for task in (0, 1):
        rows = [row for row in results if row.task == task][:4]
        for row in rows:
            show("  result", task, row.job, row.tag, list(row.output))
    reply = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_STATS, {})
    for packed in reply["tasks"]:
        stats = unpack_stats(packed)
        show(
            "  counted",
            stats.task,
            stats.released >= 4,
            stats.done >= 4,
            stats.exec_n == stats.done,
        )
    events = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_EVENTS, {})["events"]
    show("  events", len(events) % 16, len(events) > 0)
    fields = ask(board, smp.READ, smp.GROUP_STAT, smp.STAT_SHOW, {"name": "left"})["fields"]
    show("  statistics", sorted(fields))


class Wasteful:
    """A source that makes a new object in the loop, where none may be made."""

    def fill(self):
        """Refuse the job, after the waste."""
        return -len(bytearray(64))


def check_heap_lock(board):
    """An allocation in the loop raises where the heap can be locked, so check_loop() has shown that there is none."""
    kept = board.fills[0]
    board.fills[0] = Wasteful().fill
    raised = False
    try:
        for _ in range(20):
            locked_beat(board)
    except MemoryError:
        raised = True
    finally:
        board.fills[0] = kept
    show("  an allocation in the loop raises", raised == platform.MICROPYTHON)


def check_control(board):
    """Self-test, stop, run, and what is refused in between."""
    for op, command, request in (
        (smp.WRITE, smp.TACTUS_SELFTEST, {}),
        (smp.WRITE, smp.TACTUS_STOP, {}),
        (smp.WRITE, smp.TACTUS_SELFTEST, {}),
        (smp.WRITE, smp.TACTUS_RUN, {"speed": 1000}),
        (smp.WRITE, smp.TACTUS_RUN, {"speed": 2}),
        (smp.WRITE, smp.TACTUS_RUN, {"speed": 0}),
        (smp.READ, smp.TACTUS_INFO, {}),
        (smp.READ, smp.TACTUS_FRAME, {}),
    ):
        show(f"  64.{command}", plain(ask(board, op, smp.GROUP_TACTUS, command, request)))
    show("  memory", len(ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_MEMORY, {})["ram"]))


def main():
    """Run."""
    board = power_up()
    told(board)
    install(board, "one.tpk")
    show("first trial cut short")
    board = power_up()
    told(board)
    board = install(board, "one.tpk")
    confirm(board)  # what follows skips jobs: that would end the trial
    check_loop(board)
    check_heap_lock(board)
    for name in sys.argv[3:]:
        show(
            name, errors.name(upload(board, read(name)).get("err", {}).get("rc", 0)), board.running
        )
    check_control(board)
    board = install(board, "two.tpk")
    show("reset without confirm")
    board = power_up()
    told(board)
    show("damage")
    for message in (b"\x0a", bytes(8), b"\x0a\0\0\x05\0\1\0\1hello", b"\x08\0\0\1\0\x40\0\x63\xa0"):
        size = pieces.finish(link.respond(board, message, _tactus.link_tx()))
        show("  reply", bytes(_tactus.link_tx()[:size]))
    board = power_up()
    show("runs", board.running, board.slot)


main()
