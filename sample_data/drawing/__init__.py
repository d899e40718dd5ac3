"""Procedural drawing of imaginary aerial scenes together with their truth polygons."""
