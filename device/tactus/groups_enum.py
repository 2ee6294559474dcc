"""SMP group 10, enumeration: which groups this board serves."""

from protocol import smp
from tactus.request import GroupError, StatusError, uint

_served = []  # (group, name, commands), ascending


def tell(groups):
    """Learn the groups, a map of numbers to modules."""
    for group in sorted(groups):
        module = groups[group]
        _served.append((group, module.NAME, len(set(module.READ) | set(module.WRITE))))


def count(board, request):
    """Tell how many groups there are."""
    return {"count": len(_served)}


def list_all(board, request):
    """List the groups' numbers."""
    return {"groups": [group for group, _, _ in _served]}


def single(board, request):
    """Tell the number of one group, by default the first."""
    index = uint(request, "index", default=0)
    if index >= len(_served):
        raise GroupError(smp.GROUP_ENUM, smp.ENUM_INDEX_TOO_LARGE)
    reply = {"group": _served[index][0]}
    if index == len(_served) - 1:
        reply["end"] = True
    return reply


def details(board, request):
    """Tell names and numbers of commands of the groups asked for, by default of all."""
    wanted = request.get("groups")
    if wanted is not None and not isinstance(wanted, list):
        raise StatusError(smp.RC_INVALID)
    listed = []
    for group, name, commands in _served:
        if wanted is None or group in wanted:
            listed.append({"group": group, "name": name, "handlers": commands})
    return {"groups": listed}


NAME = "enum mgmt"
READ = {
    smp.ENUM_COUNT: count,
    smp.ENUM_LIST: list_all,
    smp.ENUM_SINGLE: single,
    smp.ENUM_DETAILS: details,
}
WRITE = {}
