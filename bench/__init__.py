"""Benchmarks: what Watchword costs, measured against the same machine without it."""
