"""Geometry: coordinate reference systems, grids, boxes and tiles, without files and torch."""
