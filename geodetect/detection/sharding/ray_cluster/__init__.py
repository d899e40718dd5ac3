"""Planned runs on a cluster of Ray."""
