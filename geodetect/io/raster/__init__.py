"""Reading of rasters: pixels, masks, bands and georeference."""
