"""An example of a regular expression, as far as simple."""

from __future__ import annotations

import re


def matches(pattern: str, text: str) -> bool:
    """Say whether a pattern is found in a text; a pattern that Python cannot read is not."""
    try:
        return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def example(pattern: str, least: int = 0) -> str:
    """Return a short text for a pattern of classes, groups, alternatives and repeats; else maybe a wrong one.

    Args:
        pattern: The regular expression.
        least: Characters that the text should have where an open repeat allows it.
    """
    for repeats in (0, 1, least):
        text = _Reader(pattern, repeats).alternatives()
        if matches(pattern, text) and len(text) >= least:
            return text
    return _Reader(pattern, 0).alternatives()


_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_QUANTITY = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_SPECIAL_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>|[aiLmsux]+\))")
_LOOK = re.compile(r"\?<?[=!]")


class _Reader:
    """Walks a pattern once and writes what it asks for."""

    def __init__(self, pattern: str, repeats: int) -> None:
        self.pattern = pattern
        self.repeats = repeats
        self.at = 0

    def alternatives(self) -> str:
        """Return the first alternative of the group that begins here."""
        options = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            options.append(self._sequence())
        return options[0]

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _sequence(self) -> str:
        made: list[str] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            made.append(atom * self._times())
        return "".join(made)

    def _times(self) -> int:
        sign = self._peek()
        times = 1
        if quantity := _QUANTITY.match(self.pattern, self.at):
            self.at = quantity.end()
            least = int(quantity[1])
            most = least if quantity[2] is None else int(quantity[3] or 10_000)
            times = min(max(least, self.repeats), most)
        elif sign in ("*", "+", "?"):
            self.at += 1
            times = {"*": self.repeats, "+": max(1, self.repeats), "?": 0}[sign]
        else:
            return 1
        if self._peek() in ("?", "+"):
            self.at += 1
        return times

    def _atom(self) -> str:
        sign = self._peek()
        self.at += 1
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class()
        if sign == "\\":
            letter = self._peek()
            self.at += 1
            return "" if letter in "bBAZz" else _CLASSES.get(letter, letter)
        return {"^": "", "$": "", ".": "a"}.get(sign, sign)

    def _group(self) -> str:
        look = _LOOK.match(self.pattern, self.at)
        if special := _SPECIAL_GROUP.match(self.pattern, self.at):
            self.at = special.end()
            if special.group().endswith(")"):
                return ""
        elif look:
            self.at = look.end()
        text = self.alternatives()
        self.at += self._peek() == ")"
        return "" if look else text

    def _class(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        begin = self.at
        while self._peek() and (self._peek() != "]" or self.at == begin):
            self.at += 2 if self._peek() == "\\" else 1
        body = self.pattern[begin : self.at]
        self.at += 1
        if negated:
            return next((c for c in "a0 -_." if matches(f"[^{body}]", c)), "a")
        return next((c for c in "a0A -_.1" if matches(f"[{body}]", c)), body[:1])
