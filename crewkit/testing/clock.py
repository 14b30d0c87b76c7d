"""A clock that a test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time that passes only when somebody sleeps or a test says so. Pass it as `Options(clock=…)`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.slept: list[float] = []
        """How long each sleep was, in seconds."""
        self._now = start
        self._seconds = 0.0

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Let this much time pass at once."""
        import asyncio

        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self._seconds += seconds
        self._now += timedelta(seconds=seconds)

    def set_back(self, seconds: float) -> None:
        """Set the time of day back, as a person or a time server does; the steady clock goes on."""
        self._now -= timedelta(seconds=seconds)
