"""The verbs of Tactus. `python3 tasks.py VERB` works before anything is installed; `invoke VERB` is the same.

This file only sets up the environment and orchestrates; the logic lives in host/.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / ".tactus-ready"
AGAIN = "TACTUS_SET_UP_AGAIN"  # passed on by a set-up, so that it cannot go round for ever
LIGHT = ("invoke", "rich", "serial", "cbor2", "cryptography", "numpy")


def _project_digest() -> str:
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def _in_venv() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def _venv_is_set_up() -> bool:
    return READY.is_file() and PYTHON.exists() and READY.read_text() == _project_digest()


def _is_ready() -> bool:
    """Whether this interpreter has what every verb needs; .venv also follows pyproject.toml."""
    if any(importlib.util.find_spec(name) is None for name in LIGHT):
        return False
    return not _in_venv() or _venv_is_set_up()


def _stop(cause: str, remedy: str) -> NoReturn:
    print(f"tactus: {cause}\n  {remedy}", file=sys.stderr)
    sys.exit(3)


def _set_up(*command: str) -> None:
    if subprocess.call(command, stdout=sys.stderr) != 0:
        _stop(f"set-up stopped at: {' '.join(command)}", "check network and disk, run this again")


def _bootstrap(again: bool) -> NoReturn:
    """Make .venv, install the project into it and run this file again there."""
    if sys.version_info < (3, 11):  # noqa: UP036 - tells users of an older one so
        _stop(f"this is Python {sys.version.split()[0]}", "run it with Python 3.11 or newer")
    if again:
        _stop(".venv is incomplete", "remove the folder .venv and run this again")
    environment = dict(os.environ)
    if _in_venv() or not _venv_is_set_up():
        print("tactus: setting up .venv (once)", file=sys.stderr)
        if not _in_venv():
            if importlib.util.find_spec("ensurepip") is None:
                command = ("apt-get", "install", "-y", "-qq", "python3-venv")
                if os.geteuid() != 0:
                    _stop("python3-venv is not installed", f"run: sudo {' '.join(command)}")
                _set_up("apt-get", "update", "-qq")
                _set_up(*command)
            _set_up(sys.executable, "-m", "venv", str(VENV))
        _set_up(str(PYTHON), "-m", "pip", "install", "--quiet", "--editable", str(ROOT))
        READY.write_text(_project_digest())
        environment[AGAIN] = "1"
    os.execve(PYTHON, [str(PYTHON), str(ROOT / "tasks.py"), *sys.argv[1:]], environment)


_again = os.environ.pop(AGAIN, None) is not None
if not _is_ready():
    _bootstrap(_again)

sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "device")) if path not in sys.path]

from invoke import Collection, Context, Program, task
from invoke.exceptions import Exit, ParseError

from host.verbs import run_verb

BOARD = "board to work on (see `boards`)"
ANY_BOARD = "board to ask; not needed when there is only one"
APP = "folder of an application, or the name of one in host/apps"
PORT = "serial port or URL instead of the board's own"
JSON = "print one JSON object as the last line"
VERBOSE = "show tracebacks and every step"
KEYS = "folder of `keys create` instead of the demo keys"
PASSPHRASE_FD = "read the passphrase from this file descriptor instead of the terminal"


@task(
    help={
        "app": APP,
        "board": BOARD,
        "json": JSON,
        "explain": "list every op of the result",
        "keys": KEYS,
        "passphrase-fd": PASSPHRASE_FD,
        "verbose": VERBOSE,
    }
)
def build(
    c: Context,
    app="demo",
    board="host",
    json=False,
    explain=False,
    keys="",
    passphrase_fd="",
    verbose=False,
):
    """Compile an application into a signed package for a board."""
    options = {"keys": keys, "passphrase_fd": passphrase_fd}
    run_verb("build", verbose, json, app=app, board=board, explain=explain, **options)


@task(
    positional=["action"],
    help={
        "action": "create | rotate (a new signing key) | show",
        "folder": "where the keys are; without it `show` shows the demo keys",
        "roots": "create: how many root keys",
        "threshold": "create: how many of them must sign a key set",
        "days": "how long the key set is good, 0 = without an end",
        "revoke": "rotate: name the old signing key as revoked",
        "passphrase-fd": PASSPHRASE_FD,
        "json": JSON,
        "verbose": VERBOSE,
    },
)
def keys(
    c: Context,
    action,
    folder="",
    roots="3",
    threshold="2",
    days="365",
    revoke=False,
    passphrase_fd="",
    json=False,
    verbose=False,
):
    """Make, rotate and show the keys that sign packages."""
    run_verb(
        "keys",
        verbose,
        json,
        action=action,
        folder=folder,
        roots=roots,
        threshold=threshold,
        days=days,
        revoke=revoke,
        passphrase_fd=passphrase_fd,
    )


@task(
    help={
        "board": BOARD,
        "app": APP + "; empty = firmware only",
        "package": "install this .tpk on the board that runs, and nothing else",
        "port": PORT,
        "json": JSON,
        "erase": "start from empty flash",
        "keys": KEYS,
        "passphrase-fd": PASSPHRASE_FD,
        "verbose": VERBOSE,
    }
)
def flash(
    c: Context,
    board="host",
    app="",
    package="",
    port="",
    erase=False,
    json=False,
    keys="",
    passphrase_fd="",
    verbose=False,
):
    """Build a board's firmware, put it on the board, install an application."""
    options = {"package": package, "port": port, "erase": erase}
    options |= {"keys": keys, "passphrase_fd": passphrase_fd}
    run_verb("flash", verbose, json, board=board, app=app, **options)


