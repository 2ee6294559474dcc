"""What goes wrong on the link, and what to do about it."""

from host.errors import ExitCode, TactusError
from protocol import errors as reasons
from protocol import smp

# Which refusals mean "not what was signed" and which "too much for this board".
_VERIFICATION = frozenset(
    (
        reasons.PLAN_MAGIC,
        reasons.PLAN_VERSION,
        reasons.PLAN_SIZE,
        reasons.PLAN_KERNEL,
        reasons.PLAN_BOUNDS,
        reasons.PLAN_PARAM,
        reasons.PKG_FORMAT,
        reasons.PKG_SIGNATURE,
        reasons.PKG_KEY,
        reasons.PKG_DIGEST,
        reasons.PKG_TARGET,
        reasons.PKG_CAPABILITY,
        reasons.PKG_COUNTER,
        reasons.PKG_SELFTEST,
        reasons.PKG_KEYSET,
        reasons.PKG_KEYSET_OLD,
        reasons.PKG_REVOKED,
        reasons.PKG_EXPIRED,
    )
)
_DOES_NOT_FIT = frozenset(
    (reasons.SPACE, reasons.PLAN_ARENA, reasons.PKG_RAM, reasons.PKG_SCHEDULE)
)

_REQUESTS = {
    (smp.GROUP_OS, 0): "the echo",
    (smp.GROUP_OS, 5): "the reset",
    (smp.GROUP_OS, 6): "the question for its message size",
    (smp.GROUP_IMAGE, 0): "the change of the package's state",
    (smp.GROUP_IMAGE, 1): "the package",
    (smp.GROUP_IMAGE, 5): "the erasure of the slot",
    (smp.GROUP_TACTUS, 3): "the subscription",
    (smp.GROUP_TACTUS, 6): "the start of the tasks",
    (smp.GROUP_TACTUS, 7): "the stop of the tasks",
    (smp.GROUP_TACTUS, 9): "the self-test",
    (smp.GROUP_TACTUS, smp.TACTUS_PATCH): "the delta",
}

# Codes of SMP itself. Zephyr, doc/services/device_mgmt/smp_protocol.rst.
_SMP = {
    smp.RC_UNKNOWN: "unknown error",
    smp.RC_NO_MEMORY: "out of memory",
    smp.RC_INVALID: "an invalid argument",
    smp.RC_TIMEOUT: "timeout",
    smp.RC_NO_ENTRY: "no such entry",
    smp.RC_BAD_STATE: "not possible in the present state",
    smp.RC_MESSAGE_SIZE: "the message is too large",
    smp.RC_NOT_SUPPORTED: "the command is not supported",
    smp.RC_CORRUPT: "corrupt data",
    smp.RC_BUSY: "busy",
    smp.RC_ACCESS_DENIED: "access denied",
    smp.RC_TOO_OLD: "protocol version too old",
    smp.RC_TOO_NEW: "protocol version too new",
}


def request_name(group: int, command: int) -> str:
    """What a request is called when it fails."""
    return _REQUESTS.get((group, command), f"command {command} of group {group}")


class LinkError(TactusError):
    """The exchange with a board failed."""


class NoAnswerError(LinkError):
    """The board did not answer in time, retries included."""


class GarbledError(NoAnswerError):
    """The board answers, but the line damages every answer: shorter ones may pass."""


class PortLostError(LinkError):
    """The port vanished: cable pulled, board gone, emulator stopped."""


class BadReplyError(LinkError):
    """The board answered something that breaks protocol/SPEC.md."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, "check that board firmware and this host have the same version")


class SpoiltError(LinkError):
    """What arrived is not what was sent, in spite of the checksums on the way."""

    exit_code = ExitCode.VERIFICATION

    def __init__(self) -> None:
        super().__init__(
            "upload: the board's SHA-256 differs from the file's",
            "send it again; if it happens again, the board's flash is worn",
        )


class DeviceError(LinkError):
    """The board refused a request. `group` owns `code`; None means a code of SMP itself."""

    def __init__(self, request: str, group: int | None, code: int) -> None:
        self.group = group
        self.code = code
        super().__init__(f"the board refused {request}: {self._sentence()}", self._remedy())
        if group == smp.GROUP_TACTUS:
            if code in _VERIFICATION:
                self.exit_code = ExitCode.VERIFICATION
            elif code in _DOES_NOT_FIT:
                self.exit_code = ExitCode.DOES_NOT_FIT

    def _sentence(self) -> str:
        if self.group == smp.GROUP_TACTUS:
            return f"{reasons.sentence(self.code)} (code {self.code})"
        if self.group is None:
            return f"{_SMP.get(self.code, 'unknown code')} (SMP code {self.code})"
        return f"code {self.code} of command group {self.group}"

    def _remedy(self) -> str:
        if self.group == smp.GROUP_TACTUS:
            return reasons.remedy(self.code)
        if self.group is None and self.code == smp.RC_NOT_SUPPORTED:
            return "update the board's firmware: it lacks this command"
        return "look at `status` for the board's state"
