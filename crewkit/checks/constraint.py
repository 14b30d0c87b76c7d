"""What a grant may ask of the arguments of a call: kinds of constraints, each of which can only narrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from crewkit.errors import DefinitionError
from crewkit.tools.tool import Tool

Data = dict[str, Any]


class Constraint(Protocol):
    """One thing that has to be true of a call. Frozen and comparable: the same twice is the same once."""

    @property
    def arguments(self) -> Iterable[str]:
        """The arguments that it names."""
        ...

    def problem(self, arguments: Mapping[str, Any], cwd: Path) -> str:
        """Say what is wrong with a call; empty where nothing is.

        Args:
            arguments: The call's arguments, those that were left out as their defaults.
            cwd: The folder that relative paths start from.
        """
        ...


def complete(arguments: Mapping[str, Any], tool: Tool) -> Data:
    """Return a call's arguments with the defaults of those that were left out."""
    properties = cast("Data", tool.parameters.get("properties") or {})
    defaults = {
        name: cast("Data", shown)["default"]
        for name, shown in properties.items()
        if isinstance(shown, dict) and "default" in shown
    }
    return {**defaults, **arguments}


def texts_of(arguments: Mapping[str, Any], name: str) -> list[str] | str:
    """Return what an argument holds as a list of texts, or what is wrong with it."""
    if name not in arguments:
        return f"'{name}' is left out, and what the tool does then is not known"
    value = arguments[name]
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        return f"'{name}' is neither a text nor a list of texts"
    return values


def named(given: Mapping[str, Any], where: str, kind: str, example: str) -> dict[str, tuple[str, ...]]:
    """Read `{argument: [text, …]}` as a grant has it.

    Raises:
        DefinitionError: It is something else.
    """
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where}: {kind}={given!r:.60} names no arguments. Write {kind}={example}.")
    read: dict[str, tuple[str, ...]] = {}
    for name, texts in given.items():
        listed: list[Any] = (
            list(cast("Iterable[Any]", texts))
            if isinstance(texts, Iterable) and not isinstance(texts, str)
            else [texts]
        )
        if not listed or not all(isinstance(text, str | Path) and str(text) for text in listed):
            raise DefinitionError(
                f"{where}: {kind} of '{name}' is {texts!r:.60}. Write a list of texts: {kind}={example}."
            )
        read[name] = tuple(sorted({str(text) for text in listed}))
    return read