@task(
    positional=["package"],
    help={
        "package": "a .tpk file that `build` wrote (for an application's folder: `flash --app`)",
        "board": ANY_BOARD,
        "port": PORT,
        "base": "file of the package that the board runs (none = of those sent from here)",
        "json": JSON,
        "verbose": VERBOSE,
    },
)
def update(c: Context, package, board="", port="", base="", json=False, verbose=False):
    """Send a package to a board that runs, try it, keep it; resumes where an earlier try stopped."""
    run_verb("update", verbose, json, package=package, board=board, port=port, base=base)


@task(
    help={
        "board": ANY_BOARD,
        "port": PORT,
        "json": "one JSON object a line, per update",
        "seconds": "stop after this long (0 = until Ctrl-C)",
        "once": "stop after one update",
        "log": "append each update to this file, a JSON object a line, for `report`",
        "trace": "write Chrome trace events to this file, for ui.perfetto.dev",
        "web": "serve the same as a live page to browsers of this machine",
        "web-port": "port of that page (8064; 0 = any free one)",
        "verbose": VERBOSE,
    }
)
def monitor(
    c: Context,
    board="",
    port="",
    seconds="0",
    once=False,
    log="",
    trace="",
    web=False,
    web_port="",
    json=False,
    verbose=False,
):
    """Watch tasks, deadline misses and jitter live; a lost board is looked for."""
    run_verb(
        "monitor",
        verbose,
        json,
        board=board,
        port=port,
        seconds=seconds,
        once=once,
        log=log,
        trace=trace,
        web=web,
        web_port=web_port,
    )


@task(
    help={
        "log": "file that `monitor --log` wrote; `report FILE` is the same; none = ask a board",
        "board": ANY_BOARD,
        "port": PORT,
        "output": "where the HTML report goes",
        "json": JSON,
        "verbose": VERBOSE,
    }
)
def report(c: Context, log="", board="", port="", output="", json=False, verbose=False):
    """Make a single-file HTML report from a monitor's log, or from a board as it is."""
    run_verb("report", verbose, json, log=log, board=board, port=port, output=output)


@task(
    help={
        "minutes": "how long, of the board's time",
        "load": "share of the largest load that admission accepts, 0.01 to 1",
        "app": APP,
        "board": BOARD,
        "port": PORT,
        "json": JSON,
        "verbose": VERBOSE,
    }
)
def soak(
    c: Context,
    minutes="10",
    load="0.9",
    app="demo",
    board="host",
    port="",
    json=False,
    verbose=False,
):
    """Run a board at sustained load and compare its first minute with its last."""
    run_verb("soak", verbose, json, minutes=minutes, load=load, app=app, board=board, port=port)


@task(help={"board": ANY_BOARD, "port": PORT, "json": JSON, "verbose": VERBOSE})
def status(c: Context, board="", port="", json=False, verbose=False):
    """What a board runs, its slots and why, its memory."""
    run_verb("status", verbose, json, board=board, port=port)


