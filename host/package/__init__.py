"""Signed packages: keys, deterministic encoding, writing, reading, inspection, evidence."""
