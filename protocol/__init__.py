"""What crosses the wire or lies in flash: no I/O, the same files on CPython and MicroPython."""
