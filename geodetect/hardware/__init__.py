"""Processors, memory and accelerators of this machine."""
