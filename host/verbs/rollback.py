"""`rollback`: back to the package that was confirmed before, in one command."""

from typing import Any

from host.verbs import Console


def run(console: Console, board: str, port: str) -> dict[str, Any]:
    """Choose the previous confirmed package, restart, and say what runs now."""
    from host.rollback import roll_back

    done = roll_back(board or None, port or None)
    took = f"{done.started_ms / 1000:.2f} s after the reset by the board's clock"
    console.say(f"{done.app} {done.version} runs again from slot {done.slot}, started {took}")
    return {
        "board": done.board,
        "app": done.app,
        "version": done.version,
        "slot": done.slot,
        "left": done.left,
        "started_ms": done.started_ms,
    }
