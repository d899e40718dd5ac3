"""Shapes of objects: outlines made simple, measures on the ground, geometry on the map."""
