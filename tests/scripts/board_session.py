"""A board on the real `_tactus`, from the flash file FOLDER/flash.bin, and requests to it without a line in between."""

import gc
import hashlib
import sys

import _tactus
from tactus import boot, link, pieces, state
from vector_file import show

from protocol import cbor, smp

FOLDER = sys.argv[2]
MESSAGE = bytearray(_tactus.board()["link_bytes"])  # before the heap is in pieces


def read(name):
    """A file of the folder."""
    with open(FOLDER + "/" + name, "rb") as file:
        return file.read()


def power_up():
    """A board that has just booted from the flash file."""
    gc.collect()  # the board before: its scratch is the largest piece there is
    show("init", _tactus.init(FOLDER + "/flash.bin", -1))
    board = state.Board()
    boot.boot(board)
    return board


def ask(board, op, group, command, request):
    """Send one request; the reply map."""
    end = cbor.encode_into(MESSAGE, smp.HEADER_BYTES, request)
    smp.put_header(MESSAGE, op, group, command, 5, end - smp.HEADER_BYTES)
    MESSAGE[1] = smp.OWN_CODES
    reply = _tactus.link_tx()
    size = pieces.finish(link.respond(board, memoryview(MESSAGE)[:end], reply))
    if smp.parse_header(reply)[:4] != (op + 1, group, command, 5):
        show("FAIL: not the reply to", group, command)
    return cbor.decode(reply, smp.HEADER_BYTES, size)


def upload(board, data):
    """Send a file; the last reply."""
    offset = 0
    while True:
        request = {"off": offset, "data": data[offset : offset + 700]}
        if offset == 0:
            request["len"] = len(data)
            request["sha"] = hashlib.sha256(data).digest()
        reply = ask(board, smp.WRITE, smp.GROUP_IMAGE, smp.IMAGE_UPLOAD, request)
        if "off" not in reply or reply["off"] >= len(data):
            return reply
        offset = reply["off"]
