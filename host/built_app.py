"""A finished build in its folder, build/apps/<app>/<board>/."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from host.boards import Board
from host.schedule.admit import TaskTiming


@dataclass(frozen=True, slots=True)
class BuiltApp:
    """A finished build: files by name, and the report that says everything about them."""

    folder: Path
    board: Board
    report: dict[str, Any]

    @property
    def package(self) -> bytes:
        """The signed package."""
        return (self.folder / "app.tpk").read_bytes()

    @property
    def replay(self) -> bytes:
        """The recorded sensor data of its replay sources."""
        return (self.folder / "replay.bin").read_bytes()

    def timings(self) -> list[TaskTiming]:
        """Timing of each task, for the admission test."""
        return [
            TaskTiming(
                row["name"],
                row["budget_us"],
                row["period_us"],
                row["deadline_us"],
                row["longest_op_us"],
                row["input_us"],
            )
            for row in self.report["tasks"]
        ]

    def expected(self, task: str) -> npt.NDArray[np.int8]:
        """Right outputs of all evaluation windows, as bytes: int8 [windows, output bytes]."""
        with np.load(self.folder / "expected.npz") as arrays:
            outputs: npt.NDArray[np.int8] = arrays[f"{task}.output"]
        return outputs

    def expected_early(self, task: str) -> npt.NDArray[np.int8]:
        """As expected(), of the early exit of a task that has one."""
        with np.load(self.folder / "expected.npz") as arrays:
            outputs: npt.NDArray[np.int8] = arrays[f"{task}.early"]
        return outputs

    def values(self, task: str, outputs: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
        """Outputs of a task as the numbers that their bytes are, [windows, values]."""
        row = next(row for row in self.report["tasks"] if row["name"] == task)
        return outputs.view(row["output_type"])

    def truth(self, task: str) -> npt.NDArray[np.int64]:
        """Right labels of all evaluation windows, int64 [windows]."""
        with np.load(self.folder / "expected.npz") as arrays:
            labels: npt.NDArray[np.int64] = arrays[f"{task}.truth"]
        return labels
