"""Advice at the end of a training: the next thing to do, from measured facts by stated rules."""
