"""Telemetry records: what a board writes into its flash ring for later. SPEC.md, section "Telemetry records".

A record is a CBOR array [boot_id, sequence, uptime_ms, clock, kind, fields]. The bytes come from a flash that
others may have written: decode() checks everything and raises TelemetryError.
"""

from collections import namedtuple

from protocol import cbor

RECORD_MAX_BYTES = 192
_UINT32 = 0xFFFFFFFF
_UPTIME_MAX_MS = (1 << 53) - 1

BOOT, PACKAGE, FIRST_MISS, TASK_EVENTS, BOARD_EVENTS, TASK_SUMMARY, BOARD_SUMMARY = range(1, 8)

# Kind -> its name and its fields: the key of a field is its place in the list. "t" text, "b" bytes, "u" 0..2^32-1,
# "i" an integer of 32 bits with a sign, "p" a list of [u, u]. Each may lack.
KINDS = {
    BOOT: (
        "boot",
        (
            ("reset_cause", "u"),
            ("firmware", "t"),
            ("app", "t"),
            ("version", "t"),
            ("slot", "u"),
            ("state", "u"),
            ("reason", "u"),
            ("package", "b"),
        ),
    ),
    PACKAGE: (
        "package",
        (("slot", "u"), ("state", "u"), ("before", "u"), ("reason", "u"), ("package", "b")),
    ),
    FIRST_MISS: (
        "first_miss",
        (
            ("task", "t"),
            ("how", "u"),
            ("job", "u"),
            ("at_us", "u"),
            ("value", "i"),
            ("ago_ms", "u"),
            ("took", "p"),
        ),
    ),
    TASK_EVENTS: (
        "task_events",
        (
            ("task", "t"),
            ("released", "u"),
            ("missed_late", "u"),
            ("aborted", "u"),
            ("skipped", "u"),
            ("wcet_exceeded", "u"),
            ("budget_exceeded", "u"),
            ("degraded", "u"),
            ("early", "u"),
        ),
    ),
    BOARD_EVENTS: (
        "board_events",
        (
            ("errors_crc", "u"),
            ("errors_format", "u"),
            ("errors_size", "u"),
            ("gc_forced", "u"),
            ("mode_switches", "u"),
            ("flash_errors", "u"),
            ("mode", "u"),
        ),
    ),
    TASK_SUMMARY: (
        "task_summary",
        (
            ("task", "t"),
            ("released", "u"),
            ("done", "u"),
            ("missed", "u"),
            ("start_p99_us", "u"),
            ("start_max_us", "u"),
            ("response_p50_us", "u"),
            ("response_p99_us", "u"),
            ("response_max_us", "u"),
            ("exec_max_us", "u"),
        ),
    ),
    BOARD_SUMMARY: (
        "board_summary",
        (
            ("elapsed_s", "u"),
            ("idle_permille", "u"),
            ("background_max_us", "u"),
            ("gc_count", "u"),
            ("gc_pause_max_us", "u"),
        ),
    ),
}

# utc_s: seconds since 1970, None while unknown; clock_age_s: since a host set the clock. kind: a number, one of
# KINDS or a later one; fields: by name, or {} of a kind that this reader does not know.
Record = namedtuple(
    "Record", ("boot_id", "sequence", "uptime_ms", "utc_s", "clock_age_s", "kind", "fields")
)


class TelemetryError(ValueError):
    """Bytes that are not a telemetry record."""


def encode(
    boot_id: int,
    sequence: int,
    uptime_ms: int,
    clock: "list[int] | None",
    kind: int,
    fields: "dict[str, object]",
) -> bytes:
    """One record; clock: [utc_s, clock_age_s] or None. Fields that are None are left out; names as in KINDS."""
    body = {}
    names = KINDS[kind][1]
    for key in range(len(names)):
        value = fields.get(names[key][0])
        if value is not None:
            body[key] = value
    return cbor.encode([boot_id, sequence, uptime_ms, clock, kind, body])


def decode(data: "bytes | bytearray | memoryview", offset: int = 0, end: int = -1) -> Record:
    """The record that fills data[offset:end] exactly. Raises TelemetryError."""
    try:
        value = cbor.decode(data, offset, end, True, False)
    except cbor.CborError as error:
        raise TelemetryError("record: %s" % error)  # noqa: B904 MicroPython has no `from`
    if not isinstance(value, list) or len(value) != 6:
        raise TelemetryError("record: not an array of six")
    boot_id, sequence, uptime_ms, clock, kind, body = value
    _unsigned(boot_id, "boot_id", _UINT32)
    _unsigned(sequence, "sequence", _UINT32)
    _unsigned(uptime_ms, "uptime_ms", _UPTIME_MAX_MS)
    _unsigned(kind, "kind", _UINT32)
    utc_s = age_s = None
    if clock is not None:
        if not isinstance(clock, list) or len(clock) != 2:
            raise TelemetryError("record: clock is not [utc_s, age_s]")
        utc_s, age_s = clock
        _unsigned(utc_s, "utc_s", _UINT32)
        _unsigned(age_s, "age_s", _UINT32)
    if not isinstance(body, dict):
        raise TelemetryError("record: fields are no map")
    fields = _fields(body, KINDS[kind][1]) if kind in KINDS else {}
    return Record(boot_id, sequence, uptime_ms, utc_s, age_s, kind, fields)


def kind_name(kind: int) -> str:
    """A kind in words."""
    return KINDS[kind][0] if kind in KINDS else "kind %d" % kind


def unpack_page(data: "bytes | bytearray | memoryview") -> "list[tuple[int, bytes]]":
    """(sequence, content) of each record in a reply of group 64: u32 sequence, u8 n, n bytes. Raises TelemetryError."""
    found = []
    at = 0
    last = 0
    while at < len(data):
        if at + 5 > len(data) or at + 5 + data[at + 4] > len(data):
            raise TelemetryError("page: cut off at byte %d" % at)
        sequence = int.from_bytes(bytes(data[at : at + 4]), "little")
        if sequence <= last:
            raise TelemetryError("page: sequence %d after %d" % (sequence, last))
        last = sequence
        end = at + 5 + data[at + 4]
        found.append((sequence, bytes(data[at + 5 : end])))
        at = end
    return found


def _fields(
    body: "dict[object, object]", names: "tuple[tuple[str, str], ...]"
) -> "dict[str, object]":
    fields = {}
    for key in body:
        if not isinstance(key, int):
            raise TelemetryError("record: a field's key is no number")
        if not 0 <= key < len(names):
            continue  # of a later firmware
        name, form = names[key]
        if not _fits(body[key], form):
            raise TelemetryError("record: field %s is of another form" % name)
        fields[name] = body[key]
    return fields


def _fits(value: object, form: str) -> bool:
    if form == "t":
        return isinstance(value, str)
    if form == "b":
        return isinstance(value, bytes)
    if form == "p":
        return isinstance(value, list) and all(_is_pair(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return 0 <= value <= _UINT32 if form == "u" else -(1 << 31) <= value < 1 << 31


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(_fits(value, "u") for value in item)


def _unsigned(value: object, name: str, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise TelemetryError("record: %s is out of range" % name)
