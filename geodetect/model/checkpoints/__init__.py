"""Weights of other programs, and initialization of a training."""
