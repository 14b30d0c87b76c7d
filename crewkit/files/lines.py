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
DEEPEST = 50
"""Values inside of values."""

_HINTS = {
    "'\\t' that cannot start any token": "Indent with spaces",
    "cannot start any token": "A text that begins with it goes in quotation marks",
    "mapping values are not allowed here": "A text with ': ' in it goes in quotation marks",
    "expected <block end>": "A text that begins with {, [, ' or another special character goes in quotation marks",
    "found another document": "A file holds one crew: leave out the line ---",
}
"""What to do, by words of the parser's message."""


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
        said = (error.problem or error.context or "this cannot be read").removeprefix("but ")
        hint = next((f" {hint}." for words, hint in _HINTS.items() if words in said), "")
        raise DefinitionError(f"{path.name}, line {line}: {said}.{hint}") from error
    except RecursionError as error:
        raise DefinitionError(f"{path.name} is nested too deeply: {DEEPEST} levels at most.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DefinitionError(f"{path.name} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(data, dict):
        raise DefinitionError(f"{path.name} holds no mapping. Begin with: name, agents, tasks.")
    return File(path, cast("Data", data), lines)


def _value(node: Node, at: Place, lines: dict[Place, int], path: Path) -> Any:
    """Turn a node into data; note the line of every value."""
    import yaml

    lines[at] = node.start_mark.line + 1
    if len(lines) > LARGEST:
        raise DefinitionError(f"{path.name} holds more than {LARGEST:,} values.")
    if len(at) > DEEPEST:
        raise DefinitionError(
            f"{path.name}, line {lines[at]}: it is nested too deeply, or an alias stands inside of what it stands for: "
            f"{DEEPEST} levels at most."
        )
    if node.tag == "tag:yaml.org,2002:merge":
        raise DefinitionError(
            f"{path.name}, line {lines[at]}: merge keys (<<) are not read. Write the fields out."
        )
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
        if not isinstance(key, yaml.ScalarNode):
            raise DefinitionError(f"{path.name}, line {key.start_mark.line + 1}: a key is a name.")
        _value(key, (*at, "key"), lines, path)
        name = str(key.value)  # as it is written: `on` and `1` are names like any other
        if name in data:
            raise DefinitionError(f"{path.name}, line {key.start_mark.line + 1}: '{name}' stands twice.")
        data[name] = _value(value, (*at, name), lines, path)
        lines[*at, name] = key.start_mark.line + 1
    return data
