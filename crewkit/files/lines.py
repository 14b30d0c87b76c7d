"""YAML as data, with the line of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from crewkit.errors import DefinitionError, InputError

if TYPE_CHECKING:
    from yaml.nodes import Node

Data = dict[str, Any]
Place = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""

LARGEST = 20_000
"""Values in one file; what an alias stands for counts each time."""


@dataclass(frozen=True)
class File:
    """What a file says, with where it says it."""

    path: Path
    data: Data
    lines: Mapping[Place, int]

    def wrong(self, at: Place, said: str) -> DefinitionError:
        """Return the error for something at a place; the nearest line above it that is known is named."""
        while at and at not in self.lines:
            at = at[:-1]
        return DefinitionError(f"{self.path.name}, line {self.lines.get(at, 1)}: {said}")


def read_yaml(path: Path) -> File:
    """Read a file.

    Raises:
        InputError: It cannot be read.
        DefinitionError: It is not YAML, holds no mapping, a key twice, or too much.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path.name} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    lines: dict[Place, int] = {}
    try:
        node = cast("Node | None", yaml.compose(text, yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
        data: Any = _value(node, (), lines, path) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DefinitionError(f"{path.name}, line {line}: {error.problem or error.context}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DefinitionError(f"{path.name} is not YAML: {error}.") from error
    if not isinstance(data, dict):
        raise DefinitionError(f"{path.name} holds no mapping. Begin with: name, agents, tasks.")
    return File(path, cast("Data", data), lines)


def _value(node: Node, at: Place, lines: dict[Place, int], path: Path) -> Any:
    """Turn a node into data; note the line of every value."""
    import yaml

    lines[at] = node.start_mark.line + 1
    if len(lines) > LARGEST:
        raise DefinitionError(f"{path.name} holds more than {LARGEST:,} values.")
    if not str(node.tag).startswith("tag:yaml.org,2002:") or "python" in str(node.tag):
        tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
        raise DefinitionError(
            f"{path.name}, line {lines[at]}: the tag '{tag}' means nothing here. Leave it out."
        )
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*at, i), lines, path) for i, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return cast("Any", yaml.SafeLoader("").construct_object(node))  # pyright: ignore[reportUnknownMemberType]
    data: Data = {}
    for key, value in node.value:
        name = str(_value(key, (*at, "key"), lines, path))
        if name in data:
            raise DefinitionError(f"{path.name}, line {key.start_mark.line + 1}: '{name}' stands twice.")
        data[name] = _value(value, (*at, name), lines, path)
        lines[*at, name] = key.start_mark.line + 1
    return data
