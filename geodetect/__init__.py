"""Object detection on aerial imagery: GeoTIFF in, map layer out."""

import lazy_loader

# names are listed in __init__.pyi and loaded when first used: importing the package stays cheap
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Return a public name, loaded when it is first used.

    Raises:
        AttributeError: There is no such name.
        MissingDependencyError: It needs PyTorch, which is not installed.
    """
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        from geodetect.hardware.torch_library import LIBRARIES, missing_torch

        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise missing_torch(f"{__name__}.{name}") from error
