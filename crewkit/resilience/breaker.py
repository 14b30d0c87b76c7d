"""Leaving alone for a while what keeps failing."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from crewkit.core.clock import Clock
from crewkit.errors import expect_number

T = TypeVar("T")

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a circuit opens, and how long it stays open (the pattern of Nygard's *Release It!*, 2007)."""

    failures: int = 5
    """Failures within `window` that open it."""
    window: float = 60.0
    """Seconds."""
    pause: float = 30.0
    """Seconds that nothing is called; then one call is let through as a probe, and what becomes of it decides."""

    def __post_init__(self) -> None:
        for name in ("failures", "window", "pause"):
            expect_number("Breaker", name, getattr(self, name), 0, above=True)


class CircuitOpen(Exception):
    """Nothing was called: it failed too often lately."""


class Circuit:
    """The state of one breaker: closed, open, or half-open while one probe is under way."""

    def __init__(
        self,
        breaker: Breaker,
        clock: Clock,
        changed: Callable[[State, str], None] = lambda state, why: None,
        *,
        subject: str = "it",
    ) -> None:
        """Make a closed circuit.

        Args:
            breaker: When it opens, and for how long.
            clock: Tells the time.
            changed: Told of every new state, with the reason.
            subject: What fails, as the reasons name it.
        """
        self._subject = subject
        self._breaker = breaker
        self._clock = clock
        self._changed = changed
        self._failed: deque[float] = deque(maxlen=breaker.failures)
        self._until: float | None = None
        """When an open circuit lets a probe through; `None` while it is closed."""
        self._probing = False
        self._era = 0
        """Counts changes of state: what was begun in an earlier one says nothing about this one."""
        self.why = ""
        """Why it opened, for whoever is refused."""

    @property
    def state(self) -> State:
        """The state as of now."""
        if self._until is None:
            return "closed"
        return "half-open" if self._probing or self._clock.monotonic() >= self._until else "open"

    def refusal(self) -> str:
        """Say why nothing is called now; empty where a call would be let through."""
        if self._until is None or (not self._probing and self._clock.monotonic() >= self._until):
            return ""
        if self._probing:
            return f"{self.why}; one call is being tried just now"
        return f"{self.why}; to be tried again in {max(self._until - self._clock.monotonic(), 0):.0f} seconds"

    async def through(
        self, do: Callable[[], Awaitable[T]], trouble: Callable[[T | Exception], str] = str
    ) -> T:
        """Do something if the circuit lets it through.

        Args:
            do: Makes the call.
            trouble: Says of what was returned or raised in which way it failed; empty where it did not.

        Raises:
            CircuitOpen: It was not called.
        """
        if why := self.refusal():
            raise CircuitOpen(why)
        era = self._enter()
        try:
            result = await do()
        except Exception as error:
            self._report(era, "" if isinstance(error, CircuitOpen) else trouble(error), error)
            raise
        except BaseException:
            self._withdraw(era)
            raise
        self._report(era, trouble(result))
        return result

    def open(self, why: str, seconds: float) -> None:
        """Open it for a time: an earlier process saw the failures."""
        self.why, self._until, self._probing = why, self._clock.monotonic() + seconds, False

    def _enter(self) -> int:
        if self._until is not None:
            self._probing = True
            self._move("half-open", "one call is let through to see")
        return self._era

    def _report(self, era: int, trouble: str, error: Exception | None = None) -> None:
        if era != self._era:
            return
        if isinstance(error, CircuitOpen):
            self._withdraw(era)
        elif not trouble:
            if self._probing:
                self._failed.clear()
                self._until, self._probing, self.why = None, False, ""
                self._move("closed", "the call that was let through succeeded")
        elif self._probing:
            self._break(f"{self._subject} failed again ({trouble})")
        else:
            self._count(trouble)

    def _count(self, trouble: str) -> None:
        now = self._clock.monotonic()
        self._failed.append(now)
        if len(self._failed) == self._breaker.failures and now - self._failed[0] <= self._breaker.window:
            self._break(
                f"{self._subject} failed {self._breaker.failures} times within {self._breaker.window:g} seconds "
                f"(last: {trouble})"
            )

    def _break(self, why: str) -> None:
        self._failed.clear()
        self.open(why, self._breaker.pause)
        self._move("open", why)

    def _withdraw(self, era: int) -> None:
        """A probe that was cancelled says nothing: the next call is the probe."""
        if era == self._era:
            self._probing = False

    def _move(self, state: State, why: str) -> None:
        self._era += 1
        self._changed(state, why)
