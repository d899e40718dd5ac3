"""Pure geometry: grids, boxes and tiles. No files, no torch."""
