"""Runs under the interpreter of stock_client.py: smpclient on a COBS port. Usage: cobs_client.py PORT FILE

Prints what it learns, a line a fact, and leaves FILE uploaded.
"""

import asyncio
import sys
from pathlib import Path

from smpclient import SMPClient
from smpclient.generics import error
from smpclient.requests.enumeration_management import ListSupportedGroups
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import (
    EchoWrite,
    MCUMgrParametersRead,
    OSApplicationInfoRead,
    TaskStatisticsRead,
)
from smpclient.requests.statistics_management import GroupData
from smpclient.requests.zephyr_management import EraseStorage
from smpclient.transport.serial.framing.cobs import Cobs
from smpclient.transport.serial.unencoded import SMPSerialRawTransport


class Counting(Cobs):
    """Counts the bytes that upload() puts on the wire."""

    sent = 0

    def encode(self, data):
        """As Cobs."""
        for frame in super().encode(data):
            Counting.sent += len(frame)
            yield frame


async def main(port, file):
    """Drive the board."""
    async with SMPClient(SMPSerialRawTransport(mtu=2048, framing=Counting()), port) as client:
        print("echo", (await client.request(EchoWrite(d="hi"))).r)
        print("buffer", (await client.request(MCUMgrParametersRead())).buf_size)
        print("info", (await client.request(OSApplicationInfoRead(format="sn"))).output)
        print("tasks", sorted((await client.request(TaskStatisticsRead())).tasks))
        print("groups", [int(g) for g in (await client.request(ListSupportedGroups())).groups])
        print("frames", (await client.request(GroupData(name="link"))).fields["frames"])
        refused = await client.request(EraseStorage())
        print("unknown", error(refused), int(refused.rc))
        data = file.read_bytes()
        before = Counting.sent
        offsets = [offset async for offset in client.upload(data, slot=1, subsequent_timeout_s=10)]
        print("uploaded", offsets[-1], "of", len(data), "wire", Counting.sent - before)
        images = (await client.request(ImageStatesRead())).images
        print("images", len(images), images[-1].version)
        tested = await client.request(ImageStatesWrite(hash=bytes(images[-1].hash)))
        print("pending", [image.pending for image in tested.images])


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
