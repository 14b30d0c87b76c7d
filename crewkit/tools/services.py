"""What stands between the calls of a run and the services behind its tools: places, circuits, answers kept."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from crewkit.core.clock import Clock, timestamp
from crewkit.core.events import Event
from crewkit.core.label import UNKNOWN, Label
from crewkit.core.messages import canonical, fingerprint
from crewkit.resilience.breaker import Breaker, Circuit, State
from crewkit.resilience.cache import Cache, Kept
from crewkit.resilience.places import OwnPlaces, Places
from crewkit.resilience.retry import retrying
from crewkit.resilience.throttle import Rate
from crewkit.tools.tool import Tool, ToolContext

T = TypeVar("T")
Data = dict[str, Any]


class Failing(Exception):
    """An attempt failed in a way that may pass. Raised by who makes attempts, and again when none is left."""

    def __init__(self, why: str, outcome: Any = None, *, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.outcome = outcome
        """What the attempt came to, for whoever made it."""
        self.retry_after = retry_after
        """Seconds that the service asks us to wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A result that is kept."""

    path: str
    """The call that it was the result of."""
    text: str
    """The whole of it."""
    label: Label = UNKNOWN


class Services:
    """The circuits and kept answers of one run. What depends on time here is recorded by whoever asks."""

    def __init__(
        self,
        clock: Clock,
        record: Callable[[str, Data], None] = lambda type, data: None,
        *,
        workflow: Breaker | None = None,
        places: Places | None = None,
    ) -> None:
        """Begin with every circuit closed and nothing kept.

        Args:
            clock: Tells the time.
            record: Records an event of the run: `breaker.changed`.
            workflow: The breaker over all tools of the run.
            places: The places at the tools, where runs share them.
        """
        self._places = places or OwnPlaces(clock)
        self._clock = clock
        self._record = record
        self._workflow = workflow
        self._circuits: dict[str, Circuit] = {}
        self._stood: dict[str, tuple[str, datetime]] = {}
        """Circuits that an earlier process left open: why, and until when."""
        self._cache: Cache[Answer] = Cache()

    def place(self, tool: Tool) -> AbstractAsyncContextManager[None]:
        """Wait for a place at a tool, where so many calls are made of it at once or in a time; hold it until left."""
        rate = tool.rate if isinstance(tool.rate, Rate) else None
        return self._places.at(f"tool {tool.name}", rate=rate, concurrency=tool.concurrency)

    # Circuits

    def refusal(self, tool: Tool) -> str:
        """Say why a tool is not called just now; empty where it is."""
        return next((why for circuit in self._over(tool) if (why := circuit.refusal())), "")

    async def call(
        self,
        tool: Tool,
        attempt: Callable[[], Awaitable[T]],
        told: Callable[[int, float, BaseException], None] = lambda attempt, seconds, error: None,
    ) -> T:
        """Make attempts at a call, as often as the tool says and its circuit lets them through.

        Args:
            tool: What is called.
            attempt: Makes one; raises `Failing` where it may pass.
            told: Called before each pause with the number of the next attempt, the seconds and the error.

        Raises:
            Failing: The last attempt's.
            CircuitOpen: Nothing was called, or nothing more.
        """

        async def once() -> T:
            do = attempt
            for circuit in reversed(self._over(tool)):
                do = _within(circuit, do)
            return await do()

        return await retrying(
            once,
            worth=lambda error: isinstance(error, Failing),
            retry=tool.retry,
            asked=lambda error: error.retry_after if isinstance(error, Failing) else None,
            told=told,
            clock=self._clock,
        )

    def _over(self, tool: Tool) -> list[Circuit]:
        """Return the circuits over a tool, its own first."""
        if tool.breaker is None:
            return []
        own = self._circuit(tool.name, tool.breaker, "it")
        return [own, self._circuit("", self._workflow, "the tools of this run")] if self._workflow else [own]

    def _circuit(self, name: str, breaker: Breaker, subject: str) -> Circuit:
        """Return the circuit of a tool, or by the empty name that of the run."""
        if name in self._circuits:
            return self._circuits[name]

        def changed(state: State, why: str) -> None:
            until = timestamp(self._clock.now() + timedelta(seconds=breaker.pause))
            opened = {"until": until} if state == "open" else {}
            self._record("breaker.changed", {"tool": name, "state": state, "why": why, **opened})

        circuit = self._circuits[name] = Circuit(breaker, self._clock, changed, subject=subject)
        if name in self._stood:
            why, until = self._stood[name]
            circuit.open(why, min((until - self._clock.now()).total_seconds(), breaker.pause))
        return circuit

    # Answers

    def key(self, tool: Tool, arguments: Data, context: ToolContext | None) -> str:
        """Return the key of a call's answer; empty where none is kept.

        It is made of the tool's definition, the arguments and, for a tool that sees its context, whose call it is.
        """
        if not tool.cache_ttl:
            return ""
        whose = (context.task, context.agent) if tool.context and context else ()
        return fingerprint(tool.definition, canonical(arguments), *whose)

    def kept(self, key: str, ttl: float | None = None) -> tuple[Answer, float] | None:
        """Return what is kept under a key and its age in seconds, where it is no older than `ttl` seconds."""
        now = self._clock.now()
        kept: Kept[Answer] | None = self._cache.get(key, now, ttl) if key else None
        return (kept.value, kept.age(now)) if kept else None

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer from now on."""
        if key:
            self._cache.put(key, answer, self._clock.now())

    # Resuming

    def restore(self, history: Iterable[Event]) -> None:
        """Know what an earlier process of this run knew: circuits that stood open, answers that were kept."""
        texts: dict[str, str] = {}
        for event in history:
            data = event.data
            if event.type == "breaker.changed":
                self._restore_circuit(data)
            elif event.type == "message.recorded" and data.get("role") == "tool":
                texts[data["id"]] = data["content"]
            elif event.type == "tool.finished" and data.get("keeps"):
                text = data.get("full") or texts.get(data.get("message", ""))
                if "output" in data:  # of a task that the tool did
                    text = json.dumps(data["output"])
                if text is not None:
                    answer = Answer(event.path, text, Label.from_data(data.get("label")))
                    self._cache.put(data["keeps"], answer, datetime.fromisoformat(event.ts))

    def _restore_circuit(self, data: Data) -> None:
        match data["state"]:
            case "open":
                self._stood[data["tool"]] = data["why"], datetime.fromisoformat(data["until"])
            case "closed":
                self._stood.pop(data["tool"], None)
            case _:
                pass  # a probe of which nobody knows how it ended: the next call is one


def _within(circuit: Circuit, do: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    async def through() -> T:
        return await circuit.through(do, _trouble)

    return through


def _trouble(ended: object) -> str:
    return str(ended) if isinstance(ended, Failing) else ""
