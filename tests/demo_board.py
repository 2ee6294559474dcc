"""A scripted board that runs the sample application: answers every question of status and monitor."""

from fake_board import INFO, Request, stream_frame
from report_samples import packed, report, stats

from protocol import smp

REPORT = report()
LINK = {"frames": 12, "errors_crc": 1, "errors_format": 0, "errors_size": 0, "sent": 12}


def _task(name: str, period_us: int, deadline_us: int) -> dict:
    return {
        "name": name,
        "period_us": period_us,
        "deadline_us": deadline_us,
        "budget_us": deadline_us // 2,
        "labels": ["a", "b"],
        "plan_arena_bytes": 2880,
        "arena_offset": 0,
        "output": {"scale_f32": 0x3B800000, "zero_point": -128},
    }


def frame_body(sequence: int) -> dict:
    jobs = 40 * (sequence + 1)
    return {
        "seq": sequence,
        "uptime_ms": 1000 + 500 * sequence,
        "tasks": [
            packed(stats(1, max(jobs // 20, 1), 64_000)),
            packed(stats(2, jobs, 21_000, 0, 1)),
        ],
        "link": list(LINK.values()),
    }


class DemoBoard:
    """Answers requests; `frames` stream frames follow each subscription."""

    def __init__(self, frames: int = 3, info: dict | None = None) -> None:
        self.info = INFO if info is None else info
        self.frames = frames
        self.sent = 0

    def __call__(self, request: Request) -> bytes:
        return request.reply(self._body(request)) + self._stream(request)

    def _stream(self, request: Request) -> bytes:
        if (request.group, request.command) != (smp.GROUP_TACTUS, smp.TACTUS_SUBSCRIBE):
            return b""
        self.sent += self.frames
        return b"".join(
            stream_frame(frame_body(n)) for n in range(self.sent - self.frames, self.sent)
        )

    def _body(self, request: Request) -> dict:
        if request.group == smp.GROUP_STAT:
            return {"name": "link", "fields": LINK}
        assert request.group == smp.GROUP_TACTUS, request
        bodies = {
            smp.TACTUS_INFO: self.info,
            smp.TACTUS_TASKS: {
                "tasks": [_task("motion", 1_000_000, 500_000), _task("digits", 50_000, 40_000)]
            },
            smp.TACTUS_STATS: frame_body(2),
            smp.TACTUS_SUBSCRIBE: {},
            smp.TACTUS_RUN: {},
            smp.TACTUS_MEMORY: {
                "ram": [list(row) for row in REPORT.ram],
                "arenas": [[4096, 4096], [8448, 8440]],
            },
            smp.TACTUS_TELEMETRY: {
                "oldest": 3,
                "newest": 9,
                "acknowledged": 5,
                "lost": 2,
                "next": 10,
                "data": b"",
            },
            smp.TACTUS_HEALTH: {
                "temperature_mc": 41_250,
                "peaks": [["interpreter heap", 40_960], ["stacks", 2_048]],
            },
            smp.TACTUS_TRIAL: {
                "state": 0,
                "remaining_ms": 0,
                "jobs": 0,
                "misses": 0,
                "reason": 33,
            },
            smp.TACTUS_MODE: {"mode": "normal", "wanted": "normal", "modes": ["normal", "saving"]},
            smp.TACTUS_SLOTS: {
                "counter": 3,
                "keys": 2,
                "slots": [
                    {
                        "state": 5,
                        "reason": 0,
                        "length": 24656,
                        "received": 24656,
                        "sha": b"\xab" * 32,
                    },
                    {
                        "state": 6,
                        "reason": 33,
                        "length": 24656,
                        "received": 24656,
                        "sha": b"\xcd" * 32,
                    },
                ],
            },
        }
        return bodies[request.command]
