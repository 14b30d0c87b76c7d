"""The task: what is to be done, by whom, after what, and when it is good enough."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, get_args

from typing_extensions import TypeVar

from crewkit.agents.agent import Agent
from crewkit.checks.scope import Scope
from crewkit.coordinator.graph import AnyOf, Need
from crewkit.core.guardrails import NONE, Guardrail, Guardrails, as_guardrails
from crewkit.core.limits import Limits
from crewkit.core.verdict import Ask, Verdict
from crewkit.errors import DefinitionError, expect, expect_number
from crewkit.models.base import Model
from crewkit.models.route import Capable, ModelSpec, check_model
from crewkit.tools.tool import Tool, as_tools

if TYPE_CHECKING:
    from crewkit.crew.conversation import Conversation
    from crewkit.crew.crew import Crew
    from crewkit.crew.planner import Planner
    from crewkit.crew.resolve import Resolve

T = TypeVar("T", default=str)
V = TypeVar("V")

When = str | Callable[..., bool | str | Verdict | Awaitable[bool | str | Verdict]]
"""Says whether a task is done at all. A text, or a function whose parameters are filled by name from the inputs and
from what the task needs; it returns a bool, or a sentence why not."""

Until = str | Callable[..., Verdict | bool | str | Awaitable[Verdict | bool | str | None] | None]
"""Looks at a task's output as a guardrail does; further parameters are filled by name. `None`, `True` or `Allow()`:
good. A sentence, `False` or `Revise(...)`: do it once more, for this reason. `Deny(...)`: the task fails. `Ask(...)`:
a person decides. A text is a condition, in which the output goes by the task's own name."""

WaitFor = str | timedelta | datetime | Callable[..., Any]
"""What a task waits for: an external event by its name, or a time. A function, whose parameters are filled by name,
returns the time."""

