"""The board's own statement: what it runs, by digests, how that was checked here, and how it has kept time since.

What was proved while the package was built stands in the evidence beside the package; `evidence` names it by its digest.
"""

import hashlib

import _tactus

from protocol import cbor
from protocol import package as container
from tactus import VERSION, state, telemetry

HASH_BYTES = 512  # in one piece
_MAP, _ARRAY = 0xA0, 0x80  # heads of CBOR maps and arrays of fewer than 24


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
    parts = _encoded(
        {
            "board": facts["name"],
            "class": facts["class"],
            "firmware": VERSION,
            "trust": facts["trust_name"],
            "boot_id": board.boot_id,
        }
    )
    yield
    parts += _encoded(
        {
            "reset_cause": _tactus.reset_cause(),
            "uptime_ms": _tactus.time_ms(),
            "utc_s": board.utc.now_s(),
            "counter": _tactus.counter(),
            "keys": _tactus.key_version(),
        }
    )
    yield
    if board.package:
        yield from _package(board, parts)
        yield
    parts.sort()  # by their keys: the deterministic form
    return bytes([_MAP | len(parts)]) + b"".join(parts)


def _encoded(fields):
    # Entries of a map, each on its own: to encode all at once takes longer than a piece may.
    return [cbor.encode(key) + cbor.encode(fields[key]) for key in fields]


def _package(board, parts):
    manifest = board.package.manifest
    slot = state.Slot(board.slot)
    parts += _encoded(
        {
            "app": manifest["app"],
            "version": manifest["version"],
            "slot": board.slot,
            "state": slot.state,
            "running": board.running,
        }
    )
    yield
    envelope = container.envelope_bytes(_tactus.slot_data(board.slot))
    yield
    digest = yield from digest_pieces(envelope)
    yield
    # Every vector matched at boot: a package with one that does not is refused.
    selftest = sum([_vectors(task) for task in manifest["tasks"]])
    parts += _encoded({"package": slot.sha256, "manifest": digest})
    yield
    parts += _encoded({"evidence": manifest["evidence_sha256"], "selftest": selftest})
    yield
    count = len(manifest["tasks"])
    tasks = bytes([_ARRAY | count])
    for index in range(count):
        said = _task(board, manifest["tasks"][index]["name"], index)
        yield
        tasks += cbor.encode(said)
        yield
    parts.append(cbor.encode("tasks") + tasks)


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
