"""Which bytes of an older package lie beside those of a newer one.

A package keeps its layout: payloads are paired by their names, whatever moved before them. Where bytes differ, an index
of the older file's blocks shows whether they lie elsewhere in it (as bsdiff does, http://www.daemonology.net/bsdiff/).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from host.package.read import PackageError, PackageInfo, parse_package

_BLOCK = 8
_BLOCKS_MAX = 1 << 18  # in the index: 40 MB
_GAIN_MIN = 8  # bytes that another place must explain better, before going there pays for its ops
_SIGHT = 256  # over how many bytes that is judged


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` up to `end` of the result, beside those of the base from `base` on; None: beside nothing."""

    start: int
    end: int
    base: int | None


def align(base: bytes, result: bytes) -> list[Piece]:
    """Cut the result into pieces that lie side by side with parts of the base, in order and without gaps."""
    index = _index(base)
    pieces: list[Piece] = []
    for start, end, place in _regions(base, result):
        pieces += _scan(base, result, start, end, place - start, index)
    return pieces


def _regions(base: bytes, result: bytes) -> list[tuple[int, int, int]]:
    """Parts of the result (start, end) and where in the base each is likely to begin."""
    old, new = _parsed(base), _parsed(result)
    if old is None or new is None:
        return [(0, len(result), 0)] if result else []
    places = {payload.name: payload.offset for payload in old.payloads}
    shift = 0
    starts = [(0, 0), (16, 16)]
    # The signature ends the envelope; a change of the manifest's length moves it.
    starts.append((16 + new.envelope_bytes - 64, 16 + old.envelope_bytes - 64))
    starts.append((_padded(16 + new.envelope_bytes), _padded(16 + old.envelope_bytes)))
    for payload in new.payloads:
        shift = places.get(payload.name, payload.offset + shift) - payload.offset
        starts.append((payload.offset, payload.offset + shift))
    ends = [start for start, _ in starts[1:]] + [len(result)]
    return [(start, end, place) for (start, place), end in zip(starts, ends, strict=True)]


def _padded(size: int) -> int:
    return -(-size // 16) * 16


def _parsed(data: bytes) -> PackageInfo | None:
    try:
        return parse_package(data)
    except PackageError:
        return None


def _index(base: bytes) -> dict[bytes, int]:
    step = 1 + len(base) // _BLOCKS_MAX
    # Backwards, so that the first of equal blocks stays.
    last = (len(base) - _BLOCK) // step * step
    return {base[at : at + _BLOCK]: at for at in range(last, -1, -step)}


def _scan(
    base: bytes, result: bytes, start: int, end: int, shift: int, index: dict[bytes, int]
) -> Iterator[Piece]:
    """Pieces of one region, which begins `shift` bytes further on in the base."""
    begun = at = start
    while (at := at + _match(base, result, at, end, shift)) < end:
        found = index.get(result[at : at + _BLOCK], at + shift)
        if found != at + shift and _gain(base, result, at, end, shift, found - at) >= _GAIN_MIN:
            yield from _clipped(base, begun, at, shift)
            begun, shift = at, found - at
        else:
            at += 1
    yield from _clipped(base, begun, end, shift)


def _gain(base: bytes, result: bytes, at: int, end: int, shift: int, other: int) -> int:
    """How many more bytes are equal with the `other` shift, over the stretch where all are."""
    size = _match(base, result, at, min(end, at + _SIGHT), other)
    places = range(max(at, -shift), min(at + size, len(base) - shift))
    return size - sum(base[place + shift] == result[place] for place in places)


def _match(base: bytes, result: bytes, at: int, end: int, shift: int) -> int:
    """How many bytes from `at` on are those of the base, `shift` bytes further on."""
    if not 0 <= at + shift < len(base):
        return 0
    most = min(end - at, len(base) - at - shift)
    done, size = 0, 1
    while done < most:
        size = min(size, most - done)
        first = at + done
        if result[first : first + size] == base[first + shift : first + shift + size]:
            done += size
            size *= 2
        elif size == 1:
            break
        else:
            size //= 2
    return done


def _clipped(base: bytes, start: int, end: int, shift: int) -> Iterator[Piece]:
    """The piece, in up to three where a part would lie outside of the base."""
    first = min(max(start, -shift), end)
    last = max(first, min(end, len(base) - shift))
    for a, b, place in ((start, first, None), (first, last, first + shift), (last, end, None)):
        if a < b:
            yield Piece(a, b, place)
