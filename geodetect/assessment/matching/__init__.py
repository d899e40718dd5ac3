"""Matching of predictions to ground truth."""
