"""From sources to a running board: toolchain sources, firmware builds, emulators, flashing."""
