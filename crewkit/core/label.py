"""Where a text came from and whether it is trusted, and how text that is not trusted is put before a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Label:
    """Where something came from, and whether it may be taken at its word.

    What the user and the crew's definition say is trusted; what a tool returns is not, unless the tool says so.
    Whatever is made of several things has the join of their labels: `a | b`.
    """

    trusted: bool = False
    sources: tuple[str, ...] = ("unknown",)
    """Names, sorted, each once: `user`, `crew`, `person`, `tool fetch`, `memory`, `agent Researcher`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(sorted(set(self.sources))))

    def __or__(self, other: Label) -> Label:
        """Return the join: trusted only if both are; where one is not, its sources are what counts."""
        if self.trusted != other.trusted:
            return other if self.trusted else self
        return self if self == other else Label(self.trusted, (*self.sources, *other.sources))

    def to_data(self) -> dict[str, Any]:
        """Return the label as JSON data; `from_data` reads it back."""
        return {"trusted": self.trusted, "sources": list(self.sources)}

    @classmethod
    def from_data(cls, data: object) -> Label:
        """Read what `to_data` wrote. What has lost its label is not trusted."""
        if not isinstance(data, dict):
            return UNKNOWN
        given = cast("dict[str, Any]", data)
        sources: object = given.get("sources")
        if not isinstance(sources, list) or not all(isinstance(name, str) for name in sources):  # pyright: ignore[reportUnknownVariableType]
            return UNKNOWN
        return cls(given.get("trusted") is True, tuple(cast("list[str]", sources)))

    def __str__(self) -> str:
        return f"{'trusted' if self.trusted else 'not trusted'}, from {', '.join(self.sources)}"


UNKNOWN = Label()
"""The label of what has none."""
NOTHING = Label(trusted=True, sources=())
"""The label of what nothing went into: joined with any other it changes nothing."""
USER = Label(trusted=True, sources=("user",))
CREW = Label(trusted=True, sources=("crew",))
PERSON = Label(trusted=True, sources=("person",))
"""The label of what somebody wrote who approved, denied or edited."""


def join(labels: Iterable[Label]) -> Label:
    """Return the join of labels; of none, `NOTHING`."""
    joined = NOTHING
    for label in labels:
        joined = joined | label
    return joined


# Fences

_OPENING = re.compile(r'<untrusted-([0-9a-f]{16}) from="([^"\n]+)">\n')


def fence(text: str, label: Label) -> str:
    """Put a text that is not trusted between marks that say so and that it cannot close.

    The mark is a hash of the text, made anew until it does not occur in it; so the same text is fenced the same in
    every process, and no text can hold its own mark.
    """
    mark, count = "", 0
    while not mark or mark in text:
        mark = blake2b(f"{count}\x1e{text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        count += 1
    names = re.sub(r'["\s]+', " ", ", ".join(label.sources)) or "unknown"
    return f'<untrusted-{mark} from="{names}">\n{text}\n</untrusted-{mark}>'


def shown(text: str, label: Label) -> str:
    """Return a text as it is put before a model: fenced where it is not trusted."""
    return text if label.trusted else fence(text, label)


def label_of(text: str, outside: Label) -> Label:
    """Return the join of the label of what stands outside of a text's fences, and of those that the fences name."""
    return join([outside, *(Label(sources=tuple(names.split(", "))) for _, names in _pieces(text) if names)])


def pieces(text: str, outside: Label) -> Iterator[tuple[str, Label]]:
    """Yield a text's pieces in order, each with its label: what is fenced has the sources that its fence names."""
    for inner, names in _pieces(text):
        if inner:
            yield inner, Label(sources=tuple(names.split(", "))) if names else outside


def unfenced(text: str) -> str:
    """Return a text without the marks of its outermost fences, what stands between them left in its place."""
    return "".join(inner for inner, _ in _pieces(text))


def trusted_part(text: str) -> str:
    """Return what stands outside of the fences; a fence that is never closed takes all that follows."""
    return "\n".join(inner for inner, names in _pieces(text) if not names)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield a text's pieces in order, with the sources of those that are fenced. What is fenced is not looked into."""
    at = 0
    while opening := _OPENING.search(text, at):
        yield text[at : opening.start()], ""
        closing = f"\n</untrusted-{opening[1]}>"
        end = text.find(closing, opening.end())
        if end < 0:
            yield text[opening.end() :], opening[2]
            return
        yield text[opening.end() : end], opening[2]
        at = end + len(closing)
    yield text[at:], ""
