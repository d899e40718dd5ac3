"""From rasters and labels to a model."""
