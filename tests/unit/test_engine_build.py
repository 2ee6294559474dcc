"""The engine compiles for a Cortex-M4F without warnings and without fused multiply-adds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from engine_library import FLAGS, SOURCES

M4 = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2"]


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_the_m4_engine_has_no_fused_multiply_add_and_no_library_calls(tmp_path: Path) -> None:
    # gnu11 as MicroPython's builds use: there, only -ffp-contract=off keeps gcc from fusing.
    flags = [flag for flag in FLAGS if flag != "-std=c11"]
    subprocess.run(
        ["arm-none-eabi-gcc", "-std=gnu11", *flags, *M4, "-c", *map(str, SOURCES)],
        check=True,
        cwd=tmp_path,
    )
    objects = [f"{source.stem}.o" for source in SOURCES]
    code = subprocess.run(
        ["arm-none-eabi-objdump", "-d", *objects],
        check=True, cwd=tmp_path, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "vmul.f32" in code
    for fused in ("vfma", "vfms", "vfnm", "vmla.f32", "vmls.f32"):
        assert fused not in code, f"{fused} in the engine: float results would change"
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-u", *objects],
        check=True, cwd=tmp_path, capture_output=True, text=True,
    ).stdout  # fmt: skip
    undefined = {line.split()[-1] for line in symbols.splitlines() if " U " in line}
    own = {name for name in undefined if name.startswith("tac_")}
    assert undefined - own <= {"memcpy", "memmove", "memset"}
