"""SMP group 0, OS: is it alive, what can it take, what time is it, restart it."""

from dataclasses import dataclass
from datetime import datetime

from host.link.client import SmpClient
from host.link.errors import NoAnswerError
from protocol import smp


@dataclass(frozen=True, slots=True)
class LinkParams:
    """The largest message the board takes, bytes with header, and how many it buffers."""

    buf_size: int
    buf_count: int


@dataclass(frozen=True, slots=True)
class OsTask:
    """One row of the task list."""

    name: str
    priority: int
    task_id: int
    state: int


class OsGroup:
    """Typed calls of the OS group."""

    def __init__(self, client: SmpClient) -> None:
        self._client = client

    def echo(self, text: str) -> str:
        """Send text round the loop."""
        return self._client.write(smp.GROUP_OS, smp.OS_ECHO, {"d": text}).text("r")

    def params(self) -> LinkParams:
        """Ask what the board can take in one message."""
        reply = self._client.read(smp.GROUP_OS, smp.OS_PARAMS)
        return LinkParams(reply.uint("buf_size"), reply.uint("buf_count", 1))

    def taskstat(self) -> tuple[OsTask, ...]:
        """List the tasks of the board."""
        tasks = self._client.read(smp.GROUP_OS, smp.OS_TASKSTAT).sub("tasks")
        rows = ((name, tasks.sub(name)) for name in tasks.names())
        return tuple(
            OsTask(name, row.integer("prio"), row.uint("tid"), row.uint("state"))
            for name, row in rows
        )

    def info(self, fields: str = "a") -> str:
        """Read the board's one-line description; `fields` as in the SMP specification."""
        return self._client.read(smp.GROUP_OS, smp.OS_INFO, {"format": fields}).text("output")

    def set_datetime(self, now: datetime) -> None:
        """Tell the board the time, with which it judges whether keys have expired; a reset forgets it."""
        text = now.isoformat(timespec="microseconds")
        self._client.write(smp.GROUP_OS, smp.OS_DATETIME, {"datetime": text})

    def reset(self) -> None:
        """Restart the board. A lost answer is no error: it may have restarted before it was sent."""
        try:
            self._client.write(smp.GROUP_OS, smp.OS_RESET, {}, retries=0)
        except NoAnswerError:
            return
