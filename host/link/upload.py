"""Sending a package file over any line: several chunks under way, as large as the line lets through.

As many requests are under way as the board has buffers. It takes chunks strictly in order and answers each with the
offset wanted next, so a lost chunk shows in the answer to the one behind it, and the upload goes back to that offset. A chunk
that arrives twice changes nothing. Chunks halve when one is lost and grow by two fifths when one arrives: two of three arrive
then, which is near the best for a line whose bytes are lost one by one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from host.errors import DoesNotFitError, UsageError
from host.link.client import Key, SmpClient, refusal_of
from host.link.errors import BadReplyError, DeviceError, NoAnswerError, SpoiltError, request_name
from host.link.fields import Fields
from host.link.os_group import OsGroup
from host.link.pace import Pace
from host.progress import Progress, silent
from protocol import smp

SENDING = "sending the package"
_CHUNK_MIN = 16
_CHUNK_FIRST, _CHUNK_BAD = 512, 64
_GROWTH = 1.4
_WINDOW_MAX = 8
_VERDICT_S = 4.0  # the board checks the whole package before it answers the last chunk
_VERDICT_MAX_S = 30.0
_SETBACKS_MAX = 200
_FORGOTTEN_MAX = 10


@dataclass(frozen=True, slots=True)
class UploadResult:
    """How an upload went: bytes the board took in this session and the offset it resumed at."""

    sha256: bytes
    total_bytes: int
    sent_bytes: int
    resumed_at: int


@dataclass(slots=True)
class _Chunk:
    """A chunk under way; a void one lies behind a loss, and its answer says nothing new."""

    offset: int
    size: int
    sent_at: float
    void: bool = False


class Upload:
    """One upload, begun or resumed by `run()`."""

    def __init__(
        self,
        client: SmpClient,
        data: bytes,
        progress: Progress = silent,
        window: int | None = None,
    ) -> None:
        """`window`: chunks under way, by default as many as the board says it holds."""
        if not data:
            raise UsageError("the package is empty", "build it again")
        self._client = client
        self._data = data
        self._sha = hashlib.sha256(data).digest()
        self._progress = progress
        params = OsGroup(client).params()
        self._window = min(window or max(params.buf_count, 1), _WINDOW_MAX)
        self._room = _room(params.buf_size, {"off": len(data)})
        # Few chunks pass for nothing where the line lets only short ones through.
        self._chunk = float(min(_CHUNK_FIRST if client.pace.is_clean else _CHUNK_BAD, self._room))
        self._grows_by = 2.0  # until one is lost
        self._pace = Pace(
            client.timeout_s
        )  # chunks take longer than the short requests before them
        self._under_way: dict[Key, _Chunk] = {}  # in the order in which they were sent
        self._wanted = 0  # what the board asked for last
        self._next = 0  # what is sent next
        self._setbacks = 0
        self._losses = 0  # in a row
        self._taken = 0

    def run(self) -> UploadResult:
        """Send what the board lacks and return when it has verified the whole.

        Raises DeviceError when the board refuses (its sentence says why), SpoiltError when what
        arrived is not what was sent, NoAnswerError when it falls silent.
        """
        resumed_at = self._announce()
        heard = self._client.clock()
        damaged = self._client.damaged
        while self._wanted < len(self._data):
            self._fill()
            if self._hear():
                heard = self._client.clock()
            elif self._client.damaged > damaged:
                damaged, heard = self._client.damaged, self._client.clock()
            patience = self._client.patience_s
            if self._next >= len(self._data):
                patience = max(patience, _VERDICT_MAX_S)
            if self._client.clock() - heard > patience:
                raise NoAnswerError(
                    f"{self._client.transport.port}: the board fell silent at byte {self._wanted:,} "
                    f"of {len(self._data):,}",
                    "check cable and board and run it again: it goes on where it stopped",
                )
        return UploadResult(self._sha, len(self._data), self._taken, resumed_at)

    def _announce(self) -> int:
        """Tell length and digest, without data: the answer says how much the board has already."""
        head = {"off": 0, "image": 0, "len": len(self._data), "sha": self._sha, "data": b""}
        reply = self._client.write(smp.GROUP_IMAGE, smp.IMAGE_UPLOAD, head)
        self._wanted = self._next = self._checked(reply)
        return self._wanted

    def _fill(self) -> None:
        """Send until the board's buffers are full."""
        narrow = self._is_narrow()  # on a bad line the next chunk is probably in vain
        window = 1 if narrow else self._window
        while len(self._under_way) < window and self._next < len(self._data):
            self._next += self._post(self._next, int(self._chunk))
        if not self._under_way:  # all is sent and the verdict did not come: ask for it
            self._post(len(self._data), 0)

    def _post(self, offset: int, size: int) -> int:
        """Send a chunk of up to `size` bytes; how many it has."""
        chunk = self._data[offset : offset + size]
        head = {"off": offset, "data": chunk}
        key = self._client.post(smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_UPLOAD, head)
        self._under_way[key] = _Chunk(offset, len(chunk), self._client.clock())
        return len(chunk)

    def _hear(self) -> bool:
        """Wait for one answer or for the oldest chunk to be lost. True when an answer came."""
        oldest = next(iter(self._under_way.values()))
        ends = oldest.offset + oldest.size == len(self._data)
        patience = self._pace.wait_s(min(self._losses, 4), self._longest_s())
        if ends:
            patience = max(patience, _VERDICT_S if self._client.pace.is_clean else 8 * patience)
        left = oldest.sent_at + patience - self._client.clock()
        if left <= 0:
            self._lost_all()
            return False
        heard = False
        damaged = self._client.damaged
        for key, reply in self._client.collect(left):
            chunk = self._under_way.pop(key, None)
            if chunk is None:
                self._client.counters.stale += 1
                if key[1:3] == (smp.GROUP_IMAGE, smp.IMAGE_UPLOAD):
                    self._pace.late()
                continue
            heard = True
            self._losses = 0
            self._client.counters.replies += 1
            self._answered(chunk, reply)
        if not heard and self._client.damaged > damaged and len(self._under_way) == 1:
            # The answer to the one chunk under way, which has arrived then; if not, the next answer says so.
            self._under_way.clear()
        return heard

    def _longest_s(self) -> float:
        """How long to wait for a chunk while no answer to one has come."""
        pace, longest = self._client.pace, self._client.timeout_s
        return longest if pace.is_clean else min(8 * pace.wait_s(0, longest), longest)

    def _lost_all(self) -> None:
        """Nothing came in time: what is under way is lost, go on from what the board wanted last."""
        self._losses += 1
        self._lost_one()
        self._client.counters.retries += 1
        if any(chunk.size for chunk in self._under_way.values()):
            self._shrink()
        oldest = next(iter(self._under_way.values()))
        ends = oldest.offset + oldest.size == len(self._data)
        self._under_way.clear()
        if not ends or self._is_narrow():  # else ask for the verdict: a short question
            self._next = oldest.offset if oldest.size else self._wanted

    def _answered(self, chunk: _Chunk, reply: Fields) -> None:
        # Answers come in order: what was sent before is lost, or its answer is.
        before = [key for key, it in self._under_way.items() if it.sent_at < chunk.sent_at]
        for key in before:
            del self._under_way[key]
        refusal = refusal_of(reply, request_name(smp.GROUP_IMAGE, smp.IMAGE_UPLOAD))
        if refusal is not None:
            self._refused(refusal)
            return
        wanted = self._checked(reply)
        if not before and not chunk.void:
            self._pace.answered(self._client.clock() - chunk.sent_at, 0)
        if wanted > self._wanted:
            self._setbacks = 0
            self._taken += wanted - self._wanted
            self._progress(SENDING, wanted / len(self._data))
        elif chunk.size:
            self._setbacks += 1
            if self._setbacks > _SETBACKS_MAX:
                raise BadReplyError(f"upload: the board stays at offset {wanted}")
        if wanted == 0 < self._wanted:  # it has forgotten the upload
            self._under_way.clear()
            self._announce()
            return
        self._wanted = wanted
        if wanted >= chunk.offset + chunk.size:
            self._chunk = min(self._chunk * self._grows_by, self._room)
            self._next = max(self._next, wanted)
        elif not chunk.void:  # one before it was lost, or the board has started again
            if wanted < chunk.offset and chunk.size:
                self._lost_one()
                self._shrink()
            self._next = wanted
            for behind in self._under_way.values():
                behind.void = True

    def _refused(self, refusal: DeviceError) -> None:
        forgotten = refusal.group is None and refusal.code == smp.RC_BAD_STATE
        if not (forgotten or self._client.misheard(refusal)) or self._setbacks > _FORGOTTEN_MAX:
            raise refusal
        self._setbacks += 1
        self._under_way.clear()
        self._next = self._wanted
        if forgotten:  # the board was reset before anything of the upload was in flash
            self._announce()

    def _is_narrow(self) -> bool:
        return self._chunk < self._room / 4 and not self._pace.is_clean

    def _lost_one(self) -> None:
        self._pace.lost()
        self._client.pace.lost()

    def _shrink(self) -> None:
        self._grows_by = _GROWTH
        self._chunk = max(self._chunk / 2, _CHUNK_MIN)

    def _checked(self, reply: Fields) -> int:
        wanted = reply.uint("off")
        if wanted > len(self._data):
            raise BadReplyError(f"upload: the board asks for offset {wanted} of {len(self._data)}")
        if not reply.flag("match", True):
            raise SpoiltError
        return wanted


def _room(message_bytes: int, head: Mapping[str, object]) -> int:
    """Payload bytes that fit beside `head` in one message of the board."""
    # The empty byte string is replaced by one with a length of up to 5 bytes.
    used = smp.HEADER_BYTES + len(cbor2.dumps({**head, "data": b""})) + 4
    room = message_bytes - used
    if room < _CHUNK_MIN:
        raise DoesNotFitError(
            f"the board takes messages of {message_bytes} bytes only",
            "raise link_bytes in its board.toml and build the firmware again",
        )
    return room
