"""What a Tactus board does: boot a package, run it on the beat, talk. CPython and MicroPython alike."""

VERSION = "0.1.0"
PROTOCOL = 1
