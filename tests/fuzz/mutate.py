"""Fuzzing of the device's Python: mutates seeds without coverage, understands CBOR, and speaks libFuzzer's command line.

Why not a coverage-guided fuzzer such as atheris: it is a large native wheel for a few interpreters, rewrites the byte code
that is tested, and what coverage finds in C by itself, the way past nested checks, is given here: half of the
mutants change one value of a valid CBOR document and encode it again.

Options: -max_total_time=SECONDS -seed=N -artifact_prefix=PREFIX; then files, which are run once each, or folders of seeds.
"""

from __future__ import annotations

import copy
import hashlib
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2

SIZE_MAX = 8192
UNIT_SECONDS = 20
NUMBERS = [0, 1, 2, 23, 24, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32]
NUMBERS += [2**63, 2**64 - 1, -1, -128, -(2**31), -(2**63)]
HEADS = bytes.fromhex(
    "001718191a1b1c1f20383b40585a5b5f60787b7f80989b9fa0b8bbbfc0d2f4f6f7f8f9fafbff"
)
NOT_CBOR = (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError)
VALUES: list[Any] = [
    None,
    True,
    False,
    b"",
    "",
    [],
    {},
    b"\0" * 32,
    "\x00",
    "é" * 20,
    [[]],
    {"": 0},
]


class Finding(Exception):
    """Something that must hold does not."""


def must(holds: object, what: str) -> None:
    if not holds:
        raise Finding(what)


def typed(parse: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result of a parser, or None when it refuses with an error of the protocol's own."""
    try:
        return parse(*arguments, **options)
    except ValueError as error:
        if not type(error).__module__.startswith("protocol"):
            raise
        return None


def _change_bytes(dice: random.Random, data: bytes, others: list[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    choice = dice.randrange(7)
    if choice == 0 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if choice == 1:
        return data[:at] + bytes([dice.choice(HEADS)]) + data[at + 1 :]
    if choice == 2:
        return data[:at] + dice.randbytes(dice.randrange(1, 9)) + data[at:]
    if choice == 3:
        return data[:at] + data[at + dice.randrange(1, 17) :]
    if choice == 4:
        number = dice.choice(NUMBERS) & 2**64 - 1
        size = dice.choice((1, 2, 4, 8))
        return data[:at] + (number & (1 << 8 * size) - 1).to_bytes(size, "big") + data[at + size :]
    if choice == 5:
        other = dice.choice(others)
        start = dice.randrange(len(other) + 1)
        return data[:at] + other[start : start + dice.randrange(1, 200)] + data[at:]
    return data[:at]


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _nodes(value[key])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _nodes(item)


def _new_value(dice: random.Random, old: Any, nodes: list[tuple[Any, Any]]) -> Any:
    choice = dice.randrange(4)
    if choice == 0:
        where, key = dice.choice(nodes)
        return copy.deepcopy(where[key])
    if isinstance(old, bool) or choice == 1:
        return dice.choice(VALUES + NUMBERS)
    if isinstance(old, int):
        return dice.choice([*NUMBERS, old + 1, old - 1, old * 2, dice.randrange(1 << 32)])
    if isinstance(old, bytes):
        return dice.choice([old[:-1], old + b"\0", _change_bytes(dice, old, [old])])
    if isinstance(old, str):
        return dice.choice([old[:-1], old + "x", old.upper(), old * 9])
    if isinstance(old, list):
        return dice.choice([old[1:], old + old, old[::-1], old * 20])
    return dice.choice(VALUES)


def change_document(dice: random.Random, data: bytes) -> bytes:
    """Change one to three values of a CBOR document; bytes that are none stay as they are."""
    try:
        document = cbor2.loads(data)
    except NOT_CBOR:
        return data
    try:
        root = [document]
        for _ in range(dice.randrange(1, 4)):
            nodes = list(_nodes(root))
            where, key = dice.choice(nodes)
            if isinstance(where, dict) and dice.randrange(6) == 0:
                del where[key]
            elif isinstance(where, dict) and dice.randrange(8) == 0:
                where[dice.choice(["", "hash", "x" * 40, 0, 2**32])] = where[key]
            else:
                where[key] = _new_value(dice, where[key], nodes)
        return cbor2.dumps(root[0], canonical=True)
    except NOT_CBOR:  # what cbor2 reads but does not write, or no copy of which can be made
        return data


Change = Callable[[random.Random, bytes, list[bytes]], bytes]


def change_any(dice: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One mutant of a document."""
    if dice.randrange(2):
        data = change_document(dice, data)
        if dice.randrange(4):
            return data
    for _ in range(dice.randrange(1, 5)):
        data = _change_bytes(dice, data, others)
    return data


def _timed_out(_signal: int, _frame: object) -> None:
    raise Finding(f"one input took more than {UNIT_SECONDS} s")


def _run(run: Callable[[bytes], None], data: bytes, prefix: str) -> None:
    signal.alarm(UNIT_SECONDS)
    try:
        run(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        name = f"{prefix}crash-{hashlib.sha1(data).hexdigest()}"
        Path(name).write_bytes(data)
        traceback.print_exc()
        print(f"SUMMARY: {type(error).__name__}: {error}\nwrote {name}", file=sys.stderr)
        sys.exit(77)
    finally:
        signal.alarm(0)


def main(run: Callable[[bytes], None], change: Change = change_any) -> None:
    """Entry of a target: `run` gets an input and raises when something is wrong."""
    options = {"max_total_time": "0", "seed": "0", "artifact_prefix": "./"}
    paths = []
    for argument in sys.argv[1:]:
        if argument.startswith("-"):
            name, _, value = argument[1:].partition("=")
            options[name] = value
        else:
            paths.append(Path(argument))
    prefix = options["artifact_prefix"]
    signal.signal(signal.SIGALRM, _timed_out)
    started = time.monotonic()
    files = [
        file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    seeds = [file.read_bytes() for file in files]
    for file, data in zip(files, seeds, strict=True):
        print(f"Running: {file}", file=sys.stderr)
        _run(run, data, prefix)
    count = len(seeds)
    if any(path.is_dir() for path in paths):
        dice = random.Random(int(options["seed"]) or None)
        seeds = seeds or [b""]
        kept = list(seeds)  # and some mutants, so that changes add up
        while time.monotonic() - started < float(options["max_total_time"]):
            data = change(dice, dice.choice(kept), seeds)[:SIZE_MAX]
            _run(run, data, prefix)
            count += 1
            if dice.randrange(50) == 0:
                kept = [*seeds, *kept[len(seeds) :][-200:], data]
    seconds = max(time.monotonic() - started, 1e-3)
    print(f"stat::number_of_executed_units: {count}", file=sys.stderr)
    print(f"stat::average_exec_per_sec: {count / seconds:.0f}", file=sys.stderr)
