"""Checks of labels before a training."""
