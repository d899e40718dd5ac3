"""Rasters in: pixels, masks, bands and georeference."""
