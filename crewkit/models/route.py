"""The model table: models under names of your own, chosen by what a task needs and by what is left to spend."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, cast

from crewkit.core.clock import Clock, SystemClock
from crewkit.errors import DefinitionError, ModelError, did_you_mean, expect, expect_number
from crewkit.models.base import Answer, Model, Request, Watch
from crewkit.models.prices import Prices
from crewkit.resilience.throttle import Rate

if TYPE_CHECKING:
    from crewkit.core.events import Event

Data = dict[str, Any]
Preference = Literal["listed", "cheap", "fast"]

KNOWN = frozenset({"tools", "json", "vision"})
"""Capabilities that litellm's list tells of."""

FAILING = 2
"""Calls that have to fail one after the other before a route is put last."""
RECOVERY = 60.0
"""Seconds after its last failure in which such a route stays last; then it is tried again."""


@dataclass(frozen=True)
class Route:
    """A model under a name of your own: `Crew(…, models={"cheap": Route("openai/gpt-5-mini")})`."""

    model: str | Model | Sequence[str | Model]
    """A litellm name, a model, or several to be tried in order."""
    _: KW_ONLY
    capabilities: Sequence[str] | None = None
    """What it can do: `tools`, `json`, `vision`, and words of your own, such as `strong`. `None`: what litellm's list
    says, or everything where it says nothing. Words of your own alone leave the known ones as listed."""
    context: int | None = None
    """Tokens that it can be sent. `None`: what litellm's list says, or no bound."""
    usd: tuple[float, float] | None = None
    """Price of a million input and a million output tokens. `None`: what litellm's list says."""
    latency: float | None = None
    """Seconds that an answer usually takes, for who prefers `fast`."""
    timeout: float = 120.0
    """Seconds for one attempt."""
    retries: int = 3
    """Further attempts after errors that may pass."""
    fallback: Sequence[str] = ()
    """Routes that are asked, in this order, where this one fails."""
    rate: Rate | str | None = None
    """Requests to its model in a time, for example `60/min`; more wait."""
    concurrency: int | None = None
    """Requests to its model at once; more wait."""

    def __post_init__(self) -> None:
        where = f"Route({self.model!r:.60})"
        check_model(self.model, where)
        if self.model is None or isinstance(self.model, Capable):  # pyright: ignore[reportUnnecessaryComparison,reportUnnecessaryIsInstance]
            raise DefinitionError(f"{where}: a route is a model's name, a model, or a list of them.")
        for name in ("capabilities", "fallback"):
            given = getattr(self, name)
            absent = given is None and name == "capabilities"
            if not absent and (isinstance(given, str | bytes | Mapping) or not isinstance(given, Collection)):
                raise DefinitionError(f"{where}: {name}={given!r:.60} is not a list: {name}=['strong'].")
        expect_number(where, "timeout", self.timeout, 0, above=True)
        expect_number(where, "retries", self.retries, 0, whole=True)
        if self.context is not None:
            expect_number(where, "context", self.context, 1)
        if self.latency is not None:
            expect_number(where, "latency", self.latency, 0)
        if self.concurrency is not None:
            expect_number(where, "concurrency", self.concurrency, 1, whole=True)
        if self.usd is not None:
            if not isinstance(self.usd, Sequence) or len(self.usd) != 2:  # pyright: ignore[reportUnnecessaryIsInstance,reportUnnecessaryComparison]
                raise DefinitionError(
                    f"{where}: usd={self.usd!r:.60} is not two prices, of a million tokens in and out: (0.25, 2)."
                )
            for price in self.usd:
                expect_number(where, "a price in usd", price, 0)
        if isinstance(self.rate, str):
            object.__setattr__(self, "rate", Rate.parse(self.rate, where))
        expect(where, "rate", self.rate, (Rate, NoneType), "a rate: rate='60/min'")


