"""`report`: a single HTML file from a monitor's log, or from a board as it is now."""

import time
from pathlib import Path
from typing import Any

from host.boards import BUILD
from host.demo_result import missed
from host.errors import UsageError
from host.setup import ensure_extras
from host.verbs import Console


def run(console: Console, log: str, board: str, port: str, output: str) -> dict[str, Any]:
    """Write the report. Raises UsageError for what is no log."""
    if log and (board or port):
        raise UsageError("a log and a board together", "name one of them")
    ensure_extras("report")
    from host.monitor.output import open_output
    from host.monitor.recording import Recording, read_recording, recording_of
    from host.monitor.report import recording_page, render_report
    from host.monitor.times import counted

    recording: Recording
    waiting: int | None = None
    if log:
        recording = read_recording(Path(log))
    else:
        from host.link.session import connect
        from host.link.tactus_group import NO_RECORD
        from host.monitor.live import read_moment

        with connect(board or None, port or None) as session:
            waiting = session.tactus.telemetry(NO_RECORD).waiting
            recording = recording_of(read_moment(session, time.time()))
    info = recording.last.info
    name = f"{info.app or 'board'}-{info.board}-monitor.html"
    file = Path(output) if output else BUILD / "reports" / name
    with open_output(file, "w") as stream:
        stream.write(render_report(recording_page(recording)))
    lost = sum(map(missed, recording.stats))
    console.say(
        f"{counted(recording.frames, 'frame')}, {counted(recording.starts, 'start')} of the tasks, "
        f"{counted(lost, 'missed deadline')}"
    )
    if waiting:
        console.say(f"{waiting:,} telemetry records wait on the board; see `telemetry`")
    console.say(f"report: {file}")
    return {
        "report": str(file),
        "board": info.board,
        "app": info.app,
        "frames": recording.frames,
        "starts": recording.starts,
        "gaps": recording.gaps,
        "left_out": recording.left_out,
        "missed": lost,
        "telemetry_waiting": waiting,
    }
