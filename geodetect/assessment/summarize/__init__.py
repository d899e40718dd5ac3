"""Counts of objects by zone."""