@dataclass(frozen=True)
class Capable:
    """What a model has to be able to do, in the place of a model's name: `Agent(…, model=Capable("strong"))`."""

    capabilities: tuple[str, ...] = ()
    context: int = 0
    """Tokens that it must be able to be sent."""
    prefer: Preference = "listed"
    """Which of those that can comes first: the first of the table, the cheapest, or the fastest."""

    def __init__(self, *capabilities: str, context: int = 0, prefer: Preference = "listed") -> None:
        if prefer not in ("listed", "cheap", "fast"):
            raise DefinitionError(f"Capable(prefer={prefer!r}): it is one of 'listed', 'cheap', 'fast'.")
        for word in capabilities:
            expect("Capable", "what it has to be able to do", word, str, "a word: Capable('tools')")
        expect_number("Capable", "context", context, 0, whole=True)
        object.__setattr__(self, "capabilities", capabilities)
        object.__setattr__(self, "context", context)
        object.__setattr__(self, "prefer", prefer)

    def __str__(self) -> str:
        words = [*self.capabilities, *([f"{self.context:,} tokens of context"] if self.context else [])]
        order = "" if self.prefer == "listed" else f", {self.prefer} first"
        return f"a model for {' and '.join(words) or 'anything'}{order}"

    def to_data(self) -> Data:
        """Return it as JSON data."""
        return {"capable": list(self.capabilities), "context": self.context, "prefer": self.prefer}


ModelSpec = str | Model | Capable | Sequence[str | Model] | None
"""A model's name, a model, several to be tried in order, or what it has to be able to do. `None`: the next level
decides."""


@dataclass(frozen=True)
class Candidate:
    """A route whose model is made."""

    name: str
    model: Model
    capabilities: frozenset[str] | None
    """`None`: nothing is known, so it is taken to know everything but words of your own."""
    words: frozenset[str]
    context: int | None
    usd: tuple[float, float] | None
    latency: float | None
    timeout: float

    def lacks(self, needed: Iterable[str], tokens: int) -> str:
        """Say what it cannot do of what is needed; empty where it can all."""
        known = KNOWN if self.capabilities is None else self.capabilities
        missing = [word for word in needed if word not in known | self.words]
        if missing:
            return f"it is not known for {' and '.join(missing)}"
        if self.context is not None and tokens > self.context:
            return f"{tokens:,} tokens do not fit into its {self.context:,}"
        return ""

    def place(self, prefer: Preference) -> float:
        """Return what candidates are sorted by; what is not known comes last."""
        value = {"listed": 0.0, "cheap": self.price(3_000, 1_000), "fast": self.latency}[prefer]
        return math.inf if value is None else value

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of this size costs in usd, `None` where the price is unknown."""
        if self.usd is None:
            return self.model.price(input_tokens, output_tokens)
        return (input_tokens * self.usd[0] + output_tokens * self.usd[1]) / 1_000_000


@dataclass(frozen=True)
class Choice:
    """Which routes are asked for one request, in this order, and why."""

    routed: Routed
    order: tuple[Candidate, ...]
    why: tuple[Data, ...]
    """[{route, why}] of those that were put last or left out, and of the first."""

    @property
    def name(self) -> str:
        """The name of the route that is asked first."""
        return self.order[0].name

    def to_data(self) -> Data:
        """Return it as the journal's `route`."""
        return {
            "asked": self.routed.name,
            "order": [each.name for each in self.order],
            "model": self.order[0].model.name,
            "considered": list(self.why),
        }

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what the first takes for a call of this size."""
        return self.order[0].price(input_tokens, output_tokens)

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Ask the routes in their order until one answers.

        Raises:
            ModelError: None did; the message lists why.
        """
        return await self.routed.ask(self.order, request, watch)


