"""Mistakes a new user makes: one line of cause, one line of remedy, the documented exit code, no traceback."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "host" / "apps" / "demo"


def tactus(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tasks.py", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


def expect(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    replay = f"replay: {' '.join(done.args)}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, replay
    assert "Traceback" not in done.stderr, replay
    said = [line for line in done.stderr.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(said) if line.startswith("tactus: ")), None)
    assert start is not None and len(said[start:]) == 2, replay
    for part in parts:
        assert part in done.stderr, replay


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A copy of the demo application to break."""
    for name in ("app.toml", "model.py"):
        (tmp_path / name).write_text((DEMO / name).read_text())
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_an_unknown_verb_is_a_usage_error() -> None:
    done = tactus("flahs")
    assert done.returncode == 2
    assert "flahs" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    assert tactus("status", "--bord", "host").returncode == 2


def test_a_number_that_is_none_is_a_usage_error() -> None:
    expect(tactus("demo", "--speed", "abc"), 2, "--speed", "abc", "1 to 1000")
    expect(tactus("monitor", "--seconds", "x"), 2, "--seconds")


def test_a_file_that_is_no_package_is_named(tmp_path: Path) -> None:
    expect(tactus("flash", "--package", str(tmp_path / "no.tpk")), 2, "no.tpk")


def test_an_unknown_board_is_named_with_the_known_ones() -> None:
    expect(tactus("status", "--board", "qemu-m5"), 2, "qemu-m5", "qemu-m4")


def test_an_unknown_application_is_named_with_the_known_ones() -> None:
    expect(tactus("build", "--app", "dmeo"), 2, "dmeo", "demo")


def test_a_port_that_does_not_exist_is_named() -> None:
    expect(tactus("status", "--port", "/dev/ttyNONE7"), 3, "/dev/ttyNONE7")


def test_a_port_without_a_tactus_board_is_named() -> None:
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    try:
        expect(tactus("status", "--port", name), 3, name, "not a Tactus board")
    finally:
        os.close(master)
        os.close(slave)


def test_a_board_that_does_not_run_says_how_to_start_it(tmp_path: Path) -> None:
    done = tactus("status", "--board", "unix", TACTUS_DEVICES_DIR=str(tmp_path))
    expect(done, 3, "unix", "flash --board unix")


def test_a_typo_in_app_toml_is_named_with_what_is_allowed(app: Path) -> None:
    replace(app / "app.toml", "period_ms", "perid_ms")
    expect(tactus("build", "--app", str(app)), 2, "perid_ms", "period_ms", "app.toml")


def test_a_wrong_value_in_app_toml_is_named_with_its_range(app: Path) -> None:
    replace(app / "app.toml", 'policy = "skip_next"', 'policy = "skip"')
    expect(tactus("build", "--app", str(app)), 2, "policy", "skip_next")


def test_a_model_function_that_is_not_there_is_named(app: Path) -> None:
    replace(app / "app.toml", 'model = "digits"', 'model = "digit"')
    expect(tactus("build", "--app", str(app)), 2, "digit", "did you mean")


def test_a_deadline_that_cannot_be_met_says_what_would(app: Path) -> None:
    replace(app / "app.toml", "deadline_ms = 40", "deadline_ms = 5")
    done = tactus("build", "--app", str(app), "--board", "qemu-m4")
    expect(done, 5, "digits", "ms")


def test_an_operator_nobody_supports_is_named_with_its_line(app: Path) -> None:
    text = (app / "model.py").read_text()
    assert "def digits" in text
    (app / "model.py").write_text(text + UNSUPPORTED)
    replace(app / "app.toml", 'model = "digits"', 'model = "cumulative"')
    done = tactus("build", "--app", str(app))
    expect(done, 1, "cumsum", "model.py")


UNSUPPORTED = '''

def cumulative():
    """The digits model behind an operator without a kernel."""
    import dataclasses

    import torch

    class Cumulative(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(torch.cumsum(x, dim=3))

    spec = digits()
    return dataclasses.replace(spec, module=Cumulative(spec.module).eval())
'''
