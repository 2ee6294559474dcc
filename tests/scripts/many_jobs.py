# Runs jobs of the board's loop under the heap lock as fast as they come, and prints what was counted. On MicroPython an
# allocation in the loop raises. Arguments: FOLDER (of one.tpk and flash.bin) JOBS. Not of the scripts that are compared.
import sys

import _tactus
from tactus import application, loop, platform, state
from tactus import package as packages

from protocol import stats
from protocol.pieces import finish

PERIOD_US = 100  # below what admission would take with the board's costs: the point is many jobs


def start(board):
    """Start both tasks of the loaded package with short periods."""
    _tactus.sched_reset()
    tasks = board.package.manifest["tasks"]
    for index in range(len(tasks)):
        image = board.package.payload(tasks[index]["plan"])
        offset = tasks[index]["arena_offset"]
        added = _tactus.sched_add(image, offset, PERIOD_US, PERIOD_US, 20, 3, 0)
        assert added == index
        board.sources[index].bind(index)
    board.fills = [fill for source in board.sources for fill in source.fills()]
    assert _tactus.sched_start(1000, 1) == 0


def main():
    """Run."""
    folder, wanted = sys.argv[1], int(sys.argv[2])
    with open(folder + "/one.tpk", "rb") as file:
        data = file.read()
    assert _tactus.init(folder + "/flash.bin") == 0
    board = state.Board()
    application.load(board, finish(packages.verify(memoryview(data), board.facts, 0)), 0)
    start(board)
    packed = bytearray(2048)
    view = memoryview(packed)
    done = 0
    while done < wanted:
        board.lease.grant(0, 200)
        board.lease.grant(60000, 200)  # a beat ends when its frame is due
        platform.heap_lock()
        try:
            loop.beat(board)
        finally:
            platform.heap_unlock()
        done = 0
        for task in (0, 1):
            done += stats.unpack_stats(view[: _tactus.sched_stats(task, packed)]).done
    counted = stats.unpack_loop(view[: _tactus.sched_loop(packed)])
    print("jobs", done, "ops", counted.ops, "collections", counted.gc_count)


main()
