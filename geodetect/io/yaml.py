"""Reader of YAML files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geodetect.errors import InputError, list_names, translate_errors

MOST_BYTES = 10_000_000


def read_yaml(path: Path, *, error_class: type[InputError] = InputError) -> Any:
    """Read a YAML file whose values are texts, lists and mappings.

    Words and numbers stay the texts they are: ``no`` is a name, not False, and 007 not 7; a value
    without content is None. Aliases are refused: nested ones grow without limit. So
    are keys that occur twice.

    Args:
        path: The file.
        error_class: Class of the error to raise.

    Raises:
        InputError: It cannot be read, or is too large.
    """
    import yaml

    class TextLoader(yaml.SafeLoader):
        """Loader without types."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it refers to an anchor; expected the values themselves")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            mapping = super().construct_mapping(node, deep=deep)
            if len(mapping) < len(node.value):
                raise yaml.YAMLError(f"a key occurs twice: {list_names(mapping)}")
            return mapping

    TextLoader.yaml_implicit_resolvers = {
        character: [(tag, regexp) for tag, regexp in resolvers if tag.endswith(":null")]
        for character, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    with translate_errors(f"{path} cannot be read as YAML", error_class):
        if path.stat().st_size > MOST_BYTES:
            raise error_class(f"{path} has more than {MOST_BYTES // 1_000_000} MB of YAML")
        return yaml.load(path.read_bytes(), TextLoader)
