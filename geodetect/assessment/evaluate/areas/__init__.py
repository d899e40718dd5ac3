"""Errors of outlines and of their areas."""
