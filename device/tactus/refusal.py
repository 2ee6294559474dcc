"""Why a package may not run."""

from protocol import errors


class Refused(Exception):
    """Carries the positive code of protocol/errors.py and, for the log, what exactly was wrong."""

    def __init__(self, code, detail=""):
        super().__init__(detail or errors.sentence(code))
        self.code = code

    def line(self):
        """The log line: code, its sentence, the detail."""
        return "%d %s: %s (%s)" % (
            self.code,
            errors.name(self.code),
            errors.sentence(self.code),
            self.args[0],
        )


class RecordingRefused(Refused):
    """The package may be good: the recording that it is to play is missing or does not fit it."""


def require(ok, code, detail):
    """Raise Refused unless `ok`."""
    if not ok:
        raise Refused(code, detail)
