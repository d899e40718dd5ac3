"""The run folder of a training."""
