"""Inputs and limits as they are written on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from crewkit.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

UNCAPPED = "none"


class Cap(click.ParamType[int | float | str]):
    """A number above 0, or `none` for no cap."""

    name = "N|none"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float | str:
        """Read the number."""
        if value == UNCAPPED:
            return UNCAPPED
        try:
            number = self._kind(value)
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            whole = "a whole number" if self._kind is int else "a number"
            self.fail(f"'{value}' is not {whole} above 0; for no cap write none.", param, ctx)
        return number


def limit_options(command: F) -> F:
    """Give a command the options of `Limits`."""
    for name, kind, help in (
        ("steps", int, "Model turns at most."),
        ("seconds", float, "Active seconds at most."),
        ("tokens", int, "Tokens at most, in and out."),
        ("usd", float, "Money for models at most."),
    ):
        command = click.option(f"--{name}", type=Cap(kind), help=help)(command)
    return command


def caps(**given: int | float | str | None) -> dict[str, Any]:
    """Return the caps that were given, `None` for no cap, as `Limits` takes them."""
    return {name: None if cap == UNCAPPED else cap for name, cap in given.items() if cap is not None}


def read_inputs(pairs: Sequence[str], source: str, *, option: str = "-i") -> dict[str, Any]:
    """Return the run's inputs: a JSON object from a file or stdin, and on top of it what `-i` says.

    Raises:
        InputError: Something cannot be read; the message says which input, and why.
    """
    inputs = _from_source(source) if source else {}
    named: set[str] = set()
    for pair in pairs:
        name, value = _pair(pair, option)
        if name in named:
            raise InputError(f"{option} {name} is given twice. Keep one.")
        named.add(name)
        inputs[name] = value
    return inputs


def _pair(pair: str, option: str) -> tuple[str, Any]:
    name, equals, text = pair.partition("=")
    if not equals or not name.strip(":"):
        raise InputError(f"{option} {pair}: write NAME=TEXT, NAME=@FILE or NAME:=JSON.")
    if name.endswith(":"):
        name = name[:-1]
        return name, _json(text, f"{option} {name}:=…")
    if text.startswith("@"):
        return name, _read(text[1:], f"{option} {name}")
    return name, text


def read_text(given: str, where: str) -> str:
    """Return a text, or what the file behind an `@` holds."""
    return _read(given[1:], where) if given.startswith("@") else given


def _from_source(source: str) -> dict[str, Any]:
    where = f"--inputs {source}"
    value = _json(sys.stdin.read() if source == "-" else _read(source, where), where)
    if not isinstance(value, dict):
        raise InputError(
            f'{where}: it holds {type(value).__name__}, not an object. Write {{"name": value, …}}.'
        )
    return cast("dict[str, Any]", value)


def _read(path: str, where: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{where}: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: {path} is not UTF-8 text (byte {error.start}).") from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}: "
            f"{error.doc[max(error.pos - 20, 0) : error.pos + 20]!r}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON. Use null, or a text.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object.")
    return dict(pairs)
