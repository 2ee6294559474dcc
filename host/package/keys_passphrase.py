"""Where a passphrase comes from: a file descriptor, or the terminal. Never an argument, never the environment."""

import getpass
import os
import sys

from host.errors import UsageError

_LONGEST = 4096


def read_passphrase(descriptor: str, twice: bool = False) -> bytes:
    """The first line of the file descriptor of this number; of the terminal when it is empty.

    twice: a person types it a second time. Raises UsageError.
    """
    if descriptor:
        return _from_descriptor(descriptor)
    if not sys.stdin.isatty():
        raise UsageError(
            "no passphrase: this is no terminal", "give --passphrase-fd N, as in `N<file`"
        )
    first = getpass.getpass("passphrase: ")
    if twice and getpass.getpass("once more: ") != first:
        raise UsageError("the two passphrases differ", "type them again")
    return first.encode()


def _from_descriptor(text: str) -> bytes:
    remedy = "give the number of an open one, as in `--passphrase-fd 3 3<file`"
    if not text.isdecimal():
        raise UsageError(f"--passphrase-fd is {text!r}", remedy)
    data = b""
    try:
        while b"\n" not in data and len(data) < _LONGEST:
            part = os.read(int(text), _LONGEST)
            if not part:
                break
            data += part
    except (OSError, OverflowError) as error:
        raise UsageError(f"file descriptor {text} cannot be read: {error}", remedy) from error
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line:
        raise UsageError(f"file descriptor {text} holds no passphrase", remedy)
    return line