class Health:
    """Which routes fail again and again: what this process saw, on top of what the journal tells."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.failures: dict[str, int] = {}
        """Route to the failures since it last answered."""
        self._clock = clock or SystemClock()
        self._last: dict[str, datetime] = {}

    def learn(self, events: Iterable[Event]) -> None:
        """Take in what a journal tells of earlier calls."""
        for event in events:
            route = str(event.data.get("route") or "")
            if route and event.type == "retry.scheduled":
                self.failed(route, datetime.fromisoformat(event.ts))
            elif route and event.type == "model.finished":
                self.answered(route)

    def failed(self, route: str, at: datetime | None = None) -> None:
        """Count a call that gave no answer, now or at some time."""
        self.failures[route] = self.failures.get(route, 0) + 1
        self._last[route] = at or self._clock.now()

    def answered(self, route: str) -> None:
        """Forget earlier failures."""
        self.failures.pop(route, None)

    def failing(self, route: str) -> bool:
        """Say whether it keeps failing, and did so not long ago."""
        if self.failures.get(route, 0) < FAILING:
            return False
        return (self._clock.now() - self._last[route]).total_seconds() < RECOVERY


class Routed:
    """A model that is one of several routes, chosen for each request."""

    def __init__(
        self, name: str, need: Capable, candidates: Sequence[Candidate], health: Health | None = None
    ) -> None:
        self.name = name
        """The route's name, or what is needed in words."""
        self.need = need
        self.candidates = tuple(candidates)
        self.health = health or Health()

    def choose(self, request: Request, tokens: int, left: float | None) -> Choice:
        """Settle which routes are asked for a request.

        Args:
            request: What is asked.
            tokens: About how many tokens it has.
            left: Money that may still be spent, in usd; `None`: no cap.
        """
        needed = [*self.need.capabilities]
        needed += ["tools"] if request.tools else []
        room = max(tokens + request.max_tokens, self.need.context)
        able: list[Candidate] = []
        last: list[Candidate] = []
        why: list[Data] = []
        for each in self.candidates:
            cost = each.price(tokens, request.max_tokens)
            if missing := each.lacks(needed, room):
                why.append({"route": each.name, "why": f"left out: {missing}"})
            elif left is not None and cost is not None and cost > left:
                why.append(
                    {"route": each.name, "why": f"last: it may cost {cost:.4f} of {left:.4f} usd left"}
                )
                last.append(each)
            elif self.health.failing(each.name):
                why.append({"route": each.name, "why": f"last: {self.health.failures[each.name]} failures"})
                last.append(each)
            else:
                able.append(each)
        order = [*able, *last] or [*self.candidates]
        why.append({"route": order[0].name, "why": f"first: {self._reason(order[0], able)}"})
        return Choice(self, tuple(order), tuple(why))

    def again(self, recorded: Mapping[str, Any]) -> Choice | None:
        """Return a choice that was made earlier, where its routes are still there."""
        by_name = {each.name: each for each in self.candidates}
        names: list[str] = list(recorded.get("order") or ())
        if not names or any(name not in by_name for name in names):
            return None
        return Choice(self, tuple(by_name[name] for name in names), tuple(recorded.get("considered") or ()))

    async def ask(self, order: Sequence[Candidate], request: Request, watch: Watch) -> Answer:
        """Ask routes in order until one answers; each that fails is told as the event `retry.scheduled`."""
        errors: list[ModelError] = []
        for place, each in enumerate(order, 1):
            try:
                answer = await each.model.answer(_within(request, each), watch)
            except ModelError as error:
                self.health.failed(each.name)
                errors.append(error)
                if place < len(order):
                    why = f"{error} Asking '{order[place].name}' instead."
                    data = {"attempt": place + 1, "seconds": 0.0, "why": why, "route": each.name}
                    watch.event("retry.scheduled", data)
                continue
            self.health.answered(each.name)
            return _signed(answer, each)
        if len(errors) == 1:
            raise errors[0]
        causes = "\n".join(f"- {error}" for error in errors)
        raise ModelError(
            f"None of the {len(errors)} models of {self.name} answered:\n{causes}",
            retryable=any(error.retryable for error in errors),
        ) from errors[-1]

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Answer one request by whichever route fits it, whatever is left to spend."""
        return await self.choose(request, 0, None).answer(request, watch)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what the dearest takes for a call of this size in usd, `None` where one price is unknown."""
        prices = [each.price(input_tokens, output_tokens) for each in self.candidates]
        known = [price for price in prices if price is not None]
        return max(known) if len(known) == len(prices) else None

    def _reason(self, first: Candidate, able: Sequence[Candidate]) -> str:
        if first not in able:
            return "no other is left"
        if len(self.candidates) == 1:
            return "the only one"
        order = {"listed": "the first of the table", "cheap": "the cheapest", "fast": "the fastest"}
        return f"{order[self.need.prefer]} that can" if self.need.capabilities else order[self.need.prefer]


