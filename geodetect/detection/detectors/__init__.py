"""Detectors: objects that detect in the pixels of tiles."""
