"""The flash of a board that `bench realtime` runs: models and their data in the replay region, slots empty."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.bench.board_repl import BoardRepl, board_repl
from host.bench.realtime_device import PROGRAM, Repl
from host.bench.realtime_sets import Model, model_of
from host.boards import Board
from host.errors import DoesNotFitError
from host.flash.device_room import device_room
from host.flash.emulator import start_emulator, stop_emulator
from host.package.write import f32_bits
from host.schedule.admit import TaskTiming, task_input_us
from host.schedule.wcet_table import DATA_DEPENDENT, MeasuredOp, WcetTable, declare
from protocol import replay

_ALIGN = 16
_SKIP_NEXT = 1
# (pattern, seed) of Board's engine_times(): cold first, then data made to be hard.
_INPUTS = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (3, 1), (4, 1)]
_MARGIN_PERCENT, _DATA_MARGIN_PERCENT = 1, 20


@dataclass(frozen=True, slots=True, eq=False)
class Flash:
    """Models with the place of each plan image in the region, bytes."""

    models: dict[str, Model]
    content: bytes
    places: dict[str, int]

    @classmethod
    def of(cls, models: dict[str, Model], board: Board) -> "Flash":
        """Lay out the records and the images. Raises DoesNotFitError."""
        records = [(name, model.spec.record) for name, model in models.items()]
        content = bytearray(
            replay.build(
                [
                    (
                        name,
                        record.counts.astype("<i2").tobytes(),
                        record.counts.shape[1],
                        record.starts.tolist(),
                    )
                    for name, record in records
                ]
            )
        )
        places = {}
        for name, model in models.items():
            content += bytes(-len(content) % _ALIGN)
            places[name] = len(content)
            content += model.compiled.image
        if len(content) > board.flash.replay_bytes:
            raise DoesNotFitError(
                f"models and data have {len(content)} bytes, {board.name} keeps "
                f"{board.flash.replay_bytes}",
                "run smaller models",
            )
        return cls(models, bytes(content), places)

    @contextlib.contextmanager
    def running(self, board: Board, firmware: Path, folder: Path) -> Iterator[BoardRepl]:
        """A freshly started board with this flash, the benchmark's program loaded at its REPL."""
        stop_emulator(board, folder)
        room = device_room(board, folder)
        room.flash_file.unlink(missing_ok=True)
        room.prepare_flash(board.flash.bytes, int(board.emulator["flash_file_bytes"]))
        room.write_flash(board.flash.replay_offset, self.content)
        status = start_emulator(board, firmware, folder, with_parent=True)
        try:
            with board_repl(status.port) as repl:
                repl.run("FLASH = ()")
                repl.run(PROGRAM)
                yield repl
        finally:
            stop_emulator(board, folder)

    def measured(self, repl: Repl, margin_percent: int = _MARGIN_PERCENT) -> "Flash":
        """The same with what the board took for each op declared in the images."""
        models, content = {}, bytearray(self.content)
        for name, model in self.models.items():
            at, image = self.places[name], model.compiled.image
            observed = repl.value(f"times({at}, {len(image)}, {_INPUTS!r})")
            ops = [
                MeasuredOp(op.kind, took, op.kind in DATA_DEPENDENT)
                for op, took in zip(model.compiled.ops, observed, strict=True)
            ]
            table = WcetTable(
                name,
                "",
                "",
                len(_INPUTS),
                margin_percent,
                max(margin_percent, _DATA_MARGIN_PERCENT),
                tuple(ops),
            )
            compiled = declare(model.compiled, table)
            content[at : at + len(image)] = compiled.image
            models[name] = replace(model, compiled=compiled)
        return replace(self, models=models, content=bytes(content))

    def model(self, task: TaskTiming) -> Model:
        """What a task runs."""
        return self.models[model_of(task.name)]

    def budgets(self, board: Board) -> dict[str, tuple[int, int, int]]:
        """(budget, longest op, input) of each model on `board`, us."""
        return {
            name: (
                model.compiled.budget_us,
                model.compiled.longest_op_us,
                task_input_us(board, model.compiled.input.elements, False),
            )
            for name, model in self.models.items()
        }

    def tasks(self, timings: Sequence[TaskTiming]) -> list[tuple[Any, ...]]:
        """What the program on the board takes for TASKS: a set of these models, arenas side by side."""
        tasks, arena = [], 0
        for task in timings:
            model = self.model(task)
            compiled, record = model.compiled, model.spec.record
            source = {
                "name": model_of(task.name),
                "window": record.window,
                "lsb_f32": f32_bits(record.lsb),
            }
            tensor = {
                "dtype": "int8",
                "scale_f32": f32_bits(compiled.input.scale),
                "zero_point": compiled.input.zero_point,
            }
            tasks.append(
                (
                    self.places[model_of(task.name)],
                    len(compiled.image),
                    arena,
                    task.period_us,
                    task.deadline_us,
                    task.budget_us,
                    _SKIP_NEXT,
                    {"source": source, "input": tensor},
                )
            )
            arena += -(-compiled.arena_bytes // _ALIGN) * _ALIGN
        return tasks
