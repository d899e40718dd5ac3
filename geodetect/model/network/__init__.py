"""RetinaNet: backbones, pyramid, heads and anchors."""
