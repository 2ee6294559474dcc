"""Errors a person meets: one line of cause, one line of remedy, one documented exit code."""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb (README, "Exit codes")."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    MISSING = 3
    VERIFICATION = 4
    DOES_NOT_FIT = 5
    INTERRUPTED = 130


class TactusError(Exception):
    """Base of all errors that end at the command line.

    `cause` says what happened and where, `remedy` what to do about it; each is one line. `result` is
    what was found before it failed: the object that `--json` prints all the same.
    """

    exit_code = ExitCode.FAILURE

    def __init__(self, cause: str, remedy: str, result: Mapping[str, object] | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.result = result


class UsageError(TactusError):
    """An argument, app.toml or model.py is wrong."""

    exit_code = ExitCode.USAGE


class MissingError(TactusError):
    """Something this machine lacks: a system package, a port, a running board."""

    exit_code = ExitCode.MISSING


class VerificationError(TactusError):
    """A signature, digest, parity or self-test check failed."""

    exit_code = ExitCode.VERIFICATION


class DoesNotFitError(TactusError):
    """Too large for RAM or flash, or not schedulable."""

    exit_code = ExitCode.DOES_NOT_FIT
