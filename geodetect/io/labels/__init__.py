"""Labels in: map layers and image data sets."""
