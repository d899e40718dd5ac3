"""Write the types of settings as keyword arguments from the fields of the settings classes.

python docs/settings_keywords.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from geodetect import settings
from geodetect.settings.base import Accepts, Settings

MODULE = Path(__file__).parents[1] / "geodetect/settings/keywords.py"
HEADER = '''"""Settings as keyword arguments, for editors and type checkers.

Written from the settings classes by ``python docs/settings_keywords.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from pyproj import CRS

    from geodetect.types import AreaSource, PathLike
'''


# functions of several settings classes; of a field that several have, the first one counts
SEVERAL = {"EvaluateModelKeywords": (settings.EvaluateSettings, settings.PredictSettings)}


def module_text() -> str:
    """Return the module: a ``TypedDict`` for each public settings class, and those of several."""
    groups = {
        name.replace("Settings", "Keywords"): (getattr(settings, name),)
        for name in settings.__all__
    } | SEVERAL
    return HEADER + "".join(class_text(name, *groups[name]) for name in sorted(groups))


def class_text(name: str, *classes: type[Settings]) -> str:
    """Return a ``TypedDict`` with all fields of settings classes."""
    fields = {name: field for cls in classes[::-1] for name, field in cls.model_fields.items()}
    sources = " and ".join(f"``{cls.__name__}``" for cls in classes)
    lines = [
        f"\n\nclass {name}(TypedDict, total=False):",
        f'    """Fields of {sources}."""\n',
        *(f"    {field}: {annotation_text(fields[field])}" for field in sorted(fields)),
    ]
    return "\n".join([*lines, ""])


def annotation_text(field: FieldInfo) -> str:
    """Return the types that a field takes, as code."""
    texts = list(dict.fromkeys(type_texts(Annotated[field.annotation, *field.metadata, None])))
    return " | ".join(sorted(texts, key=lambda text: text == "None"))


def type_texts(annotation: Any) -> Iterator[str]:
    """Yield the members of the union that an annotation stands for."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        if annotation.__origin__ is not Any:
            yield from type_texts(annotation.__origin__)
        for item in annotation.__metadata__:
            nested = item.metadata if isinstance(item, FieldInfo) else [item]
            yield from (accepted.types for accepted in nested if isinstance(accepted, Accepts))
    elif get_origin(annotation) in (Union, UnionType):
        for member in arguments:
            yield from type_texts(member)
    elif get_origin(annotation) is tuple:
        items = {text for item in arguments if item is not ... for text in type_texts(item)}
        yield f"Sequence[{' | '.join(sorted(items))}]"
    elif get_origin(annotation) is Literal:
        yield f"Literal[{', '.join(json.dumps(value) for value in arguments)}]"
    else:
        yield {NoneType: "None", Path: "PathLike"}.get(annotation, annotation.__name__)


if __name__ == "__main__":
    MODULE.write_text(module_text(), encoding="utf-8")
