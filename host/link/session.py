"""A board on a port, with its command groups, ready to use."""

import types
from typing import Self

from host.errors import MissingError
from host.link.client import SmpClient
from host.link.errors import DeviceError, NoAnswerError
from host.link.image_group import ImageGroup
from host.link.os_group import OsGroup
from host.link.ports import find_port
from host.link.stat_group import StatGroup
from host.link.tactus_group import BoardInfo, TactusGroup
from host.link.transport import Transport

_PROBE_TIMEOUT_S = 1.0


class Session:
    """An open connection to one Tactus board. Use as a context manager."""

    def __init__(self, client: SmpClient, info: BoardInfo) -> None:
        self.client = client
        self.info = info  # as of the moment of connecting
        self.os = OsGroup(client)
        self.image = ImageGroup(client)
        self.stat = StatGroup(client)
        self.tactus = TactusGroup(client)

    @property
    def port(self) -> str:
        """The port this session holds."""
        return self.client.transport.port

    def close(self) -> None:
        """Release the port."""
        self.client.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()


def connect(
    board: str | None = None, port: str | None = None, timeout_s: float = 2.0, attempts: int = 5
) -> Session:
    """Find the port, open it and make sure that a Tactus board answers there.

    Raises MissingError: no port, no permission, in use, or nothing on it that speaks the protocol.
    """
    path = find_port(board, port)
    transport = Transport(path)
    try:
        transport.drain()
        client = SmpClient(transport, timeout_s)
        return Session(client, _probe(client, board, attempts))
    except BaseException:
        transport.close()
        raise


def _probe(client: SmpClient, board: str | None, attempts: int) -> BoardInfo:
    path = client.transport.port
    tactus = TactusGroup(client)
    keep = client.timeout_s, client.retries
    client.timeout_s, client.retries = _PROBE_TIMEOUT_S, attempts - 1
    try:
        info = tactus.info()
    except NoAnswerError as error:
        said = f"; it said: {client.log.lines[-1][:60]!r}" if client.log.lines else ""
        raise MissingError(
            f"{path} is not a Tactus board: no answer to an SMP request{said}",
            "name another port, cobs:PORT where it carries COBS frames, or put the firmware there with `flash`",
        ) from error
    except DeviceError as error:
        raise MissingError(
            f"{path} speaks SMP but is not a Tactus board: {error.cause}",
            "name another port, or put the firmware on the board with `flash`",
        ) from error
    finally:
        client.timeout_s, client.retries = keep
    if board is not None and info.board != board:
        raise MissingError(
            f"{path} is a {info.board} board, not {board}",
            f"name the port of the {board} board with --port, or say --board {info.board}",
        )
    return info
