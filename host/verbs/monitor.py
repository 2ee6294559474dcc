"""`monitor`: tasks, misses and jitter, live: on the terminal, as a page, as a log, as a trace."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path

from host.errors import UsageError
from host.verbs import Console, whole_number

_DAY_S = 86_400


def run(
    console: Console,
    board: str,
    port: str,
    seconds: str,
    once: bool = False,
    log: str = "",
    trace: str = "",
    web: bool = False,
    web_port: str = "",
) -> None:
    """Watch until Ctrl-C, for a time, or for one frame."""
    from host.link.session import Session
    from host.monitor.live import Moment, View, follow
    from host.monitor.views import AllOf, LogFile, choose_view

    length_s = whole_number("--seconds", seconds, 0, 365 * _DAY_S)
    if web_port and not web:
        raise UsageError("--web-port without --web", "add --web")
    number = whole_number("--web-port", web_port or "8064", 0, 65_535)
    until_s = time.monotonic() + length_s if length_s > 0 else None
    views: list[View] = []
    if web:
        from host.setup import ensure_extras

        ensure_extras("report")
        from host.monitor.web import WebView

        views.append(WebView(number, _tell))
    if log:
        views.append(LogFile(Path(log)))  # before the terminal: what was seen is in the log
    views.append(choose_view(console.as_json, sys.stdout))
    with ExitStack() as stack:
        traced = None
        if trace:
            from host.monitor.trace import TraceFile

            traced = stack.enter_context(TraceFile(Path(trace)))

        def done(session: Session, moment: Moment) -> bool:
            if traced is not None:
                traced.take(session, moment)
            return once or (until_s is not None and time.monotonic() >= until_s)

        try:
            follow(board or None, port or None, AllOf(views), done, until_s)
        except KeyboardInterrupt:
            return  # how a person ends it


def _tell(url: str) -> None:
    print(f"the page is {url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