class Table:
    """The routes of a crew, with their models made as they are asked for, each once."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        make: Callable[[Route], Model],
        prices: Prices,
        health: Health | None = None,
    ) -> None:
        self._routes = routes
        self._make = make
        self._prices = prices
        self._health = health or Health()
        self._made: dict[str, Candidate] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._routes

    def named(self, *names: str) -> Routed:
        """Return the model that the names of routes mean: theirs in this order, then their fallbacks'."""
        return Routed(",".join(names), Capable(), self._with_fallbacks(names), self._health)

    def needed(self, need: Capable) -> Routed:
        """Return the model that a need means: all routes that can, in the order that it prefers.

        Raises:
            DefinitionError: No route can; the message says what each lacks.
        """
        lacking = {
            name: each.lacks(need.capabilities, need.context)
            for name in self._routes
            if (each := self._candidate(name))
        }
        able = [self._candidate(name) for name, lacks in lacking.items() if not lacks]
        if not able:
            said = "; ".join(f"{name}: {lacks}" for name, lacks in lacking.items())
            raise DefinitionError(
                f"No route of the model table is {need}. {said or 'The table is empty: Crew(models={…})'}."
            )
        names = [each.name for each in sorted(able, key=lambda each: each.place(need.prefer))]
        return Routed(str(need), need, self._with_fallbacks(names), self._health)

    def _with_fallbacks(self, names: Sequence[str]) -> list[Candidate]:
        found: dict[str, None] = {}
        queue = list(names)
        while queue:
            name = queue.pop(0)
            if name not in found:
                found[name] = None
                queue += self._routes[name].fallback
        return [self._candidate(name) for name in found]

    def _candidate(self, name: str) -> Candidate:
        if name not in self._made:
            route = self._routes[name]
            model = self._make(route)
            given = set(route.capabilities or ())
            listed = self._prices.capabilities(model.name)
            self._made[name] = Candidate(
                name,
                model,
                frozenset(given & KNOWN) or listed,
                frozenset({*(given - KNOWN), name}),
                route.context or self._prices.context_window(model.name),
                route.usd,
                route.latency,
                route.timeout,
            )
        return self._made[name]


def check_model(value: object, where: str) -> None:
    """Refuse what is no `ModelSpec`.

    Raises:
        DefinitionError: Neither a name, a model, a list of these, nor `Capable`.
    """
    if value is None or isinstance(value, Capable):
        return
    several = (
        cast("Sequence[object]", value)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes)
        else [value]
    )
    if not several or not all(
        isinstance(each, str) or callable(getattr(each, "answer", None)) for each in several
    ):
        raise DefinitionError(
            f"{where}: model={value!r:.60} is not a model's name, a list of names, Capable(…) or a model object."
        )


def check_routes(routes: Mapping[str, Route], where: str) -> None:
    """Refuse a table that cannot work.

    Raises:
        DefinitionError: A name that could be a model's own, something that is no route, a fallback that is not there.
    """
    for name, route in routes.items():
        if not isinstance(route, Route):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"{where}: models['{name}'] is {route!r:.60}, not a Route: Route('openai/gpt-5-mini')."
            )
        if not name or "/" in name or "," in name or name == "offline":
            raise DefinitionError(f"{where}: '{name}' cannot be a route's name: leave out '/' and ','.")
        for fallback in route.fallback:
            if fallback not in routes:
                raise DefinitionError(
                    f"{where}: the route '{name}' falls back on '{fallback}', which is not in the table."
                    f"{did_you_mean(str(fallback), routes)} Routes: {', '.join(routes)}."
                )


def _within(request: Request, route: Candidate) -> Request:
    return request if request.timeout == route.timeout else replace(request, timeout=route.timeout)


def _signed(answer: Answer, route: Candidate) -> Answer:
    """Say in an answer which route gave it, at the route's own price."""
    if route.usd is None:
        return replace(answer, route=route.name)
    usd = route.price(answer.usage.input_tokens, answer.usage.output_tokens)
    return replace(answer, route=route.name, usd=usd)
