"""An emulated board and packages that behave well or badly on trial, as bad models would: their plans lie about times."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import package_builder as build
from plan_builder import Kind, op, single

from host.boards import Board, load_board
from host.flash.flasher import flash_board, stop_board
from host.install import reconnect
from host.link.session import Session, connect
from host.link.tactus_group import SlotInfo
from host.package import keys
from host.package.keys import Signer

BOARD = load_board("qemu-m4")
HEIGHT, WIDTH = 128, 64
ELEMENTS = HEIGHT * WIDTH
CHANNELS = ELEMENTS // 2  # of the recording: a window is two samples
DECLARED_US = 20_000
SETTLE_S = 120.0
TRIAL = {
    "window_ms": 1000,
    "jobs": 1,
    "miss_ppm": 1000,
    "overrun_ppm": 1_000_000,
    "link_gap_ms": 1000,
    "start_us": [],
}


def pool(taps: int, ops: int = 1, declared_us: int = DECLARED_US) -> bytes:
    """A plan that averages over taps x taps windows, `ops` times: 8,192 times their size, on the M4 about 1 us a tap."""
    fields: dict[str, Any] = dict.fromkeys(("in_h", "out_h", "row_end"), HEIGHT)
    fields |= dict.fromkeys(("in_w", "out_w"), WIDTH) | dict.fromkeys(("in_c", "out_c"), 1)
    fields |= dict.fromkeys(("k_h", "k_w"), taps) | dict.fromkeys(("pad_t", "pad_l"), taps // 2)
    fields |= dict.fromkeys(("stride_h", "stride_w", "dil_h", "dil_w"), 1)
    fields |= {"scale": 0.5, "act_min": -128, "act_max": 127, "wcet_us": declared_us}
    plan = single(op(Kind.AVGPOOL2D, **fields), [ELEMENTS], ELEMENTS)
    plan.ops *= ops
    return plan.image()


def clamp(declared_us: int = DECLARED_US) -> bytes:
    fields = {"act_min": -20, "act_max": 20, "count": ELEMENTS, "wcet_us": declared_us}
    return single(op(Kind.CLAMP, **fields), [ELEMENTS], ELEMENTS).image()


def package(
    version: str,
    image: bytes,
    period_ms: int = 200,
    deadline_ms: int = 0,
    counter: int = 5,
    signer: Signer | None = None,
    policy: str = "count_only",
    board: Board = BOARD,
    budget_us: int = DECLARED_US,
    ops: int = 1,
    **trial: Any,
) -> bytes:
    """One task. `trial` goes over TRIAL."""
    tensor = {"shape": [1, HEIGHT, WIDTH, 1], "dtype": "int8"}
    tensor |= {"scale_f32": build.f32(0.5), "zero_point": 0}
    source = {"kind": "replay", "name": "walk", "lsb_f32": build.f32(0.25), "window": 2, "hop": 1}
    task = build.task(
        "only",
        0,
        0,
        0,
        arena_bytes=2 * ELEMENTS,
        period_us=1000 * period_ms,
        deadline_us=1000 * (deadline_ms or period_ms),
        budget_us=budget_us,
        longest_op_us=budget_us // ops,
        policy=policy,
        input=tensor,
        output=dict(tensor),
        source=source,
        selftest=[],
    )
    kernels = 1 << Kind.CLAMP | 1 << Kind.AVGPOOL2D  # of one or the other
    content = build.manifest(tasks=[task], version=version, counter=counter, trial=TRIAL | trial)
    content["target"] |= {"class": board.device_class, "features": list(board.features)}
    content["target"] |= {"kernels": kernels, "arena_bytes": 2 * ELEMENTS}
    return build.build(content, [("model", image)], signer or keys.demo_signer())


class TrialBoard:
    """A board in a folder of its own."""

    def __init__(self, folder: Path, board: Board = BOARD) -> None:
        self.folder, self.board = folder, board
        recording = build.replay_image(channels=CHANNELS)
        status = flash_board(
            board, recording, *keys.trusted(), erase=True, folder=folder, with_parent=True
        )
        self.port, self.pid = str(status.port), status.pid

    def stop(self) -> None:
        stop_board(self.board, self.folder)

    def session(self) -> Session:
        return reconnect(lambda: connect(None, self.port))

    def choose(self, data: bytes) -> None:
        """Upload a package and choose it for the next start."""
        with self.session() as session:
            session.image.test(session.image.upload(data).sha256)

    def reset(self) -> None:
        with self.session() as session:
            session.os.reset()

    def settled(self, data: bytes, said: Callable[[str], None] = print) -> SlotInfo:
        """Wait for the verdict on a package that was chosen and started; nobody tells the board anything."""
        sha = hashlib.sha256(data).digest()
        give_up = time.monotonic() + SETTLE_S
        while True:
            with self.session() as session:
                slots = session.tactus.slots().slots
                ours = [slot for slot in slots if slot.sha256 == sha]
                if any(slot.state_name in ("confirmed", "bad") for slot in ours):
                    (slot,) = ours
                    return slot
                said(f"{[slot.state_name for slot in slots]} {session.tactus.trial()}")
            assert time.monotonic() < give_up, "no verdict"
            time.sleep(0.5)

    def install(self, data: bytes) -> SlotInfo:
        """Choose, restart, and wait for the board's own verdict."""
        self.choose(data)
        self.reset()
        return self.settled(data)

    def runs(self) -> str | None:
        """The version that runs."""
        with self.session() as session:
            return session.info.version if session.info.running else None
