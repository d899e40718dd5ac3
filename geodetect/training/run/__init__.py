"""Run folder of a training."""
