"""Checks and runs plan images in a child process under AddressSanitizer and UBSan."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from engine_library import SOURCES, compile_cached


class Harness:
    """The child process; restarts after a crash, which it reports as an AssertionError."""

    def __init__(self) -> None:
        source = Path(__file__).parent / "plan_harness.c"
        self._program = compile_cached(
            "plan_harness",
            [source, *SOURCES],
            ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        )
        self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, image: bytes, arena_bytes: int, *, checked: bool = True) -> int:
        """Checks the image and runs it when accepted; gives the code of the check."""
        assert self._child.stdin and self._child.stdout and self._child.stderr
        self._child.stdin.write(struct.pack("<III", len(image), arena_bytes, not checked) + image)
        self._child.stdin.flush()
        answer = self._child.stdout.read(4)
        if len(answer) < 4:
            report = self._child.stderr.read().decode(errors="replace")
            self.close()
            self._start()
            raise AssertionError(f"the engine left its bounds; image {image.hex()}\n{report}")
        code: int = struct.unpack("<i", answer)[0]
        return code

    def close(self) -> None:
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(timeout=30)
        for pipe in (self._child.stdout, self._child.stderr):
            assert pipe
            pipe.close()
