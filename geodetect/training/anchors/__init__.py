"""Selection of anchors and their assignment to objects."""
