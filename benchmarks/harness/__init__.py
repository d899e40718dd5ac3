"""Data sets, rasters, processes, options and tables of all benchmarks."""
