"""Who may sign: rotation and revocation by an update, replay, expiry; then damage everywhere. Usage: check_trust.py VECTORS FOLDER

FOLDER holds flash.bin and the packages of test_trust_on_both_interpreters.py, under the root key that the board trusts.
"""

import hashlib

import _tactus
from board_session import ask, power_up, read, upload
from tactus import package as packages
from tactus import state
from tactus.refusal import Refused
from vector_file import show

from protocol import errors, smp
from protocol.pieces import finish


def verdict(reply):
    """Name of the error in a reply, OK without one."""
    return errors.name(reply.get("err", {}).get("rc", 0))


def send(board, name):
    """Upload a package; what came of it."""
    reply = upload(board, read(name + ".tpk"))
    show("  upload " + name, verdict(reply))
    return reply


def choose(board, name):
    """Ask for a trial at the next reset."""
    sha = hashlib.sha256(read(name + ".tpk")).digest()
    request = {"hash": sha, "confirm": False}
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, request)
    show("  choose " + name, verdict(reply))


def confirm(board):
    """Keep the running package."""
    reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_STATE, {"confirm": True})
    show("  confirm", verdict(reply))


def told(board):
    """What runs, and the floors."""
    version = board.package.manifest["version"] if board.package else None
    reasons = [errors.name(slot.reason) for slot in state.slots()]
    reply = ask(board, smp.READ, smp.GROUP_TACTUS, smp.TACTUS_SLOTS, {})
    show("  runs", version, "counter", reply["counter"], "key set", reply["keys"], reasons)


def set_time(board, text):
    """Tell the board the time."""
    reply = ask(board, smp.WRITE, smp.GROUP_OS, smp.OS_DATETIME, {"datetime": text})
    show("  time", text, reply)


def check_rotation():
    """The old key signs, then the new one, then the old one no longer, whatever way it is tried."""
    board = power_up()
    send(board, "first")
    choose(board, "first")
    board = power_up()
    confirm(board)
    told(board)
    show("a trial under a new key set, cut short: the old key set is good again")
    send(board, "rotated")
    choose(board, "rotated")
    told(power_up())
    board = power_up()
    told(board)
    show("once more, and kept")
    send(board, "rotated")
    choose(board, "rotated")
    board = power_up()
    confirm(board)
    told(board)
    show("what the rotation shuts out")
    choose(board, "first")
    board = power_up()
    told(board)
    for name in ("old-set", "old-set-new-key", "revoked", "unlisted", "foreign-root", "no-root"):
        send(board, name)
    told(board)
    show("a later key set without a new key")
    send(board, "reissued")
    choose(board, "reissued")
    board = power_up()
    confirm(board)
    told(board)


def check_expiry():
    """Before, at and after the end; without a time; between upload and trial; after a reset."""
    board = power_up()
    show("no time", ask(board, smp.READ, smp.GROUP_OS, smp.OS_DATETIME, {}))
    send(board, "expiring")
    choose(board, "expiring")
    board = power_up()
    confirm(board)
    set_time(board, "2030-01-01T00:00:01.5+00:00")
    send(board, "expiring-too")
    set_time(board, "2030-01-01T00:59:59+01:00")
    send(board, "expiring-too")
    set_time(board, "2030-01-01T00:00:00Z")
    choose(board, "expiring-too")
    for text in (
        "yesterday",
        "2030-13-01T00:00:00",
        "2030-02-30T00:00:00",
        "2030-01-01T00:00:00+1",
    ):
        set_time(board, text)
    board = power_up()
    choose(board, "expiring-too")
    board = power_up()
    confirm(board)
    set_time(board, "2031-01-01T00:00:00Z")
    board = power_up()
    told(board)


def judged(data, facts):
    """Name of the reason for which a file is refused."""
    try:
        finish(packages.verify(data, facts, 0))
    except Refused as refusal:
        return errors.name(refusal.code)
    return "accepted"


def check_damage():
    """One bit of every byte in turn, all eight of every seventh; every length; everything in front of the payloads."""
    facts = _tactus.board()
    whole = read("damage.tpk")
    data = bytearray(whole)
    end = finish(packages.verify(memoryview(data), facts, 0)).manifest["payloads"][0]["offset"]
    found = {}
    for at in range(end):
        for bit in range(8) if at % 7 == 0 else (at % 8,):
            data[at] ^= 1 << bit
            reason = judged(memoryview(data), facts)
            found[reason] = found.get(reason, 0) + 1
            data[at] ^= 1 << bit
    for reason in sorted(found):
        show("  bits flipped", reason, found[reason])
    show("  of them accepted", found.get("accepted", 0) == 0, end)
    view = memoryview(data)
    reasons = {judged(view[:size], facts) for size in range(len(data))}
    show("  cut at every length", sorted(reasons), len(data))
    show("  whole again", judged(view, facts))


check_rotation()
check_expiry()
check_damage()
