"""Tables, processes and data sets that all benchmarks share."""
