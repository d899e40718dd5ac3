"""Precision, recall, average precision and calibration of predictions."""
