"""Requests answered in pieces: order, reply, errors, and one at a time. Prints the same on both interpreters."""

import _tactus
from tactus import groups_tactus, link, state
from tactus.request import DeviceError, StatusError
from vector_file import show

from protocol import cbor, errors, smp
from protocol.pieces import finish

COMMAND = 99
said = []


def work(count, error):
    """A handler's work of `count` pieces."""
    for piece in range(count):
        said.append(piece)
        yield
    if error:
        raise error
    return {"pieces": count}


def ask(board, handler):
    """The pieces of one request, counted, and its reply."""
    groups_tactus.READ[COMMAND] = handler
    message = smp.pack_header(smp.READ, smp.GROUP_TACTUS, COMMAND, 7, 0, smp.V2, smp.OWN_CODES)
    transmit = _tactus.link_tx()
    answering = link.respond(board, memoryview(message), transmit)
    count = 1
    try:
        while True:
            next(answering)
            count += 1
    except StopIteration as end:
        return count, cbor.decode(transmit, smp.HEADER_BYTES, end.value)


def main():
    """Run."""
    assert _tactus.init() == 0
    board = state.Board()
    show("plain", ask(board, lambda board, request: {}))
    for count in (0, 1, 3):
        show("pieces", ask(board, lambda board, request, count=count: work(count, None)), said)
    for error in (DeviceError(errors.SPACE), StatusError(10), MemoryError(), ValueError()):
        show("error", ask(board, lambda board, request, error=error: work(2, error)))
    show("finish", finish(work(2, None)))
    show("no message waits", not link.serve(board), board.answering is None)


main()
