"""Work in pieces: a generator each of whose `yield`s ends one piece of background work.

A request handler whose work is long returns one; its return value is the reply. What it raises is answered
as if the handler had raised it.
"""

from protocol.pieces import finish  # noqa: F401 whoever works in pieces finds both here


def _nothing():
    yield


_Pieces = type(_nothing())


def are_pieces(reply):
    """Whether a handler's reply is still to be worked out."""
    return isinstance(reply, _Pieces)
