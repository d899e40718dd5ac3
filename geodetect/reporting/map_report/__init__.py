"""The HTML report over a map."""
