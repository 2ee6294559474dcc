"""The host's client on the bench of the device's Python, without a line between them."""

from device_bench import Bench

from protocol import console


class BenchTransport:
    """A port whose other end is the bench; `drop` swallows that many replies."""

    port = "bench"

    cobs = False

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.drop = 0
        self._decoder = console.Decoder()
        self._out = b""

    def write(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            reply = self.bench.raw(message)
            if reply is not None and self.drop:
                self.drop -= 1
            elif reply is not None:
                self._out += console.encode(reply)

    def read(self, timeout_s: float) -> bytes:
        data, self._out = self._out, b""
        return data

    def close(self) -> None:
        pass