OnFailure = Literal["fail", "skip", "continue"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_EVENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Alternatives:
    """One need that several tasks can meet. Made by `any_of`."""

    tasks: tuple[Task[Any] | str, ...]

    def joined(self) -> AnyOf:
        """Return it as the graph knows it."""
        return AnyOf(_names(self.tasks))


def any_of(*tasks: Task[Any] | str) -> Alternatives:
    """Need any of several tasks: `needs=[any_of(brief_answer, long_answer)]`.

    Met when all of them are settled and at least one completed; the others read as `None`. Where none completed,
    the task is skipped.
    """
    return Alternatives(tasks)


@dataclass(frozen=True, eq=False)
class Task(Generic[T]):
    """Something to be done once in a run.

    `agent` does it, or `do`: a plain function, a tool or a whole crew. A function's parameters, and a crew's
    inputs, are filled by name from the inputs of the crew and from the outputs of `needs`.
    """

    name: str
    """Letters, digits, `_` and `-`; the name under which others need it."""
    description: str = ""
    """What to do. `{topic}` stands for the input `topic`, `{{topic}}` for itself; other braces stay as they are."""
    expected_output: str = ""
    """What the result should look like, for the agent."""
    agent: Agent | None = None
    """Who does it. Left out: the coordinator chooses among the crew's agents."""
    _: KW_ONLY
    needs: Sequence[Task[Any] | str | Alternatives] = ()
    """Tasks that must be finished first; their outputs are put before the agent. `any_of(…)` needs one of several."""
    context: Sequence[Task[Any] | str] | None = None
    """Which earlier outputs are put before the agent, where it is not simply those of `needs`."""
    when: When | None = None
    """A condition on the inputs and on what it needs: `when="classify.confidence < 0.9"`, or a function of them.
    Where it does not hold, the task is skipped, and what depends on it with it."""
    routes: Sequence[Task[Any] | str] | Mapping[Task[Any] | str, str] = ()
    """It chooses which one of these tasks is done: its output is the name of one, or a record whose field `route` is. A
    mapping to conditions chooses the first that holds, `"else"` last, and nobody does the task."""
    output_type: type[T] = cast("type[T]", str)  # noqa: RUF009  to type checkers, what is left out is `str`
    """The type of the output: `str`, a pydantic model, a dataclass, `list[str]`, …"""
    guardrails: Guardrails | Sequence[Guardrail] = NONE
    """Over what is done for it; a plain list is for its output. They are asked in order, and the first objection sends
    an agent's output back."""
    requires_tools: Sequence[Tool | str] = ()
    """Tools that its agent has to call successfully: one that only claims so is told once, then not accepted."""
    fallback: Sequence[str | Model | Capable | Agent | Ask] = ()
    """Who tries, one after the other, when an agent's work is not accepted or cannot be done: another model, another
    agent, or a person, `Ask("Is this good enough?")`."""
    tools: Sequence[Tool] = ()
    """Granted for this task alone, on top of the agent's."""
    scope: Scope | None = None
    """Narrows what the agent may do in this task."""
    model: ModelSpec = None
    """Goes before the agent's."""
    do: (
        Callable[..., Awaitable[T]] | Callable[..., T] | Tool | Crew | Conversation | Planner | Resolve | None
    ) = None
    """Who does it where that is not one agent: a plain function, a tool, a crew, a `Conversation(…)`, a
    `Planner(…)`; or `Resolve(…)`, which says whose result counts of those that it needs."""
    wait_for: WaitFor | None = None
    """Instead of being done by anyone, the task waits: for an external event (`wait_for="contract_signed"`; its data is
    the output), for so long (a `timedelta`), or until a time (a `datetime`, or a function that returns one)."""
    deadline: timedelta | float | None = None
    """The longest wait for a person or an event, in seconds where it is a number, counted from when the wait began and
    over restarts. A question that nobody answers by then counts as denied; an event that does not come fails the task.
    Questions have 7 days where nothing is said."""
    until: Until | None = None
    """The task is done again until this is content: `until="review.accepted"`. Who does it is told the version before
    and the reason: an agent in its assignment, a function or a crew as `previous` and `reason` where it takes them."""
    for_each: Task[Any] | str | None = None
    """The task is done for each item of a list that is known only at run time: of an earlier task, of an input, or of
    what is in one of them (`"plan.chapters"`). Who does it is told the item as `item`: an agent in its assignment and
    as `{item}`, a function or a crew where it takes it. What stands here of outputs and checks is said of one item;
    the task comes to the list of what its items came to, in their order."""
    concurrency: int = 10
    """Items under way at once, at most."""
    min_success: float | None = None
    """How many items have to succeed: a number of them (`int`), or a share (`0.9`). Those that fail are then left out,
    and what depends on it is told so. Left out: all. As soon as too many failed, nothing more is begun."""
    iterations: int = 5
    """How often a task with `until` is done at most. Then its last version counts, and says what is wrong with it."""
    on_failure: OnFailure = "fail"
    """`fail`: the run fails, and what depends on this is not done. `skip`: what depends on it is skipped, the run
    may still succeed. `continue`: what depends on it goes on without its output (`None` to a function), also where
    this was skipped."""
    human_input: bool | str = False
    """A person approves the output before it counts; a text is the question they are asked."""
    timeout: float | None = None
    """Seconds of active time."""
    revisions: int = 3
    """How many times an output is sent back before the task fails."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        where = f"Task '{self.name}'"
        expect("Task", "name", self.name, str, "a text")
        expect(where, "description", self.description, str, "a text")
        expect(where, "expected_output", self.expected_output, str, "a text")
        expect(where, "scope", self.scope, (Scope, NoneType), "a Scope: scope=Scope('search')")
        expect(where, "limits", self.limits, Limits, "a Limits: limits=Limits(steps=5)")
        if self.agent is not None:
            expect(where, "agent", self.agent, Agent, "an Agent: agent=Agent('Writer', 'Write plainly.')")
        check_model(self.model, where)
        expect(where, "human_input", self.human_input, (bool, str), "True, False or a question")
        expect(where, "revisions", self.revisions, int, "a number")
        expect(where, "iterations", self.iterations, int, "a number")
        if self.iterations < 1:
            raise DefinitionError(
                f"{where}: iterations={self.iterations!r} is below 1. It is done once at least."
            )
        if not _NAME.fullmatch(self.name):
            raise DefinitionError(
                f"{where}: a name is letters, digits, '_' and '-', and starts with a letter."
            )
        if self.on_failure not in get_args(OnFailure):
            raise DefinitionError(
                f"{where}: on_failure={self.on_failure!r} is not 'fail', 'skip' or 'continue'."
            )
        if self.timeout is not None and not _is_above_0(self.timeout):
            raise DefinitionError(f"{where}: timeout={self.timeout!r} is not a number of seconds above 0.")
        if self.revisions < 0:
            raise DefinitionError(
                f"{where}: revisions={self.revisions!r} is below 0. Say how many times an output may be sent back."
            )
        self._check_waits(where)
        self._check_map(where)
        if self.agent is not None and self.do is not None:
            raise DefinitionError(f"{where} has an agent and a function (`do`). Keep one: who does it?")
        chooses = self.do is not None or isinstance(self.routes, Mapping)
        if not chooses and self.wait_for is None and not self.description.strip():
            raise DefinitionError(
                f"{where} has no description. Say what is to be done, or give it a function: do=…"
            )
        self._check_lists(where)

    def _check_map(self, where: str) -> None:
        each, least = self.for_each, self.min_success
        if each is not None and not isinstance(each, Task | str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"{where}: for_each={each!r:.60} is neither a task nor a name. A list that is known now is the default "
                f"of an input: Crew(…, inputs={{'rows': Input(type=list, default=[…])}}), for_each='rows'."
            )
        if each is not None and self.wait_for is not None:
            raise DefinitionError(
                f"{where} waits (`wait_for`), which is not done for each of a list. Put it into a crew: do=Crew([…])."
            )
        if each is None and least is not None:
            raise DefinitionError(
                f"{where}: min_success={least!r} is for a task that is done for each of a list."
            )
        expect_number(where, "concurrency", self.concurrency, 1, whole=True)
        number = isinstance(least, int | float) and not isinstance(least, bool)
        if least is not None and (not number or least < 0 or (isinstance(least, float) and not least <= 1)):
            raise DefinitionError(
                f"{where}: min_success={least!r} is neither a number of items nor a share of them, 0.0 to 1.0."
            )

    def _check_waits(self, where: str) -> None:
        deadline, wanted = self.deadline, self.wait_for
        seconds = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
        if seconds is not None and not _is_above_0(seconds):
            raise DefinitionError(
                f"{where}: deadline={deadline!r} is neither a timedelta nor a number of seconds above 0."
            )
        if wanted is None:
            return
        if self.agent is not None or self.do is not None or self.tools or self.model:
            raise DefinitionError(
                f"{where} waits (`wait_for`), so nobody does it: leave out agent, do, tools and model."
            )
        if isinstance(wanted, str) and not _EVENT.fullmatch(wanted):
            raise DefinitionError(
                f"{where}: wait_for={wanted!r} is no name of an event: letters, digits, '_', '-' and '.', 100 at most."
            )
        if isinstance(wanted, datetime) and wanted.tzinfo is None:
            raise DefinitionError(
                f"{where}: wait_for={wanted!r} has no timezone. Say which: datetime(…, tzinfo=UTC)."
            )
        if not isinstance(wanted, str | timedelta | datetime) and not callable(wanted):
            raise DefinitionError(
                f"{where}: wait_for={wanted!r:.60} is not the name of an event, a timedelta, a datetime or a function."
            )
        if not isinstance(wanted, str) and deadline is not None:
            raise DefinitionError(f"{where} waits for a time, which comes: it needs no deadline.")

    @property
    def longest_wait(self) -> float | None:
        """The deadline in seconds."""
        return self.deadline.total_seconds() if isinstance(self.deadline, timedelta) else self.deadline

    def _check_lists(self, where: str) -> None:
        object.__setattr__(self, "tools", as_tools(self.tools, where))
        object.__setattr__(self, "needs", _sequence(self.needs, where, "needs"))
        object.__setattr__(self, "guardrails", as_guardrails(self.guardrails, where))
        object.__setattr__(self, "fallback", _sequence(self.fallback, where, "fallback"))
        required = _sequence(self.requires_tools, where, "requires_tools")
        names = tuple(tool.name if isinstance(tool, Tool) else tool for tool in required)
        object.__setattr__(self, "requires_tools", names)
        object.__setattr__(self, "routes", _routes(self.routes, where))
        if self.context is not None:
            object.__setattr__(self, "context", _sequence(self.context, where, "context"))
        for need in (*self.alternatives(), *(self.context or ())):
            if not isinstance(need, Task | str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(
                    f"{where} needs {need!r:.60}, which is neither a task nor the name of one."
                )
        if any(isinstance(need, Alternatives) and not need.tasks for need in self.needs):
            raise DefinitionError(f"{where} needs any_of() of nothing. Name the tasks: any_of(one, other).")

    @property
    def question(self) -> str:
        """What a person is asked about the output; empty where nobody is."""
        asked = self.human_input
        return asked if isinstance(asked, str) else "Is this result good?" if asked else ""

    def alternatives(self) -> Iterator[Task[Any] | str]:
        """Yield the tasks that it needs, alternatives one by one."""
        for need in self.needs:
            if isinstance(need, Alternatives):
                yield from need.tasks
            else:
                yield need

    def joins(self) -> tuple[Need, ...]:
        """Return what must be finished first, as the graph knows it."""
        return tuple(
            need.joined() if isinstance(need, Alternatives) else need if isinstance(need, str) else need.name
            for need in self.needs
        )

    def context_names(self) -> tuple[str, ...]:
        """Return the names of the tasks whose outputs are put before the agent."""
        return _names(self.alternatives() if self.context is None else self.context)


def _is_above_0(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf


def _names(tasks: Iterable[Task[Any] | str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task if isinstance(task, str) else task.name for task in tasks))


def _routes(given: Any, where: str) -> tuple[str, ...] | dict[str, str]:
    """Return routes by name."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise DefinitionError(f"{where}: routes={given!r} is not a list of tasks. Write routes=[one, other].")
    known = list(cast("Iterable[Any]", given))
    if wrong := [each for each in known if not isinstance(each, Task | str)]:
        raise DefinitionError(f"{where}: {wrong[0]!r:.60} is no route: name tasks, routes=[one, other].")
    names = _names(known)
    if not isinstance(given, Mapping):
        return names
    texts = list(cast("Mapping[Any, Any]", given).values())
    if wrong := [each for each in texts if not isinstance(each, str)]:
        raise DefinitionError(f"{where}: {wrong[0]!r:.60} is no condition of a route. Write it as a text.")
    return dict(zip(names, texts, strict=True))


def _sequence(value: Sequence[V], where: str, field: str) -> tuple[V, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where}: {field}={value!r} is not a list. Write {field}=[…].")
    return tuple(value)
