"""Entry of a board: `main()` from frozen start-up code, or `-m tactus.main FLASH_FILE LINK_FD` in a process."""

import sys

import _tactus

from protocol import errors
from protocol.pieces import finish
from tactus import VERSION, boot, groups_image, loop, platform, watchdog
from tactus.state import Board


def main(flash_path=None, link_fd=-1):
    """Boot and run until reset. Returns only when the store cannot be opened or on Ctrl-C.

    What nobody caught resets the board: a package on trial is given up then, a confirmed one runs again.
    """
    code = _tactus.init(flash_path, link_fd)
    if code < 0:
        platform.log("tactus: the store does not open: " + errors.sentence(code))
        return 1
    board = Board()
    platform.log("tactus %s on %s" % (VERSION, board.facts["name"]))
    try:
        watchdog.start()
        finish(groups_image.learn_versions(board))  # before there are deadlines
        boot.boot(board)
        platform.settle()
        loop.run(board)
    except KeyboardInterrupt:
        watchdog.stop()
        _tactus.sched_stop()
        _tactus.crashes_over()  # a person looks after it
        platform.log("tactus: stopped by Ctrl-C; a soft reset (Ctrl-D) starts it again")
    except Exception as error:  # noqa: BLE001 whatever it is, the board must come back
        platform.trace(error)
        _tactus.fault()
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        print("usage: -m tactus.main FLASH_FILE LINK_FD")
        sys.exit(2)
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
