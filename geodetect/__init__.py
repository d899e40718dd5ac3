"""Object detection on aerial imagery: GeoTIFF in, map layer out."""

import lazy_loader

# names are listed in __init__.pyi and loaded when first used: importing the package stays cheap
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
