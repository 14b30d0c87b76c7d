"""Changing the arguments of a call before it is approved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from crewkit.core.messages import canonical
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.read import Pending

Data = dict[str, Any]


def check_edit(question: Pending, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that cannot be the tool's.

    Raises:
        InputError: They do not satisfy its schema, or the question is not about a call that may be edited.
    """
    if question.kind != "tool" and not question.parameters:
        raise InputError(f"{question.id} does not ask about a call, so it has no arguments to edit.")
    try:
        json.dumps(arguments, allow_nan=False, ensure_ascii=False).encode()
        error: Any = next(_validator(question).iter_errors(dict(arguments)), None)
    except Exception as cause:  # a foreign schema may send the validator anywhere
        raise InputError(f"The arguments cannot be checked: {cause!s:.300}") from cause
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the arguments"
        what = f"'{question.tool}'" if question.tool else question.id
        raise InputError(f"{what} does not take these arguments: {where}: {error.message:.300}")


def edited(question: Pending, changes: Sequence[str]) -> Data:
    """Return the arguments of a question with changes as people write them: `amount=5`, `note=as agreed`.

    A value is read as JSON where the argument is no text.

    Raises:
        InputError: A change is none, or names no argument.
    """
    arguments: Data = dict(question.arguments or {})
    properties = _properties(question)
    known = [*properties, *(name for name in arguments if name not in properties)]
    for change in changes:
        name, found, text = change.partition("=")
        if not found:
            raise InputError(f"'{change}' is no change. Write NAME=VALUE, for example amount=5.")
        if name not in known:
            what = f"'{question.tool}'" if question.tool else question.id
            raise InputError(
                f"{what} has no argument '{name}'.{did_you_mean(name, known)} "
                f"Arguments: {', '.join(known) or 'none'}."
            )
        arguments[name] = _value(question, name, text, arguments.get(name))
    return arguments


def put_in(given: Any, before: Any) -> tuple[Any, bool]:
    """Return what of an edited value somebody put in, and whether that is all of it.

    What stood there before, wherever it stood, is not theirs: who changes an amount does not vouch for the note.
    """
    return _put_in(given, set(_leaves(before)))


def _put_in(given: Any, before: set[str]) -> tuple[Any, bool]:
    if isinstance(given, dict):
        named = {name: _put_in(each, before) for name, each in cast("Data", given).items()}
        kept = {name: new for name, (new, whole) in named.items() if whole or new not in (None, [], {})}
        return kept, all(whole for _, whole in named.values())
    if isinstance(given, list):
        each = [_put_in(item, before) for item in cast("list[Any]", given)]
        return [new for new, whole in each if whole or new not in (None, [], {})], all(w for _, w in each)
    old = canonical(given) in before
    return (None, False) if old else (given, True)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        held = cast("Data", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for each in held:
            yield from _leaves(each)
    else:
        yield canonical(value)


def _value(question: Pending, name: str, text: str, held: Any) -> Any:
    """Read a value as the argument takes it: as JSON, or as the text that it is."""
    try:
        parsed: Any = json.loads(text)
    except ValueError:
        return text
    validator, schema = _validator(question), _properties(question).get(name)
    if not isinstance(schema, dict):
        return text if isinstance(held, str) else parsed
    fits = [validator.evolve(schema=schema).is_valid(value) for value in (text, parsed)]
    if all(fits):
        return text if isinstance(held, str) and parsed is not None else parsed
    return parsed if fits[1] else text


def _properties(question: Pending) -> Data:
    return cast("Data", _schema(question).get("properties") or {})


def _schema(question: Pending) -> Data:
    given: object = question.parameters
    return cast("Data", given) if isinstance(given, dict) else {}


def _validator(question: Pending) -> Any:
    from crewkit.core.validator import validator

    return validator(_schema(question))
