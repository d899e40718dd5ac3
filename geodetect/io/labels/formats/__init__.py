"""Readers of image data sets: labels as boxes in pixels of named images."""
