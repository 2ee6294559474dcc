"""Benchmarks and conformance: what is measured, with the figures of others beside."""
