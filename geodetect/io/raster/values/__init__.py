"""Values of rasters: bands, colours, constant pixels, and the stretch to 8 bits."""
