"""The board's own statement: what it runs, by digests, how that was checked here, and how it has kept time since.

What was proved while the package was built stands in the evidence beside the package; `evidence` names it by its digest.
"""

import hashlib

import _tactus

from protocol import cbor
from protocol import package as container
from tactus import VERSION, state, telemetry

HASH_BYTES = 2048  # in one piece


def digest_pieces(data):
    """SHA-256 of bytes, in pieces: the digest."""
    total = hashlib.sha256()
    for at in range(0, len(data), HASH_BYTES):
        total.update(data[at : at + HASH_BYTES])
        yield
    return total.digest()


def statement_pieces(board):
    """The file `/evidence` (SPEC.md), in pieces: its bytes."""
    facts = board.facts
    said = {
        "board": facts["name"],
        "class": facts["class"],
        "firmware": VERSION,
        "trust": facts["trust_name"],
        "boot_id": board.boot_id,
        "reset_cause": _tactus.reset_cause(),
        "uptime_ms": _tactus.time_ms(),
        "utc_s": board.utc.now_s(),
        "counter": _tactus.counter(),
        "keys": _tactus.key_version(),
    }
    if board.package:
        yield from _package(board, said)
    yield
    return cbor.encode(said)


def _package(board, said):
    manifest = board.package.manifest
    data = _tactus.slot_data(board.slot)
    slot = state.Slot(board.slot)
    said["app"] = manifest["app"]
    said["version"] = manifest["version"]
    said["slot"] = board.slot
    said["state"] = slot.state
    said["package"] = slot.sha256
    said["manifest"] = yield from digest_pieces(container.envelope_bytes(data))
    said["evidence"] = manifest["evidence_sha256"]
    # Every one of them matched at boot: a package with one that does not is refused.
    said["selftest"] = sum([_vectors(task) for task in manifest["tasks"]])
    said["running"] = board.running
    tasks = []
    for index in range(len(manifest["tasks"])):
        yield
        tasks.append(_task(board, manifest["tasks"][index]["name"], index))
    said["tasks"] = tasks


def _vectors(task):
    return len(task["selftest"]) + (len(task["lite"]["selftest"]) if "lite" in task else 0)


def _task(board, name, index):
    stats, start, response = telemetry.counters(board, index)
    return {
        "name": name,
        "released": stats.released,
        "done": stats.done,
        "missed_late": stats.missed_late,
        "aborted": stats.aborted,
        "skipped": stats.skipped,
        "wcet_exceeded": stats.wcet_exceeded,
        "budget_exceeded": stats.budget_exceeded,
        "start_max_us": start[2],
        "response_max_us": response[2],
        "exec_max_us": stats.exec_max_us,
    }
