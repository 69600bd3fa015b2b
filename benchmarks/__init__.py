"""Measurements: `python -m benchmarks encode|search|quality|peers|kernels`; README.md says what they are."""
