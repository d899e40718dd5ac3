"""Validation during and after a training."""
