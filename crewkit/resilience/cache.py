"""Keeping what was answered, for a time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 256
"""Answers kept; past it, the one that was used longest ago is dropped."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An answer, and when it was given."""

    value: T
    at: datetime

    def age(self, now: datetime) -> float:
        """Return how many seconds old it is; a clock that was set back makes nothing younger than new."""
        return max((now - self.at).total_seconds(), 0.0)


class Cache(Generic[T]):
    """Answers by key. Whoever asks says how old an answer may be."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[str, Kept[T]] = OrderedDict()

    def put(self, key: str, value: T, at: datetime) -> None:
        """Keep an answer in the place of an older one."""
        self._kept[key] = Kept(value, at)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, key: str, now: datetime, ttl: float | None = None) -> Kept[T] | None:
        """Return what is kept under a key, where it is no older than `ttl` seconds (`None`: however old)."""
        kept = self._kept.get(key)
        if kept is None or (ttl is not None and kept.age(now) > ttl):
            return None
        self._kept.move_to_end(key)
        return kept
