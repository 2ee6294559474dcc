"""A person at the REPL of an emulated board: raw mode over its port."""

from __future__ import annotations

import time
from pathlib import Path

import serial


class Repl:
    """Owns the port. `timeout_s` is generous: machines that run tests are slow and shared."""

    def __init__(self, port: Path, timeout_s: float = 30.0) -> None:
        self.timeout_s = timeout_s
        self.unread = b""
        self.serial = serial.Serial(str(port), timeout=0.05, write_timeout=timeout_s)

    def close(self) -> None:
        self.serial.close()

    def read_until(self, mark: bytes) -> bytes:
        """All text up to and with `mark`; what came after it waits for the next call."""
        deadline = time.monotonic() + self.timeout_s
        while mark not in self.unread:
            assert time.monotonic() < deadline, (
                f"no {mark!r} within {self.timeout_s} s, but: {self.unread[-300:]!r}"
            )
            self.unread += self.serial.read(self.serial.in_waiting or 1)
        end = self.unread.index(mark) + len(mark)
        text, self.unread = self.unread[:end], self.unread[end:]
        return text

    def interrupt(self) -> bytes:
        """Ctrl-C until the friendly prompt comes; what was printed before it."""
        deadline = time.monotonic() + self.timeout_s
        while b">>> " not in self.unread:
            assert time.monotonic() < deadline, f"Ctrl-C gives no prompt: {self.unread[-300:]!r}"
            self.serial.write(b"\x03")
            pause = time.monotonic() + 0.5
            while time.monotonic() < pause and b">>> " not in self.unread:
                self.unread += self.serial.read(self.serial.in_waiting or 1)
        return self.read_until(b">>> ")

    def raw(self) -> None:
        """To the raw REPL, from wherever the board is."""
        self.interrupt()
        self.serial.write(b"\x01")
        self.read_until(b"raw REPL; CTRL-B to exit\r\n>")

    def start(self, code: str) -> None:
        """Send code in raw mode and let it run."""
        self.serial.write(code.encode() + b"\x04")
        self.read_until(b"OK")

    def run(self, code: str) -> str:
        """What code prints, in raw mode. An exception on the board is one here."""
        self.start(code)
        text = self.read_until(b"\x04>")
        printed, error, _ = text.split(b"\x04")
        assert not error, error.decode(errors="replace")
        return printed.decode().replace("\r\n", "\n")

    def run_value(self, expression: str) -> object:
        """Value of a Python literal that the board prints."""
        import ast

        return ast.literal_eval(self.run(f"print(repr({expression}))"))
