"""SMP version 2: message header, operations, groups, commands and return codes.

Source: Zephyr, doc/services/device_mgmt/smp_protocol.rst. The payload is one CBOR map.
"""

import struct

HEADER_BYTES = 8
_HEADER = ">BBHHBB"

READ = 0
READ_REPLY = 1
WRITE = 2
WRITE_REPLY = 3

V1 = 0
V2 = 1

OWN_CODES = 1  # flag of a request: its sender takes the codes of group 64 in every group

GROUP_OS = 0
GROUP_IMAGE = 1
GROUP_STAT = 2
GROUP_FS = 8
GROUP_ENUM = 10
GROUP_TACTUS = 64

OS_ECHO = 0
OS_TASKSTAT = 2
OS_DATETIME = 4
OS_RESET = 5
OS_PARAMS = 6
OS_INFO = 7

IMAGE_STATE = 0
IMAGE_UPLOAD = 1
IMAGE_ERASE = 5
IMAGE_SLOT_INFO = 6

# IMG_MGMT_ERR
IMAGE_UNKNOWN = 1
IMAGE_INVALID_TLV = 5
IMAGE_FLASH_READ = 11
IMAGE_FLASH_WRITE = 12
IMAGE_INVALID_MAGIC = 23
IMAGE_INVALID_HASH = 24
IMAGE_NEWER = 27
IMAGE_TOO_LARGE = 30

STAT_SHOW = 0
STAT_LIST = 1

FS_FILE = 0
FS_STATUS = 1
FS_HASH = 2
FS_HASH_TYPES = 3
FS_CLOSE = 4

# FS_MGMT_ERR
FS_NOT_FOUND = 3
FS_OFFSET_NOT_VALID = 11
FS_OFFSET_BEYOND = 12
FS_HASH_UNKNOWN = 13

ENUM_COUNT = 0
ENUM_LIST = 1
ENUM_SINGLE = 2
ENUM_DETAILS = 3

ENUM_INDEX_TOO_LARGE = 4  # ENUM_MGMT_ERR

TACTUS_INFO = 0
TACTUS_TASKS = 1
TACTUS_STATS = 2
TACTUS_SUBSCRIBE = 3
TACTUS_FRAME = 4
TACTUS_RESULTS = 5
TACTUS_RUN = 6
TACTUS_STOP = 7
TACTUS_MEMORY = 8
TACTUS_SELFTEST = 9
TACTUS_EVENTS = 10
TACTUS_SLOTS = 11
TACTUS_MODE = 12
TACTUS_PATCH = 13
TACTUS_PROFILE = 16
TACTUS_TRIAL = 20
TACTUS_TELEMETRY = 24
TACTUS_TELEMETRY_PACE = 25
TACTUS_HEALTH = 28

RC_OK = 0
RC_UNKNOWN = 1
RC_NO_MEMORY = 2
RC_INVALID = 3
RC_TIMEOUT = 4
RC_NO_ENTRY = 5
RC_BAD_STATE = 6
RC_MESSAGE_SIZE = 7
RC_NOT_SUPPORTED = 8
RC_CORRUPT = 9
RC_BUSY = 10
RC_ACCESS_DENIED = 11
RC_TOO_OLD = 12
RC_TOO_NEW = 13


class SmpError(ValueError):
    """The bytes are not an SMP message."""


def pack_header(
    op: int,
    group: int,
    command: int,
    sequence: int,
    length: int,
    version: int = V2,
    flags: int = 0,
) -> bytes:
    """Build the 8 header bytes; `length` counts the payload after them."""
    return struct.pack(_HEADER, version << 3 | op, flags, length, group, sequence, command)


def put_header(
    buffer: "bytearray | memoryview",
    op: int,
    group: int,
    command: int,
    sequence: int,
    length: int,
    version: int = V2,
) -> None:
    """Write the header at the start of a message buffer."""
    struct.pack_into(_HEADER, buffer, 0, version << 3 | op, 0, length, group, sequence, command)


def parse_header(
    message: "bytes | bytearray | memoryview",
) -> "tuple[int, int, int, int, int]":
    """Return (op, group, command, sequence, payload length). Raises SmpError.

    The length is what the sender claims: compare it with what came. Reserved bits and flags are ignored, as the
    standard asks.
    """
    if len(message) < HEADER_BYTES:
        raise SmpError("shorter than an SMP header")
    first, _, length, group, sequence, command = struct.unpack(
        _HEADER, bytes(message[:HEADER_BYTES])
    )
    return first & 7, group, command, sequence, length


def version(message: "bytes | bytearray | memoryview") -> int:
    """Protocol version of a message of at least one byte: V1, V2 or a later one."""
    return message[0] >> 3 & 3
