"""Power cuts under the board's Python: boot, SMP, package and image group on the real `_tactus`.

Usage: device_cuts.py EXTENSION FOLDER. FOLDER holds blank.bin (a flash file with a recording) and one.tpk, two.tpk,
older.tpk, three.tpk, spoilt.tpk. A story of updates runs once uncut; then, for each flash operation and each kind of cut, in a process
that dies there; another one boots from what is left and judges. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXTENSION, FOLDER = sys.argv[1], Path(sys.argv[2])
KINDS = 4
EXIT_CUT = 77

from board_session import ask, power_up, read, upload
from tactus import trial

from host.package.delta import make
from protocol import errors, smp

library = ctypes.CDLL(EXTENSION)
Note = Callable[[str], None]


def chosen(name: str) -> dict[str, Any]:
    sha = hashlib.sha256(read(name)).digest()
    return {"hash": sha, "confirm": False}


def image_state(board: Any, request: dict[str, Any]) -> None:
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, request)
    assert "images" in reply, reply


def patch(board: Any, base: str, name: str) -> Any:
    """Send what changes between two packages, going on where the board is; the last reply."""
    delta = make(read(base), read(name))
    request = {
        "off": 0,
        "len": len(delta.result),
        "sha": delta.result_sha256,
        "base": delta.base_name,
        "ops": b"",
    }
    while True:
        reply = ask(board, smp.WRITE, smp.GROUP_TACTUS, smp.TACTUS_PATCH, request)
        if "off" not in reply or reply["off"] >= len(delta.result):
            return reply
        ops, _ = delta.part(reply["off"], 150)
        request = (request if reply["off"] == 0 else {"off": reply["off"]}) | {"ops": ops}


def install(board: Any, name: str, base: str = "") -> Any:
    """Upload, or patch the base that runs, choose, reset: the board on trial."""
    reply = patch(board, base, name) if base else upload(board, read(name))
    assert reply.get("match"), reply
    image_state(board, chosen(name))
    board = power_up()
    assert board.package, "the trial does not run"
    return board


def confirm(board: Any, note: Note, label: str) -> None:
    note("confirming " + label)
    image_state(board, {"confirm": True})
    note("confirmed " + label)


def story(note: Note) -> None:
    """Confirm, revert, confirm under the next key set, refusals, verdicts of the board, going back, an erase.

    Notes name the key set that is confirmed.
    """
    board = power_up()
    confirm(install(board, "one.tpk"), note, "1")
    board = power_up()
    install(board, "two.tpk")
    board = power_up()
    assert board.package.manifest["version"] == "1", "an unconfirmed trial went on"
    confirm(install(board, "two.tpk", "one.tpk"), note, "2")
    board = power_up()
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, chosen("one.tpk"))
    assert "err" in reply, "an older key set came back"
    for name in ("older.tpk", "spoilt.tpk"):
        assert "err" in upload(board, read(name)), name
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_ERASE, {})
    assert reply == {}, reply
    board = install(board, "three.tpk")
    trial.give_up(board, errors.TRIAL_MISSES)
    board = power_up()
    assert board.package.manifest["version"] == "2", "what the board gave up came back"
    kept_by_itself(install(board, "three.tpk"))
    board = power_up()
    image_state(board, chosen("two.tpk"))
    kept_by_itself(power_up())
    board = power_up()
    assert board.package.manifest["version"] == "2", "going back did not last"


def kept_by_itself(board: Any) -> None:
    """The end of a good trial window."""
    assert board.trial and trial.confirm(board) >= 0


def judge(notes: list[str]) -> None:
    """What must hold at the boot after a cut; then the last update is carried through."""
    done = [note.split()[1] for note in notes if note.startswith("confirmed ")]
    begun = [note.split()[1] for note in notes if note.startswith("confirming ")]
    last = int(done[-1]) if done else 0
    board = power_up()
    floors = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_SLOTS, {})
    runs = int(board.package.manifest["version"]) if board.package else 0
    assert floors["keys"] in (last, int(begun[-1]) if begun else 0), floors["keys"]
    assert runs >= floors["keys"], f"{runs} runs under key set {floors['keys']}"
    assert not last or board.running, "the confirmed package does not run"
    reasons = [slot["reason"] for slot in floors["slots"]]
    allowed = (0, errors.PKG_TRIAL, errors.PKG_KEYSET_OLD, errors.PKG_DIGEST, errors.TRIAL_MISSES)
    assert all(reason in allowed for reason in reasons), reasons
    if runs < 2 or floors["keys"] < 2:
        board = power_up()  # what was on trial in the boot before is given up
        # Where the one before runs, the cut may have been within a patch: it goes on.
        board = install(board, "two.tpk", "one.tpk" if board.package and runs == 1 else "")
        confirm(board, lambda text: None, "2")
    board = power_up()
    assert board.running and board.package.manifest["version"] in ("2", "3")
    floors = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_SLOTS, {})
    assert (floors["counter"], floors["keys"]) == (6, 2)


def in_child(work: Callable[[Note], None]) -> tuple[int, list[str]]:
    """Run in a process of its own: exit code, and what it noted until it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        try:
            work(lambda text: os.write(writing, (text + "\n").encode()) and None)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
            os.write(writing, f"failed {type(error).__name__} {error}\n".encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        notes = pipe.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), notes


def fresh_flash() -> None:
    shutil.copy(FOLDER / "blank.bin", FOLDER / "flash.bin")


def count() -> int:
    """Operations of the story uncut."""

    def work(note: Note) -> None:
        library.cut_plan(0, 0)
        story(note)
        note(f"operations {library.cut_operations()}")

    fresh_flash()
    code, notes = in_child(work)
    assert code == 0, notes
    return int(notes[-1].split()[1])


def main() -> None:
    operations = count()
    failures = []
    for operation in range(1, operations + 1):
        for kind in range(KINDS):

            def cut(note: Note, operation: int = operation, kind: int = kind) -> None:
                library.cut_plan(operation, kind)
                story(note)

            fresh_flash()
            code, notes = in_child(cut)
            where = f"operation {operation} kind {kind}"
            if code != EXIT_CUT:
                failures.append(f"{where}: {code} {notes[-1:]}")
                continue
            code, said = in_child(lambda note, notes=notes: judge(notes))  # type: ignore[misc]
            if code != 0:
                failures.append(f"{where}: {said[-1:]}")
    points = operations * KINDS
    print(json.dumps({"operations": operations, "points": points, "failures": failures}))


main()