@task(
    help={
        "board": ANY_BOARD,
        "port": PORT,
        "output": "append to this file, each record once, instead of printing",
        "ack": "tell the board what is in the file now: it need not keep that",
        "everything": "also what was acknowledged before, as far as it is kept",
        "saved": "read a /telemetry file that an SMP client has downloaded",
        "json": JSON,
        "verbose": VERBOSE,
    }
)
def telemetry(
    c: Context,
    board="",
    port="",
    output="",
    ack=False,
    everything=False,
    saved="",
    json=False,
    verbose=False,
):
    """Collect what a board wrote down while nobody was there, as JSON lines."""
    options = {"output": output, "ack": ack, "everything": everything, "saved": saved}
    run_verb("telemetry", verbose, json, board=board, port=port, **options)


@task(help={"board": ANY_BOARD, "port": PORT, "json": JSON, "verbose": VERBOSE})
def rollback(c: Context, board="", port="", json=False, verbose=False):
    """Go back to the package that was confirmed before."""
    run_verb("rollback", verbose, json, board=board, port=port)


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
def demo(c: Context, board="host", app="demo", speed="20", report="", json=False, verbose=False):
    """Build, flash, run the demo application on its held-out data, and report."""
    run_verb("demo", verbose, json, board=board, app=app, speed=speed, report=report)


@task(help={"only": "pytest expression of what to run", "json": JSON, "verbose": VERBOSE})
def test(c: Context, only="", json=False, verbose=False):
    """Set up what the tests need and run them all: style, types, tests."""
    run_verb("test", verbose, json, only=only)


@task(
    help={
        "minutes": "how long, over all targets",
        "target": "console | plan | journal | telemetry | patch | crypto | cbor | smp | manifest; none = all",
        "json": JSON,
        "verbose": VERBOSE,
    }
)
def fuzz(c: Context, minutes="4", target="", json=False, verbose=False):
    """Throw hostile bytes at everything that reads from a wire or from flash."""
    run_verb("fuzz", verbose, json, minutes=minutes, target=target)


@task(
    positional=["what"],
    help={
        "what": "engine (four models) | parity (ExecuTorch's cases) | planner | link | wcet | realtime | update",
        "board": BOARD,
        "json": JSON,
        "explain": "engine: list every op of each model",
        "csv": "planner: a file of id,lower,upper,size rows instead of its own instances",
        "capacity": "planner: bytes that the plan of the file must not exceed",
        "app": "wcet: " + APP,
        "seconds": "realtime: how long each task set runs, in the board's time",
        "kills": "update: how often the emulator is killed",
        "keep": "wcet: write the table beside app.toml too",
        "verbose": VERBOSE,
    },
)
def bench(
    c: Context,
    what,
    board="",
    json=False,
    explain=False,
    csv="",
    capacity="0",
    app="demo",
    seconds="3600",
    keep=False,
    kills="200",
    verbose=False,
):
    """Measure: `bench engine`, `parity`, `planner`, `link`, `wcet`, `realtime`, `update`."""
    run_verb(
        "bench",
        verbose,
        json,
        what=what,
        board=board,
        explain=explain,
        csv=csv,
        capacity=capacity,
        app=app,
        seconds=seconds,
        keep=keep,
        kills=kills,
    )


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
            verb = f"{error.context.name} --help" if error.context else "--list"
            raise Exit(f"tactus: {error}\n  see: python3 tasks.py {verb}", code=2) from error


def _rearranged(arguments: list[str]) -> list[str]:
    """Two habits in the form that invoke takes: `VERB --help` of any verb, and `report FILE`."""
    if len(arguments) > 1 and not arguments[0].startswith("-"):
        if arguments[1] in ("--help", "-h"):
            return ["--help", arguments[0]]
        if arguments[0] == "report" and not arguments[1].startswith("-"):
            return ["report", "--log", *arguments[1:]]
    return arguments


if __name__ == "__main__":
    namespace = Collection.from_module(sys.modules[__name__])
    _Program(namespace=namespace, name="tactus", binary="tasks.py", version="0.1.0").run(
        ["tasks.py", *_rearranged(sys.argv[1:])]
    )
