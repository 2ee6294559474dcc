"""A serial port as timed reads and writes.

Any pyserial port or URL works: `/dev/ttyACM0`, a PTY, `socket://host:port`, `loop://`, `rfc2217://`. `cobs:` in
front of it says that it carries COBS frames and nothing else.
The port is taken exclusively. Modem lines keep what the kernel gives them at open, and closing does
not hang up: on many boards an edge on DTR or RTS is a reset.
"""

import contextlib
import errno
import os
import types
from typing import Self

import serial

from host.errors import MissingError
from host.link.errors import PortLostError

BAUD_RATE = 115_200  # ignored by PTYs and USB CDC
_READ_CHUNK = 4096
_COBS = "cobs:"


class Transport:
    """An open port. Owns the file descriptor; use as a context manager or call `close()`."""

    def __init__(self, port: str) -> None:
        """Open `port`. Raises MissingError when it does not exist, is refused or is in use."""
        self.port = port
        self.cobs = port.startswith(_COBS)
        try:
            self._serial = serial.serial_for_url(
                port.removeprefix(_COBS),
                baudrate=BAUD_RATE,
                timeout=0,
                write_timeout=5,
                exclusive=True,
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise _open_error(port, error) from error
        _keep_lines_on_close(self._serial)

    def read(self, timeout_s: float) -> bytes:
        """Whatever has arrived, waiting up to `timeout_s` for the first byte; b"" when nothing did."""
        try:
            self._serial.timeout = timeout_s
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            rest: bytes = self._serial.read(min(self._serial.in_waiting, _READ_CHUNK))
        except (serial.SerialException, OSError, TypeError) as error:
            raise self._lost(error) from error
        return first + rest

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises PortLostError when the port takes nothing for 5 s or is gone."""
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            raise self._lost(error) from error

    def drain(self) -> None:
        """Throw away what has arrived but was not read."""
        try:
            self._serial.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Release the port. Safe to call twice."""
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def _lost(self, error: BaseException) -> PortLostError:
        if isinstance(error, serial.SerialTimeoutException):
            return PortLostError(
                f"{self.port} takes no bytes", "reset the board, or unplug and plug the cable"
            )
        return PortLostError(
            f"the connection on {self.port} broke: {_reason(error)}",
            "check the cable and that the board still runs, then try again",
        )


def _keep_lines_on_close(port: serial.SerialBase) -> None:
    """Clear HUPCL, so that closing does not drop DTR. Only POSIX terminals have it."""
    if os.name != "posix":
        return
    import termios

    with contextlib.suppress(OSError, ValueError, AttributeError, termios.error):
        descriptor = port.fileno()
        attributes = termios.tcgetattr(descriptor)
        attributes[2] &= ~termios.HUPCL
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error).splitlines()[0]


def _open_error(port: str, error: Exception) -> MissingError:
    number = getattr(error, "errno", None)
    if isinstance(error, ValueError):
        return MissingError(
            f"{port} is not a serial port: {error}", "name one of those that `boards` lists"
        )
    if number == errno.ENOTTY or "Inappropriate ioctl" in str(error):
        return MissingError(f"{port} is not a serial port", "name one of those that `boards` lists")
    if number == errno.ENOENT:
        return MissingError(
            f"port {port} does not exist",
            "plug the board in, or name one of the ports that `boards` lists",
        )
    if number in (errno.EACCES, errno.EPERM):
        return MissingError(
            f"no permission to open {port}",
            "join the group that owns it (often `sudo usermod -aG dialout $USER`) and log in again",
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return MissingError(
            f"port {port} is in use by another program",
            f"close that program (a monitor, a terminal); `fuser {port}` shows its process id",
        )
    return MissingError(
        f"{port} cannot be opened: {_reason(error)}",
        "name a serial port; `boards` lists those of this machine",
    )
