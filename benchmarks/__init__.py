"""Benchmarks, run as ``python -m benchmarks.<name>``; docs/benchmarks.md has the results."""
