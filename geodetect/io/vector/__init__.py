"""Vector layers in and out."""
