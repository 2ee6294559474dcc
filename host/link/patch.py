"""Sending a delta: patch messages of group 64, out of which a board makes a package from the one it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from host.errors import DoesNotFitError
from host.link.client import SmpClient
from host.link.errors import BadReplyError, DeviceError, NoAnswerError, SpoiltError
from host.link.os_group import OsGroup
from host.package.delta import PART_BYTES_MIN, Delta
from host.progress import Progress, silent
from protocol import smp

SENDING = "sending the delta"
# A board makes the bytes before it answers, and checks the whole package before it answers the last message.
_TIMEOUT_S = 4.0
_TIMEOUT_S_PER_BYTE = 1 / 16_384
_PATIENCE_S = 30.0  # without a sign of life
_SETBACKS_MAX = 50


@dataclass(frozen=True, slots=True)
class PatchResult:
    """How a delta went: messages that were answered, and bytes of ops in them."""

    messages: int
    ops_bytes: int


def message_room(message_bytes: int, delta: Delta | None = None) -> int:
    """Bytes of ops that fit into a message of the board; into one that announces `delta` when it is given.

    Raises DoesNotFitError for a board whose messages are too small.
    """
    body = announcement(delta) if delta else {"off": 1 << 24}
    # The empty byte string is replaced by one with a length of up to 5 bytes.
    room = message_bytes - smp.HEADER_BYTES - len(cbor2.dumps({**body, "ops": b""})) - 4
    if room < PART_BYTES_MIN:
        raise DoesNotFitError(
            f"the board takes messages of {message_bytes} bytes only",
            "raise link_bytes in its board.toml and build the firmware again",
        )
    return room


def send_delta(client: SmpClient, delta: Delta, progress: Progress = silent) -> PatchResult:
    """Send what the board lacks and return when it has verified the whole.

    It goes on where an earlier try, of this or of another way, was cut off. Raises DeviceError when the board
    refuses: PKG_BASE when it does not keep the base; SpoiltError when what it made has another digest; NoAnswerError.
    """
    return _Sending(client, delta).run(progress)


class _Sending:
    def __init__(self, client: SmpClient, delta: Delta) -> None:
        self._client = client
        self._delta = delta
        self._message_bytes = OsGroup(client).params().buf_size
        self._most = self._limit = message_room(self._message_bytes)  # bytes of ops in a message
        self._offset = 0
        self._is_announced = False
        self._setbacks = 0
        self._messages = self._ops_bytes = 0
        self._heard = client.clock()
        self._damaged = client.damaged

    def run(self, progress: Progress) -> PatchResult:
        total = len(self._delta.result)
        while self._offset < total:
            try:
                wanted = self._exchange()
            except NoAnswerError:
                self._lost()
                continue
            except DeviceError as refusal:
                self._refused(refusal)
                continue
            self._heard = self._client.clock()
            self._limit = min(int(1.5 * self._limit), self._most)
            if wanted <= self._offset and self._is_announced:
                self._set_back()
            self._is_announced = True
            self._offset = wanted
            progress(SENDING, wanted / total)
        return PatchResult(self._messages, self._ops_bytes)

    def _exchange(self) -> int:
        """Send one message; the offset that the board wants next."""
        head: Mapping[str, object] = {"off": self._offset}
        ops, end = b"", self._offset
        if not self._is_announced:
            head = announcement(self._delta)
        # On a bad line the announcement is long enough without ops.
        if self._is_announced or self._client.pace.is_clean:
            first = None if self._is_announced else self._delta
            room = min(self._limit, message_room(self._message_bytes, first))
            ops, end = self._delta.part(self._offset, room)
        wanted = self._send(head, ops, end)
        self._messages += 1
        self._ops_bytes += len(ops)
        return wanted

    def _send(self, head: Mapping[str, object], ops: bytes, end: int) -> int:
        # Once: on a line whose pace is quick a request is repeated long before this one can be answered.
        patience = _TIMEOUT_S
        if not self._client.pace.is_clean and end < len(self._delta.result):
            patience = min(patience, 4 * self._client.pace.wait_s(0, _TIMEOUT_S))
        reply = self._client.write(
            smp.GROUP_TACTUS,
            smp.TACTUS_PATCH,
            {**head, "ops": ops},
            timeout_s=patience + _TIMEOUT_S_PER_BYTE * (end - self._offset),
            retries=0,
        )
        wanted = reply.uint("off")
        if wanted > len(self._delta.result):
            raise BadReplyError(
                f"patch: the board asks for offset {wanted} of {len(self._delta.result)}"
            )
        if not reply.flag("match", True):
            raise SpoiltError
        return wanted

    def _lost(self) -> None:
        """No answer: send less at once, which gets through a line that damages every long message."""
        now = self._client.clock()
        if self._client.damaged > self._damaged:  # a bad line is not a dead one
            self._damaged, self._heard = self._client.damaged, now
        if now - self._heard > _PATIENCE_S:
            raise NoAnswerError(
                f"{self._client.transport.port}: the board fell silent at byte {self._offset:,} of "
                f"{len(self._delta.result):,}",
                "check cable and board and run it again: it goes on where it stopped",
            )
        self._client.pace.lost()
        self._client.counters.retries += 1
        self._limit = max(self._limit // 2, PART_BYTES_MIN)

    def _refused(self, refusal: DeviceError) -> None:
        # After a reset before anything of it was in flash.
        forgotten = (
            self._is_announced and refusal.group is None and refusal.code == smp.RC_BAD_STATE
        )
        if not forgotten and not self._client.misheard(refusal):
            raise refusal
        self._offset, self._is_announced = 0, False
        self._set_back()

    def _set_back(self) -> None:
        self._setbacks += 1
        if self._setbacks > _SETBACKS_MAX:
            raise BadReplyError(f"patch: the board stays at offset {self._offset}")


def announcement(delta: Delta) -> Mapping[str, object]:
    """What the first message says besides ops."""
    return {
        "off": 0,
        "len": len(delta.result),
        "sha": delta.result_sha256,
        "base": delta.base_name,
    }
