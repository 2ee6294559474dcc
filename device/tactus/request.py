"""Reading a request map: the right type within the right range, or an SMP error."""

from protocol import smp


class StatusError(Exception):
    """Answered as {"rc": rc}, a code of SMP itself."""

    def __init__(self, rc):
        super().__init__(rc)
        self.rc = rc


class GroupError(Exception):
    """Answered as {"err": {"group": group, "rc": code}}, a code of that group."""

    def __init__(self, group, code):
        super().__init__(code)
        self.group = group
        self.code = code


class DeviceError(GroupError):
    """A code of protocol/errors.py, of either sign, which are those of group 64."""

    def __init__(self, code):
        super().__init__(smp.GROUP_TACTUS, abs(code))


def check(code):
    """Pass a result of the C extension on, or raise DeviceError for its negative code."""
    if code < 0:
        raise DeviceError(code)
    return code


def uint(request, key, low=0, high=0xFFFFFFFF, default=None):
    """Read an integer of a range; without a default it must be there."""
    value = request.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise StatusError(smp.RC_INVALID)
    return value


def flag(request, key, default=False):
    """Read a boolean."""
    value = request.get(key, default)
    if value is not True and value is not False:
        raise StatusError(smp.RC_INVALID)
    return value


def text(request, key, default=None):
    """Read a text; without a default it must be there."""
    value = request.get(key, default)
    if not isinstance(value, str):
        raise StatusError(smp.RC_INVALID)
    return value


def blob(request, key, size=-1):
    """Read a byte string that must be there, of exactly `size` bytes unless that is negative."""
    value = request.get(key)
    if not isinstance(value, bytes) or (size >= 0 and len(value) != size):
        raise StatusError(smp.RC_INVALID)
    return value
