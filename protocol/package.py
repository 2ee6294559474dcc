"""The package file `.tpk`: a head, the signed manifest, the payloads. SPEC.md, section "Package".

    "TPK1", u32le envelope bytes, u32le total bytes, u32le key set bytes
    COSE_Sign1 envelope, zero padded to 16
    COSE_Sign key set, zero padded to 16
    payloads in the order of the manifest, each zero padded to 16

Nothing here checks a signature or a digest: that is for whoever decides to trust (tactus/package.py, host/package).
"""

import struct

from protocol import cose
from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

MAGIC = b"TPK1"
HEAD_BYTES = 16
ALIGN = 16


class PackageError(ValueError):
    """The bytes are not laid out as a package."""


def padded(size: int) -> int:
    """`size` rounded up to the alignment."""
    return (size + ALIGN - 1) // ALIGN * ALIGN


def envelope(data: "bytes | bytearray | memoryview") -> cose.Sign1:
    """Parse head and envelope of a whole package file. Raises PackageError or cose.CoseError."""
    return cose.parse(envelope_bytes(data))


def envelope_bytes(data: "bytes | bytearray | memoryview") -> "memoryview":
    """View of the envelope of a whole package file. Raises PackageError."""
    view = memoryview(data)
    size, _ = _sizes(view)
    _expect_zeros(view, HEAD_BYTES + size, HEAD_BYTES + padded(size))
    return view[HEAD_BYTES : HEAD_BYTES + size]


def key_set(data: "bytes | bytearray | memoryview") -> "memoryview":
    """View of the key set of a whole package file (keyset.py reads it). Raises PackageError."""
    view = memoryview(data)
    size, keys = _sizes(view)
    start = HEAD_BYTES + padded(size)
    _expect_zeros(view, start + keys, start + padded(keys))
    return view[start : start + keys]


def _sizes(view: "memoryview") -> "tuple[int, int]":
    """Bytes of envelope and key set, both inside the file."""
    if len(view) < HEAD_BYTES or bytes(view[:4]) != MAGIC:
        raise PackageError("not a package")
    size, total, keys = struct.unpack("<III", bytes(view[4:HEAD_BYTES]))
    if total != len(view) or total % ALIGN:
        raise PackageError("the head disagrees with the file's size")
    if HEAD_BYTES + padded(size) + padded(keys) > total:
        raise PackageError("envelope or key set leave the file")
    return size, keys


def check_layout(data: "bytes | bytearray | memoryview", manifest: "dict[str, object]") -> None:
    """Check that the payloads of a validated manifest tile the rest of the file. Raises PackageError."""
    finish(check_layout_in_pieces(data, manifest))


def check_layout_in_pieces(
    data: "bytes | bytearray | memoryview", manifest: "dict[str, object]"
) -> "Generator[None, None, None]":
    """check_layout() as work in pieces."""
    view = memoryview(data)
    size, keys = _sizes(view)
    at = HEAD_BYTES + padded(size) + padded(keys)
    payloads = manifest["payloads"]
    if isinstance(payloads, list):
        for index, entry in enumerate(payloads):
            if index % 12 == 11:
                yield
            end = at + entry["bytes"]
            if entry["offset"] != at or padded(end) > len(view):
                raise PackageError("payload %s is not where it should be" % entry["name"])
            at = padded(end)
            _expect_zeros(view, end, at)
    if at != len(view):
        raise PackageError("bytes after the last payload")


def payload(
    data: "bytes | bytearray | memoryview", manifest: "dict[str, object]", index: int
) -> "memoryview":
    """View of a payload. Call check_layout() first."""
    payloads = manifest["payloads"]
    assert isinstance(payloads, list)
    entry = payloads[index]
    return memoryview(data)[entry["offset"] : entry["offset"] + entry["bytes"]]


def _expect_zeros(view: "memoryview", start: int, end: int) -> None:
    for i in range(start, end):
        if view[i]:
            raise PackageError("padding that is not zero")
