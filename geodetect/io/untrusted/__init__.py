"""Checks of files from strangers before GDAL opens them, and follows what they name."""
