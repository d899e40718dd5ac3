"""Functions that take their settings as keywords, too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from geodetect.errors import UnknownParameterError
from geodetect.settings import keywords
from geodetect.settings.base import Settings

P = ParamSpec("P")
T = TypeVar("T")


def takes_settings(*classes: type[Settings]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function take the fields of settings classes as keywords, by name in its signature.

    The function collects them with ``**keywords: Unpack[...]``, a class of
    ``geodetect.settings.keywords``, and makes settings of them with ``Settings.resolve``.

    Args:
        classes: Settings classes. Of a field that several of them have, the first one counts.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        *parameters, collected = signature.parameters.values()
        types = getattr(keywords, collected.annotation.removeprefix("Unpack[")[:-1])
        for name, annotation in types.__annotations__.items():
            field = next(cls.model_fields[name] for cls in classes if name in cls.model_fields)
            parameters.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=annotation.__forward_arg__,
                )
            )
        names = [parameter.name for parameter in parameters]
        accepted = {*names, *(name for cls in classes for name in cls.names())}

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in accepted:
                    raise UnknownParameterError(f"{function.__name__}()", name, names)
            return function(*args, **kwargs)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return call

    return decorate
