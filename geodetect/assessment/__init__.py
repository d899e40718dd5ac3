"""Detections against the truth."""
