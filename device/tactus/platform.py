"""Where the two interpreters differ, and nothing else."""

import gc
import sys

import _tactus

MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    from micropython import heap_lock, heap_unlock

    def settle():
        """End of start-up: its litter goes; the heap is locked by the loop."""
        _tactus.collect()

    def log(text):
        """One line of text for a person on the port."""
        print(text)

    def trace(error):
        """Where an exception came from, for a person on the port."""
        sys.print_exception(error)

else:
    import traceback

    def heap_lock():
        """CPython cannot lock its heap."""

    def heap_unlock():
        """CPython cannot lock its heap."""

    def settle():
        """End of start-up: what exists stays, and no collection comes by itself."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def log(text):
        """One line of text for a person on the port."""
        print(text)
        sys.stdout.flush()

    def trace(error):
        """Where an exception came from, for a person on the port."""
        traceback.print_exception(error)
