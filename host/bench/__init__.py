"""Benchmarks and conformance, as `bench` runs them."""
