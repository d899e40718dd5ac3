"""From pixels to a table of objects on the map."""
