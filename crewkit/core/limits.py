"""Caps on what a run, a task or an agent may use, and the meter that holds them.

What a call may use at most (its prompt and its longest possible answer) is reserved before it is sent and settled
when the answer is there, so that calls in parallel cannot overrun a cap together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from crewkit.errors import DefinitionError, LimitExceeded


class Unset(Enum):
    """The value of a cap that was left out."""

    DEFAULT = "default"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT = Unset.DEFAULT


@dataclass(frozen=True)
class Limits:
    """Caps on a crew, a task or an agent. Left out: the level's default. `None`: no cap, said on purpose."""

    tokens: int | Unset | None = DEFAULT
    """Input and output tokens of all model calls. A crew's default is 200,000."""
    usd: float | Unset | None = DEFAULT
    """Money for model calls, from the price list. No cap by default."""
    seconds: float | Unset | None = DEFAULT
    """Active time; waiting for a person does not count. A crew's default is 1,800."""
    steps: int | Unset | None = DEFAULT
    """Model turns. A task's default is 25."""
    rounds: int | Unset | None = DEFAULT
    """Questions and answers in one thread between agents. A crew's default is 8."""
    depth: int | Unset | None = DEFAULT
    """Crews within crews, and questions within questions. A crew's default is 3."""
    questions: int | Unset | None = DEFAULT
    """Calls that a person is asked about; what would need more is refused, and the agent is told. A task's default is
    20, a crew's 200."""

    def __post_init__(self) -> None:
        for name, cap in self.caps().items():
            if cap is None:
                continue
            if isinstance(cap, bool) or not isinstance(cap, int | float) or not cap > 0:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(
                    f"Limits({name}={cap!r}): a cap is a number above 0, or None for no cap."
                )

    def caps(self) -> dict[str, float | None]:
        """Return the caps that were given, by name."""
        return {name: cap for name, cap in vars(self).items() if cap is not DEFAULT}

    def over(self, defaults: Limits) -> Limits:
        """Return these limits with what was left out taken from `defaults`."""
        return Limits(**{**defaults.caps(), **self.caps()})  # pyright: ignore[reportArgumentType]

    def cap(self, name: str) -> float | None:
        """Return one cap; `None` where there is none or it was left out."""
        cap = getattr(self, name)
        return None if cap is DEFAULT else cap


CREW_LIMITS = Limits(tokens=200_000, usd=None, seconds=1_800, steps=None, rounds=8, depth=3, questions=200)
TASK_LIMITS = Limits(tokens=None, usd=None, seconds=None, steps=25, rounds=None, depth=None, questions=20)
AGENT_LIMITS = Limits(
    tokens=None, usd=None, seconds=None, steps=None, rounds=None, depth=None, questions=None
)


_DIGITS = 9
"""Of usd: what sums of floats are off by is no money."""


class Gate(Protocol):
    """Lets one process at a time reserve, where several carry one run on."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Let no other process reserve until left. What others reserved and used is counted on entry."""
        ...

    async def change(self) -> None:
        """Wait until another process may have settled something."""
        ...


@dataclass(slots=True)
class Reservation:
    """What one call may use at most, held until it is settled."""

    tokens: int
    usd: float
    gate: AsyncExitStack = field(default_factory=AsyncExitStack, compare=False, repr=False)

    async def told(self) -> None:
        """Let other processes reserve: what this one holds is recorded. Does nothing the second time."""
        await self.gate.aclose()


@dataclass(slots=True, eq=False)
class Charge:
    """A call that this process did not make, on each meter that it concerns once."""

    task: str
    """The task's path."""
    agent: str
    tokens: int
    usd: float | None
    """What it used; what was reserved for it where it did not end, or has not yet."""
    seconds: float = 0.0
    open: bool = False
    """It may still end."""
    _meters: set[Meter] = field(default_factory=set["Meter"])

    def on(self, *meters: Meter) -> None:
        """Count it on these meters and all their parents."""
        for meter in meters:
            for each in meter.lineage:
                if each not in self._meters:
                    self._meters.add(each)
                    each.charge(self)

    def settle(self, tokens: int, usd: float | None, seconds: float = 0.0) -> None:
        """Replace what was reserved by what was used."""
        for meter in self._meters:
            meter.discharge(self)
        self.tokens, self.usd, self.seconds, self.open = tokens, usd, seconds, False
        for meter in self._meters:
            meter.charge(self, begun=False)

    def drop(self) -> None:
        """Count it no longer."""
        for meter in self._meters:
            meter.discharge(self)
            meter.steps -= 1


