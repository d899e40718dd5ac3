"""Benchmarks, one command each: ``python -m benchmarks.PACKAGE.MODULE``."""
