"""Rasters that lie together on the ground, read as one."""
