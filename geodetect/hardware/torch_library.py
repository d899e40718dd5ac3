"""Presence of PyTorch, which training, conversions and graphics cards need, and nothing else."""

from __future__ import annotations

import importlib.util

from geodetect.errors import MissingDependencyError

LIBRARIES = ("torch", "torchvision")


def has_torch() -> bool:
    """Return True if PyTorch is installed, without importing it, which takes seconds."""
    return importlib.util.find_spec("torch") is not None


def require_torch(user: str, *, remedy: str = "") -> None:
    """Raise an error if PyTorch is not installed.

    Args:
        user: Subject that needs it, such as "`runtime` torch".
        remedy: Clause that names another way out.

    Raises:
        MissingDependencyError: It is not installed.
    """
    if not has_torch():
        raise missing_torch(user, remedy=remedy)


def missing_torch(user: str, *, remedy: str = "") -> MissingDependencyError:
    """Return the error of ``require_torch``."""
    text = (
        f"{user} needs PyTorch, which is not installed; install it with: "
        f"pip install {' '.join(LIBRARIES)}"
    )
    return MissingDependencyError(f"{text}, {remedy}" if remedy else text)
