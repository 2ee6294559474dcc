"""The live page: what the terminal shows, with the report's figures, served to browsers of this machine.

One page, and a stream of server-sent events (WHATWG HTML, "Server-sent events"): `frame` with every
frame, `figures` when they were drawn anew, `lost` when the board is gone. Only on 127.0.0.1, only to
requests that name it (a page elsewhere cannot reach it by a rebound name), and nothing is loaded from
outside. Drawing runs beside the stream, at most one picture of the newest frame at a time.
"""

import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from host.demo_result import missed, percentiles
from host.errors import MissingError
from host.link.tactus_group import TaskInfo
from host.monitor.live import Moment
from host.monitor.report import pages
from host.monitor.report_plots import TaskTimes, timing_svg
from host.monitor.span import Loads
from host.monitor.status import line_errors, load_words, ram_use
from host.monitor.timeline import build_timeline
from host.monitor.timeline_plot import timeline_svg
from host.monitor.times import milliseconds
from protocol.manifest import POLICIES
from protocol.stats import TaskStats

ADDRESS = "127.0.0.1"
_REDRAW_S = 2.0  # between drawings, so that they leave the processor to the frames
_KEEPALIVE_S = 5.0


class WebView:
    """Serves moments as they come. Use as a context manager."""

    def __init__(self, port: int, on_start: Callable[[str], None] = lambda _: None) -> None:
        """Take `port`, 0 for any free one; `on_start` gets the URL once it is served.

        Raises MissingError when the port is taken.
        """
        self._on_start = on_start
        self._changed = threading.Condition()
        self._state: dict[str, tuple[int, str]] = {}  # event -> (version, data)
        self._version = 0
        self._moment: Moment | None = None
        self._drawn: Moment | None = None
        self._ended = False
        self._loads = Loads()
        try:
            self._server = ThreadingHTTPServer((ADDRESS, port), _handler(self))
        except OSError as error:
            raise MissingError(
                f"port {port} of {ADDRESS} cannot be opened: {error.strerror}",
                "choose another one with --web-port, or 0 for any free one",
            ) from error
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True),
            threading.Thread(target=self._draw, daemon=True),
        ]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self._server.server_port}/"

    def show(self, moment: Moment) -> None:
        """Send a frame to every page."""
        data = frame_data(moment, self._loads)
        with self._changed:
            self._moment = moment
            self._state.pop("lost", None)
            self._put("frame", data)

    def lost(self, cause: str) -> None:
        """Tell every page that the board is gone."""
        with self._changed:
            self._put("lost", {"cause": cause})

    def wait(self, seen: dict[str, int]) -> list[tuple[str, str]] | None:
        """Events newer than `seen`, which is updated; [] after a while without any, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._fresh(seen), _KEEPALIVE_S)
            if self._ended:
                return None
            fresh = self._fresh(seen)
            seen.update({name: version for name, version, _ in fresh})
            return [(name, data) for name, _, data in fresh]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._on_start(self.url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._threads[1].join()

    def _put(self, name: str, data: dict[str, Any]) -> None:
        self._version += 1
        self._state[name] = (self._version, json.dumps(data))
        self._changed.notify_all()

    def _fresh(self, seen: dict[str, int]) -> list[tuple[str, int, str]]:
        found = [
            (version, name, data)
            for name, (version, data) in self._state.items()
            if version > seen.get(name, 0)
        ]
        return [(name, version, data) for version, name, data in sorted(found)]

    def _draw(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._moment is not self._drawn)
                if self._ended:
                    return
                moment = self._drawn = self._moment
            assert moment is not None
            data = figure_data(moment)
            with self._changed:
                self._put("figures", data)
                self._changed.wait_for(lambda: self._ended, _REDRAW_S)


def frame_data(moment: Moment, loads: Loads) -> dict[str, Any]:
    """The numbers of a frame as the page shows them."""
    info, stats = moment.info, moment.stats
    used, total = ram_use(moment.ram)
    load = loads.take(stats, moment.in_force)
    lost = sum(map(missed, stats.tasks))
    loop = ", ".join(load_words(stats.loop)) if stats.loop else ""
    temperature_mc = moment.health.temperature_mc
    longest = stats.loop.background_max_us if stats.loop else 0
    return {
        "title": f"{info.app or 'no package'} {info.version or ''} on {info.board}",
        "subtitle": f"up {stats.uptime_ms / 1000:,.1f} s"
        + (f", speed {info.speed}" if info.speed > 1 else "")
        + f", mode {moment.mode}"
        + (f", {loop}" if loop else "")
        + ("" if info.running else ", stopped"),
        "facts": [
            [
                f"{lost:,}",
                f"deadlines missed in {sum(t.released for t in stats.tasks):,} releases",
                "bad" if lost else "good",
            ],
            [f"{used:,} B", f"of {total:,} B RAM in use" if total else "RAM in use", ""],
            *(
                [f"{size:,} B", f"ever written of the {name}", ""]
                for name, size in moment.health.peaks
            ),
            [
                "-" if temperature_mc is None else f"{temperature_mc / 1000:.1f} °C",
                "no temperature sensor" if temperature_mc is None else "hottest sensor",
                "",
            ],
            [f"{milliseconds(longest)} ms", "longest piece of background work", ""],
            [
                f"{sum(stats.link[1:4]):,}",
                line_errors(stats.link) or "bad frames on the line",
                "bad" if sum(stats.link[1:4]) else "good",
            ],
        ],
        "tasks": [
            [
                task.name,
                milliseconds(task.period_us),
                milliseconds(task.deadline_us),
                "-" if busy.rate_hz is None else f"{busy.rate_hz:,.1f}",
                f"{busy.utilization:.1%}",
                f"{busy.budget:.0%}",
                f"{missed(numbers):,}",
                *(milliseconds(value) for value in percentiles(numbers.start).values()),
                *(milliseconds(value) for value in percentiles(numbers.response).values()),
                f"{numbers.response.max_us / task.deadline_us:.0%}",
            ]
            for task, numbers, busy in zip(moment.in_force, stats.tasks, load, strict=True)
        ],
    }


def figure_data(moment: Moment) -> dict[str, Any]:
    """The figures of a frame: each task's times against its deadline, and the first miss."""
    line = build_timeline(moment.events, moment.in_force)
    return {
        "miss": None if line is None else {"words": line.sentence(), "svg": timeline_svg(line)},
        "tasks": [
            {"name": task.name, "svg": timing_svg(_times(task, stats))}
            for task, stats in zip(moment.in_force, moment.stats.tasks, strict=True)
        ],
    }


def _times(task: TaskInfo, stats: TaskStats) -> TaskTimes:
    policy = POLICIES[stats.policy]
    return TaskTimes(task.name, task.period_us, task.deadline_us, task.budget_us, policy, stats)


def _handler(view: WebView) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Serves the page and the stream."""

        server_version = "Tactus"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer."""
            port = view.url.rstrip("/").rpartition(":")[2]
            if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
                self.send_error(403, "this page is served to 127.0.0.1 only")
            elif self.path == "/":
                self._page()
            elif self.path == "/events":
                self._stream()
            else:
                self.send_error(404)

        def _page(self) -> None:
            nonce = secrets.token_urlsafe(16)
            body = pages().get_template("live.html.j2").render(nonce=nonce).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "
                f"script-src 'nonce-{nonce}'; img-src data:; frame-ancestors 'none'",
            )
            self._finish_head()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self._finish_head()
            seen: dict[str, int] = {}
            try:
                while (events := view.wait(seen)) is not None:
                    text = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
                    self.wfile.write((text or ": still here\n\n").encode())
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                pass  # the page was closed

        def _finish_head(self) -> None:
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: the terminal belongs to the view."""

    return Handler