class Meter:
    """What one crew, task or agent has used and holds reserved, under its caps and those of its parents."""

    def __init__(
        self, level: str, limits: Limits, parents: tuple[Meter, ...] = (), *, gate: Gate | None = None
    ) -> None:
        self.level = level
        """As it is named in messages: `the run`, `Task 'draft'`, `Agent 'Editor'`."""
        self.tokens = 0
        self.usd = 0.0
        self.unpriced = False
        """Some call's price is unknown, so `usd` is less than what was spent."""
        self.steps = 0
        self.seconds = 0.0
        self._caps = limits.caps()
        self._reserved_tokens = 0
        self._reserved_usd = 0.0
        self._in_flight = 0
        self.lineage: tuple[Meter, ...] = tuple(
            dict.fromkeys((self, *(m for p in parents for m in p.lineage)))
        )
        """This meter and all above it."""
        self._gate = gate or next((p._gate for p in parents if p._gate), None)
        self._waiters: list[asyncio.Future[None]] = []

    async def reserve(self, tokens: int, usd: float | None) -> Reservation:
        """Hold what a call may use at most, here and in all parents; wait while something in flight may free it.

        Raises:
            LimitExceeded: It does not fit and nothing in flight can make it fit.
        """
        held = Reservation(tokens, usd or 0.0)
        if self._gate is not None:
            await self._reserve_among(self._gate, held)
        while (blocked := self._blocked(held)) is not None:
            waiter = asyncio.get_running_loop().create_future()
            blocked._waiters.append(waiter)
            await waiter
        for meter in self.lineage:
            meter._hold(held.tokens, held.usd)
            meter.steps += 1
        return held

    async def _reserve_among(self, gate: Gate, held: Reservation) -> None:
        """Wait until it fits, whatever other processes reserve; nobody else does until `held.told()`."""
        while True:
            async with AsyncExitStack() as alone:
                await alone.enter_async_context(gate.alone())
                if self._blocked(held) is None:
                    held.gate = alone.pop_all()
                    return
            await gate.change()

    def settle(self, held: Reservation, tokens: int, usd: float | None, seconds: float = 0.0) -> None:
        """Replace a reservation by what was used."""
        for meter in self.lineage:
            meter._free(held.tokens, held.usd)
            meter._add(tokens, usd, seconds)
            meter._wake()

    def charge(self, call: Charge, *, begun: bool = True) -> None:
        """Count a call of another process, here alone; see `Charge.on`."""
        self.steps += begun
        if call.open:
            self._hold(call.tokens, call.usd or 0.0)
        else:
            self._add(call.tokens, call.usd, call.seconds)

    def discharge(self, call: Charge) -> None:
        """Take back what is reserved for a call of another process."""
        if call.open:
            self._free(call.tokens, call.usd or 0.0)

    def under(self, level: str) -> bool:
        """Say whether a cap of this level stops this meter too: it is its own or a parent's."""
        return any(meter.level == level for meter in self.lineage)

    def left(self) -> dict[str, float | None]:
        """Return what is left of tokens, usd, steps and seconds under the tightest cap; `None`: no cap."""
        return {name: self._left(name) for name in ("tokens", "usd", "steps", "seconds")}

    def used(self) -> dict[str, Any]:
        """Return what was used, as the journal's `usage`."""
        usd = None if self.unpriced else round(self.usd, 8)
        return {"tokens": self.tokens, "usd": usd, "steps": self.steps, "seconds": round(self.seconds, 3)}

    def _hold(self, tokens: int, usd: float) -> None:
        self._reserved_tokens += tokens
        self._reserved_usd += usd
        self._in_flight += 1

    def _free(self, tokens: int, usd: float) -> None:
        self._reserved_tokens -= tokens
        self._in_flight -= 1
        self._reserved_usd = self._reserved_usd - usd if self._in_flight else 0.0

    def _add(self, tokens: int, usd: float | None, seconds: float) -> None:
        self.tokens += tokens
        self.usd += usd or 0.0
        self.unpriced = self.unpriced or usd is None
        self.seconds += seconds

    def _left(self, name: str) -> float | None:
        rooms = [cap - getattr(m, name) for m in self.lineage if (cap := m._caps.get(name)) is not None]
        return round(max(min(rooms), 0), 8) if rooms else None

    def _blocked(self, held: Reservation) -> Meter | None:
        """Return the meter whose calls in flight must settle first; raise where waiting cannot help."""
        for meter in self.lineage:
            for name, needed, used, reserved in meter._demands(held):
                cap = meter._caps.get(name)
                if cap is None or round(used + reserved + needed, _DIGITS) <= cap:
                    continue
                if round(used + needed, _DIGITS) > cap:
                    raise meter._exceeded(name, needed, used, cap)
                return meter
        return None

    def _demands(self, held: Reservation) -> Iterator[tuple[str, float, float, float]]:
        yield "steps", 1, self.steps, 0
        yield "seconds", 0, self.seconds, 0
        yield "tokens", held.tokens, self.tokens, self._reserved_tokens
        yield "usd", held.usd, self.usd, self._reserved_usd

    def _exceeded(self, name: str, needed: float, used: float, cap: float) -> LimitExceeded:
        needs = f", and the next call may need {needed:,.6g}" if name in ("tokens", "usd") else ""
        message = f"{self.level}: {used:,.6g} of {cap:,.6g} {name} used{needs}."
        return LimitExceeded(message, limit=name, level=self.level)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
