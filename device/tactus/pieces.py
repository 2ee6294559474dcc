"""Work in pieces: a generator each of whose `yield`s ends one piece of background work.

A request handler whose work is long returns one; its return value is the reply. What it raises is answered
as if the handler had raised it.
"""


def _nothing():
    yield


_Pieces = type(_nothing())


def are_pieces(reply):
    """Whether a handler's reply is still to be worked out."""
    return isinstance(reply, _Pieces)


def finish(work):
    """Do all pieces one after the other; what the work returns. Only where nothing has a deadline."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        return end.value
