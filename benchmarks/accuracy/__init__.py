"""Accuracy of detections, comparisons, counts and checks."""
