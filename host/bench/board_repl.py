"""The raw REPL of a MicroPython board: a program goes in, what it prints comes out.

For measurements that need a program of their own on the board. MicroPython's reference, "The MicroPython interactive
interpreter mode", section "Raw mode and raw-paste mode".
"""

import ast
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serial

from host.errors import TactusError

_PROMPT_S = 60.0
_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"


class BoardReplError(TactusError):
    """The board did not answer, or its program ended in an exception."""


class BoardRepl:
    """A board at its raw prompt. run() blocks until the program ends."""

    def __init__(self, port: Path) -> None:
        self._serial = serial.Serial(str(port), timeout=0.1, write_timeout=_PROMPT_S)
        self._unread = b""

    def close(self) -> None:
        """Give the port back; the board stays at its prompt."""
        self._serial.close()

    def enter(self) -> None:
        """Stop what runs and go to the raw prompt."""
        give_up = time.monotonic() + _PROMPT_S
        while b">>> " not in self._unread:
            if time.monotonic() > give_up:
                raise BoardReplError("the board gives no prompt", "stop it and start it again")
            self._serial.write(b"\x03")
            pause = time.monotonic() + 0.5
            while time.monotonic() < pause and b">>> " not in self._unread:
                self._unread += self._serial.read(self._serial.in_waiting or 1)
        self._unread = b""
        self._serial.write(b"\x01")
        self._until(_RAW_PROMPT, _PROMPT_S)
        # A heap of its own: what was interrupted, and where, leaves nothing behind.
        self._serial.write(b"\x04")
        self._until(_RAW_PROMPT, _PROMPT_S)

    def run(self, program: str, timeout_s: float = _PROMPT_S) -> str:
        """Run a program; what it printed. Raises BoardReplError for an exception on the board."""
        self._serial.write(program.encode() + b"\x04")
        self._until(b"OK", _PROMPT_S)
        printed, error, _ = self._until(b"\x04>", timeout_s).split(b"\x04")
        if error:
            last = error.decode(errors="replace").strip().splitlines()[-1]
            raise BoardReplError(f"the board's program ended: {last}", "flash the board, try again")
        return printed.decode().replace("\r\n", "\n")

    def value(self, expression: str, timeout_s: float = _PROMPT_S) -> Any:
        """The value of an expression that prints as a Python literal."""
        return ast.literal_eval(self.run(f"print(repr({expression}))", timeout_s))

    def _until(self, mark: bytes, timeout_s: float) -> bytes:
        give_up = time.monotonic() + timeout_s
        while mark not in self._unread:
            if time.monotonic() > give_up:
                raise BoardReplError(
                    f"the board said nothing for {timeout_s:.0f} s", "run it again, alone"
                )
            self._unread += self._serial.read(self._serial.in_waiting or 1)
        end = self._unread.index(mark) + len(mark)
        text, self._unread = self._unread[:end], self._unread[end:]
        return text


@contextlib.contextmanager
def board_repl(port: Path) -> Iterator[BoardRepl]:
    """A board at its raw prompt for the length of a block."""
    repl = BoardRepl(port)
    try:
        repl.enter()
        yield repl
    finally:
        repl.close()
