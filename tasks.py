"""The verbs of Tactus. `python3 tasks.py VERB` works before anything is installed; `invoke VERB` is the same.

This file only sets up the environment and orchestrates; the logic lives in host/.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LIGHT = ("invoke", "rich", "serial", "cbor2", "cryptography", "numpy")


def _bootstrap() -> None:
    """Make .venv, install the project into it and run this file again there."""
    python = VENV / "bin" / "python"
    if Path(sys.prefix).resolve() == VENV:
        sys.exit("tactus: .venv is incomplete: remove the .venv folder and run this again")
    done = VENV / ".tactus-ready"
    if not done.exists():
        print("tactus: setting up .venv (once)", file=sys.stderr)
        if importlib.util.find_spec("ensurepip") is None:
            command = ["apt-get", "install", "-y", "python3-venv"]
            if os.geteuid() != 0 or subprocess.call(command, stdout=sys.stderr) != 0:
                print("tactus: this Python cannot make a virtual environment", file=sys.stderr)
                print("  run: sudo apt-get install -y python3-venv", file=sys.stderr)
                sys.exit(3)
        commands = (
            [sys.executable, "-m", "venv", str(VENV)],
            [str(python), "-m", "pip", "install", "--quiet", "--editable", str(ROOT)],
        )
        for command in commands:
            if subprocess.call(command, stdout=sys.stderr) != 0:
                print(f"tactus: set-up stopped at: {' '.join(command)}", file=sys.stderr)
                print("  check the network and the disk, then run this again", file=sys.stderr)
                sys.exit(3)
        done.touch()
    os.execv(python, [str(python), str(ROOT / "tasks.py"), *sys.argv[1:]])


if any(importlib.util.find_spec(name) is None for name in LIGHT):
    _bootstrap()

sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "device")) if path not in sys.path]

from invoke import Collection, Context, Program, task
from invoke.exceptions import Exit, ParseError

from host.verbs import run_verb

BOARD = "board to work on (see `boards`)"
APP = "folder of an application, or the name of one in host/apps"
PORT = "serial port or URL instead of the board's own"
JSON = "print one JSON object as the last line"
VERBOSE = "show tracebacks and every step"


@task(
    help={
        "app": APP,
        "board": BOARD,
        "json": JSON,
        "explain": "list every op of the result",
        "verbose": VERBOSE,
    }
)
def build(c: Context, app="demo", board="host", json=False, explain=False, verbose=False):
    """Compile an application into a signed package for a board."""
    run_verb("build", verbose, json, app=app, board=board, explain=explain)


@task(
    help={
        "board": BOARD,
        "app": APP + "; empty = firmware only",
        "port": PORT,
        "json": JSON,
        "erase": "start from empty flash",
        "verbose": VERBOSE,
    }
)
def flash(c: Context, board="host", app="", port="", erase=False, json=False, verbose=False):
    """Build a board's firmware, put it on the board, install an application."""
    run_verb("flash", verbose, json, board=board, app=app, port=port, erase=erase)


@task(
    help={
        "board": BOARD,
        "port": PORT,
        "json": "one JSON object a line, per update",
        "seconds": "stop after this long (0 = until Ctrl-C)",
        "verbose": VERBOSE,
    }
)
def monitor(c: Context, board="host", port="", seconds=0.0, json=False, verbose=False):
    """Watch tasks, deadline misses and jitter live."""
    run_verb("monitor", verbose, json, board=board, port=port, seconds=float(seconds))


@task(help={"board": BOARD, "port": PORT, "json": JSON, "verbose": VERBOSE})
def status(c: Context, board="host", port="", json=False, verbose=False):
    """What a board runs, its slots and why, its memory."""
    run_verb("status", verbose, json, board=board, port=port)


@task(help={"json": JSON, "stop": "stop this emulated board, or `all`", "verbose": VERBOSE})
def boards(c: Context, stop="", json=False, verbose=False):
    """List known boards, running emulators and serial ports."""
    run_verb("boards", verbose, json, stop=stop)


@task(
    help={
        "board": BOARD,
        "app": APP,
        "speed": "how much faster than life the recorded data replays",
        "report": "where the HTML report goes",
        "json": JSON,
        "verbose": VERBOSE,
    }
)
def demo(c: Context, board="host", app="demo", speed=20, report="", json=False, verbose=False):
    """Build, flash, run the demo application on its held-out data, and report."""
    run_verb("demo", verbose, json, board=board, app=app, speed=int(speed), report=report)


@task(help={"only": "pytest expression of what to run", "json": JSON, "verbose": VERBOSE})
def test(c: Context, only="", json=False, verbose=False):
    """Set up what the tests need and run them all: style, types, tests."""
    run_verb("test", verbose, json, only=only)


@task(
    positional=["what"],
    help={
        "what": "engine | link | planner",
        "board": BOARD,
        "csv": "planner: a file of id,lower,upper,size rows instead of its own instances",
        "capacity": "planner: bytes that the plan of the file must not exceed",
        "json": JSON,
        "verbose": VERBOSE,
    },
)
def bench(c: Context, what, board="host", csv="", capacity=0, json=False, verbose=False):
    """Measure: `engine` per model and op, `link` request rate and upload speed, `planner` plans."""
    run_verb("bench", verbose, json, what=what, board=board, csv=csv, capacity=int(capacity))


class _Program(Program):
    """Invoke's own command line, with the documented exit code for a wrong one."""

    def parse_core(self, argv: list[str] | None) -> None:
        try:
            super().parse_core(argv)
        except ParseError as error:
            raise Exit(str(error), code=2) from error

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except ParseError as error:
            raise Exit(f"tactus: {error}\n  see: python3 tasks.py --list", code=2) from error


if __name__ == "__main__":
    namespace = Collection.from_module(sys.modules[__name__])
    _Program(namespace=namespace, name="tactus", binary="tasks.py").run(["tasks.py", *sys.argv[1:]])
