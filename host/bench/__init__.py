"""Benchmarks: what an inference and a link cost, measured, with the figures of others beside."""
