"""SMP group 0, OS: echo, task list, date and time, reset, buffer sizes, description."""

from protocol import smp
from tactus import VERSION, utc
from tactus.request import StatusError, text

_READY = 1
_LETTERS_MAX = 16


def echo(board, request):
    """Send a text back."""
    return {"r": text(request, "d")}


def taskstat(board, request):
    """List the tasks by name; EDF has no priorities, so all have 0."""
    tasks = board.tasks()
    listed = {}
    for index in range(len(tasks)):
        listed[tasks[index]["name"]] = {"prio": 0, "tid": index, "state": _READY}
    return {"tasks": listed}


def reset(board, request):
    """Reset after this reply has left."""
    board.reset_requested = True
    return {}


def datetime(board, request):
    """Tell UTC; before anybody has set it there is none to tell."""
    now_s = board.utc.now_s()
    if now_s is None:
        raise StatusError(smp.RC_NO_ENTRY)
    return {"datetime": utc.text_of(now_s)}


def set_datetime(board, request):
    """Learn the time; expiry is checked only where it is known."""
    wanted = text(request, "datetime")
    yield
    seconds = utc.parse(wanted)
    if seconds is None:
        raise StatusError(smp.RC_INVALID)
    board.utc.set(seconds)
    return {}


def params(board, request):
    """Tell the largest message, header included, and how many are buffered."""
    return {"buf_size": board.facts["link_bytes"], "buf_count": 1}


def info(board, request):
    """Describe the system in the order of the format's letters (`s` when none is given)."""
    words = {
        "s": "Tactus",
        "n": board.facts["name"],
        "r": VERSION,
        "v": VERSION,
        "m": board.facts["class"],
        "p": board.facts["class"],
        "i": board.facts["name"],
        "o": "Tactus",
    }
    letters = text(request, "format", "s")
    if len(letters) > _LETTERS_MAX:
        raise StatusError(smp.RC_INVALID)
    chosen = []
    for letter in "snrvmpio" if "a" in letters else letters:
        if letter not in words:
            raise StatusError(smp.RC_INVALID)
        chosen.append(words[letter])
    return {"output": " ".join(chosen)}


NAME = "os mgmt"
READ = {
    smp.OS_ECHO: echo,
    smp.OS_TASKSTAT: taskstat,
    smp.OS_DATETIME: datetime,
    smp.OS_PARAMS: params,
    smp.OS_INFO: info,
}
WRITE = {smp.OS_ECHO: echo, smp.OS_DATETIME: set_datetime, smp.OS_RESET: reset}
