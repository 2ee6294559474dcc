"""The verbs of the command line, one module each: `run(options, console) -> result or None`.

Here, at the edge, errors become one line of cause, one line of remedy and an exit code.
"""

import importlib
import json
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from host.errors import ExitCode, TactusError, UsageError


@dataclass(frozen=True, slots=True)
class Console:
    """How a verb talks: `as_json` keeps stdout for one JSON object, its last line."""

    as_json: bool
    verbose: bool

    def say(self, text: str) -> None:
        """Print a line of the report, to stderr when stdout is for JSON."""
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def show(self, renderable: Any) -> None:
        """Print a rich table or panel."""
        from rich.console import Console as RichConsole

        RichConsole(stderr=self.as_json, highlight=False).print(renderable)


def whole_number(option: str, text: str, low: int, high: int) -> int:
    """The value of a numeric option. Raises UsageError."""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise UsageError(f"{option} is {text!r}", f"choose a whole number from {low} to {high}")
    return int(text)


def run_verb(name: str, verbose: bool, as_json: bool, **options: Any) -> None:
    """Run a verb; leave the process with a documented exit code when it fails."""
    console = Console(as_json, verbose)
    try:
        result = importlib.import_module(f"host.verbs.{name}").run(console, **options)
    except TactusError as error:
        if verbose:
            traceback.print_exc()
        if as_json and error.result is not None:
            print(json.dumps(error.result), flush=True)
        print(f"tactus: {error.cause}", file=sys.stderr)
        print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        print("tactus: interrupted", file=sys.stderr)
        sys.exit(int(ExitCode.INTERRUPTED))
    except BrokenPipeError:
        sys.exit(int(ExitCode.FAILURE))
    except Exception as error:  # noqa: BLE001 - the edge: nothing else catches it
        if verbose:
            traceback.print_exc()
        print(f"tactus: internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print("  run it again with --verbose and report the traceback", file=sys.stderr)
        sys.exit(int(ExitCode.FAILURE))
    if as_json and result is not None:
        print(json.dumps(result), flush=True)
