"""System packages (Debian names) that building and emulating need, installed when root."""

import contextlib
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from host.errors import MissingError
from host.progress import Progress, silent

PACKAGE_OF = {
    "make": "make",
    "gcc": "gcc",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-newlib": "libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "python-headers": "python3-dev",
    "clang": "clang",
    "libfuzzer": "libclang-rt-dev",
}
"""Program or part of the system -> Debian package."""

CPYTHON_EXTENSION = ("gcc", "python-headers")
UNIX_FIRMWARE = ("make", "gcc")
ARM_FIRMWARE = ("make", "gcc", "arm-none-eabi-gcc", "arm-none-eabi-newlib")
EMULATOR = ("qemu-system-arm",)
FUZZER = ("clang", "libfuzzer")


def require(*programs: str, progress: Progress = silent) -> None:
    """Make sure that each program (a key of PACKAGE_OF) is there.

    Missing ones are installed with apt-get when root. Raises MissingError with the exact command otherwise.
    """
    missing = [program for program in programs if not _present(program)]
    if not missing:
        return
    packages = sorted({PACKAGE_OF[program] for program in missing})
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    remedy = f"run: sudo {' '.join(command)}"
    cause = f"not installed: {', '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(cause, remedy)
    progress(f"installing {', '.join(packages)}", None)
    for step in (["apt-get", "update"], command):
        done = _apt(step)
        if done.returncode != 0:
            raise MissingError(f"{cause}, and {step[1]} failed: {_last_line(done)}", remedy)
    still = [program for program in missing if not _present(program)]
    if still:
        raise MissingError(
            f"{cause}, though apt-get says so", f"see why: apt-cache policy {PACKAGE_OF[still[0]]}"
        )


def require_for_tests(progress: Progress = silent) -> None:
    """Make sure of everything that any test builds or runs."""
    require(*CPYTHON_EXTENSION, *UNIX_FIRMWARE, *ARM_FIRMWARE, *EMULATOR, progress=progress)
    with contextlib.suppress(
        MissingError
    ):  # without it the tests of fuzzing only replay, and say so
        require(*FUZZER, progress=progress)


def _present(program: str) -> bool:
    if program == "python-headers":
        return (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()
    if program == "arm-none-eabi-newlib":
        return _arm_c_library_headers()
    if program == "libfuzzer":
        return _links_fuzzers()
    return shutil.which(program) is not None


def _arm_c_library_headers() -> bool:
    if shutil.which("arm-none-eabi-gcc") is None:
        return False
    probe = ["arm-none-eabi-gcc", "-E", "-include", "string.h", "-x", "c", os.devnull]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return ((done.stderr or done.stdout).strip().splitlines() or ["no output"])[-1]


def _links_fuzzers() -> bool:
    if shutil.which("clang") is None:
        return False
    probe = ["clang", "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", os.devnull]
    source = b"int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n; }"
    return subprocess.run(probe, input=source, capture_output=True, check=False).returncode == 0
