"""What is known of finished tasks besides their outputs, for conditions: `meta.draft.usd < 0.01`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typing_extensions import TypedDict


class Facts(TypedDict):
    """What is known of a finished task besides its output: `meta.draft.usd` in a condition."""

    model: str | None
    """That gave its last answer; `None` where no model did."""
    route: str | None
    """Of the model table, that gave it."""
    seconds: float
    """From its beginning to its end, in the process that ended it."""
    tokens: int
    usd: float | None
    """`None`: the price is unknown."""
    steps: int
    """Model turns."""
    confidence: float | None
    """The output's own field of this name, where it is a number."""


def facts_type(needs: Iterable[str]) -> Any:
    """Return the type of `meta` for a task with these needs; one that did not complete is `None`."""
    make: Any = TypedDict
    return make("meta", {need.replace("-", "_"): Facts | None for need in needs})
