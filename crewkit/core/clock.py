"""Time, as a value that can be passed in."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day, a steady count of seconds, and a way to wait."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait this long."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait this long."""
        import asyncio  # a third of what the light commands of the command line would load

        await asyncio.sleep(seconds)


def timestamp(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with microseconds: `2026-11-21T09:41:53.000001Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_second(ts: str) -> str:
    """Return a timestamp as people read it, without the part of a second: `2026-11-21T09:41:53Z`."""
    return f"{ts[:19]}Z"
