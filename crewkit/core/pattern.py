"""Regular expressions of JSON Schema, which are those of ECMA-262, as Python can run them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

SECONDS = 1.0
"""For one match. A pattern that somebody else wrote may take for ever on a text that a model wrote."""

_BRACED = re.compile(r"\\u\{0*([0-9A-Fa-f]{1,6})\}")
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_"}


def matches(pattern: str, text: str, *, whole: bool = False) -> bool:
    """Say whether a pattern is found in a text, or is the whole of it.

    Raises:
        ValueError: Nobody can read the pattern.
        TimeoutError: It takes too long. Neither answer would do: what is not to match must not get by either.
    """
    compiled = ecma(pattern)
    return (compiled.fullmatch if whole else compiled.search)(text, timeout=SECONDS) is not None


@lru_cache(maxsize=512)
def ecma(pattern: str) -> Any:
    r"""Compile a pattern: `$` is the end and not the line before it, `\d` and `\w` are ASCII, `(?<name>…)` names.

    Raises:
        ValueError: Nobody can read it.
    """
    import regex  # it can be stopped, and knows \p{…}

    try:
        return regex.compile("".join(_translated(pattern)))
    except regex.error as error:
        raise ValueError(f"{pattern!r:.100} is no regular expression: {error}") from error


def _translated(pattern: str) -> Iterator[str]:
    at, within = 0, False
    while at < len(pattern):
        character, following = pattern[at], pattern[at + 1 : at + 2]
        if braced := _BRACED.match(pattern, at):
            yield f"\\U{int(braced[1], 16):08x}"
            at = braced.end()
        elif character == "\\" and following:
            yield _escaped(following, within=within)
            at += 2
            if within and following.lower() in "dws" and pattern[at : at + 1] == "-":
                yield "\\-"  # a class is no beginning of a range
                at += 1
        elif not within and pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in ("=", "!"):
            yield "(?P<"
            at += 3
        elif not within and character == "$":
            yield r"\Z"
            at += 1
        else:
            within = character == "[" if not within else character != "]"
            yield "\\[" if character == "[" and pattern[at - 1 : at] == "[" and at else character
            at += 1


def _escaped(letter: str, *, within: bool) -> str:
    if letter.lower() in _CLASSES and (letter.islower() or not within):
        inside = _CLASSES[letter.lower()]
        return inside if within else f"[{'' if letter.islower() else '^'}{inside}]"
    return letter if letter == "/" else f"\\{letter}"
