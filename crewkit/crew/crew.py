"""The crew: tasks, the agents who do them, limits and inputs. A definition; `run` is the door to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.checks.scope import Scope
from crewkit.core.events import Event
from crewkit.core.guardrails import NONE, Guardrail, Guardrails, as_guardrails
from crewkit.core.limits import Limits
from crewkit.crew.task import Task
from crewkit.errors import InputError, expect
from crewkit.models.route import ModelSpec, Route, check_model, check_routes
from crewkit.notify.base import Notifier
from crewkit.notify.places import check_places
from crewkit.resilience.breaker import Breaker

if TYPE_CHECKING:
    from crewkit.crew.compile import Plan
    from crewkit.crew.options import Options
    from crewkit.crew.result import Result


WORKFLOW = Breaker(failures=20)
"""The breaker of a run whose crew has no other."""


class Required(Enum):
    """The default of an input that has none."""

    REQUIRED = "required"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True)
class Input:
    """Something a crew has to be told before it runs."""

    description: str = ""
    _: KW_ONLY
    type: Any = str
    """The type of the value; what is given is checked against it."""
    default: Any = REQUIRED


@dataclass(frozen=True, eq=False)
class Crew:
    """Tasks and the agents who do them. Mistakes in it are found here, before anything runs."""

    tasks: Sequence[Task[Any]]
    """In any order: `needs` says what comes after what."""
    _: KW_ONLY
    agents: Sequence[Agent] = ()
    """Agents that no task names: the coordinator gives them tasks that name nobody, colleagues may ask them."""
    inputs: Sequence[str] | Mapping[str, Input] = ()
    """What `{placeholders}` stand for and what functions may take: names, or names with what is known of them."""
    name: str = "crew"
    model: ModelSpec = None
    """For agents that have none of their own. `None`: `--model`, `CREWKIT_MODEL`, or the offline model."""
    models: Mapping[str, Route] = field(default_factory=dict[str, Route])
    """The model table: routes by the names that `model=` uses, and among which a `Capable` chooses."""
    limits: Limits = field(default_factory=Limits)
    scope: Scope | None = None
    """Narrows what everyone in the crew may do."""
    guardrails: Guardrails | Sequence[Guardrail] = NONE
    """Over all that happens in the crew; a plain list is for what it comes to."""
    breaker: Breaker | None = WORKFLOW
    """When all tools of a run are left alone for a while: failures of this many calls, of different tools too."""
    memory: str | None = None
    """A name under which what the crew remembers lasts over its runs: facts, and what became of its tasks. With
    `{user}` in it every user has a memory of their own. `None`: every run remembers for itself."""
    knowledge: Sequence[str] = ()
    """Files and folders of documents that `recall` finds, with what is remembered. Each is indexed once, by content."""
    notify: Sequence[str | Notifier] = ()
    """Where people are told of questions, of this crew and of those inside it: `slack:#channel`, a URL, `terminal`, or
    an object with `name` and `tell`. `CREWKIT_NOTIFY` names more. Tokens and secrets are in the environment."""

    def __post_init__(self) -> None:
        from crewkit.crew.compile import compile_crew

        expect("Crew", "name", self.name, str, "a text")
        where = f"Crew '{self.name}'"
        expect(where, "tasks", self.tasks, Iterable, "a list: Crew([task])")
        expect(where, "agents", self.agents, Iterable, "a list: agents=[agent]")
        expect(where, "inputs", self.inputs, Iterable, "a list of names: inputs=['topic']")
        expect(where, "scope", self.scope, (Scope, NoneType), "a Scope: scope=Scope('search')")
        expect(where, "limits", self.limits, Limits, "a Limits: limits=Limits(usd=0.50)")
        expect(where, "models", self.models, Mapping, "a table: models={'cheap': Route('openai/gpt-5-mini')}")
        check_routes(self.models, where)
        check_model(self.model, where)
        expect(where, "breaker", self.breaker, (Breaker, NoneType), "a Breaker: breaker=Breaker(failures=20)")
        expect(where, "memory", self.memory, (str, NoneType), "a name: memory='support'")
        given = [self.knowledge] if isinstance(self.knowledge, str | Path) else self.knowledge
        expect(where, "knowledge", given, Iterable, "a list of folders: knowledge=['docs']")
        for path in given:
            expect(where, "one of knowledge", path, (str, Path), "a file or a folder: knowledge=['docs']")
        object.__setattr__(self, "knowledge", tuple(str(path) for path in given))
        places = [self.notify] if isinstance(self.notify, str) else self.notify
        expect(where, "notify", places, Iterable, "a list of places: notify=['slack:#ops']")
        object.__setattr__(self, "notify", tuple(places))
        check_places(self.notify, where)
        object.__setattr__(self, "tasks", tuple(self.tasks))
        object.__setattr__(self, "agents", tuple(self.agents))
        object.__setattr__(self, "guardrails", as_guardrails(self.guardrails, where))
        object.__setattr__(self, "_plan", compile_crew(self))

    @property
    def plan(self) -> Plan:
        """The crew as a checked graph."""
        return self._plan  # pyright: ignore[reportAttributeAccessIssue,reportUnknownVariableType,reportUnknownMemberType]

    @property
    def routed(self) -> bool:
        """It, or a crew in one of its tasks, has a model table."""
        inner = (job.task.do for job in self.plan.jobs.values())
        return bool(self.models) or any(isinstance(do, Crew) and do.routed for do in inner)

    async def run(self, inputs: Mapping[str, Any] | None = None, options: Options | None = None) -> Result:
        """Run the crew and return what became of it.

        A task that fails does not raise here: `result.status` says how the run ended, and `result[task]` raises
        where that task has no output.

        Args:
            inputs: A value for every input that has no default.
            options: Where the journal is, which models, how to wait: see `Options`.

        Raises:
            InputError: An input is missing, unknown or of the wrong type; nothing was run.
            DefinitionError: A model cannot be used; nothing was run.
            JournalError: The journal cannot be written; what is in it is kept.
        """
        from crewkit.runs.run import start

        return await start(self, inputs or {}, options)

    kickoff = run

    def run_sync(self, inputs: Mapping[str, Any] | None = None, options: Options | None = None) -> Result:
        """Run the crew from code that is not async; see `run`.

        Raises:
            InputError: Also where an event loop runs already, as in a notebook: `await` the crew's `run` there.
        """
        return _waited(self.run, inputs, options)

    def stream(
        self, inputs: Mapping[str, Any] | None = None, options: Options | None = None
    ) -> AsyncIterator[Event]:
        """Run the crew and yield its events as they happen, `run.finished` or `run.paused` last.

        Streamed text comes as events of type `model.chunk` with `seq` 0, which no journal holds. Leaving the loop
        early stops the run in order; it can be resumed.
        """
        from crewkit.runs.run import stream

        return stream(self, inputs or {}, options)

    async def resume(self, run: str, options: Options | None = None) -> Result:
        """Carry a run on from where its journal stands: after a crash, a pause, a decision, a raised limit.

        Args:
            run: Its id, a unique prefix, or `@last`.
            options: As in `run`; `limits` here replace the crew's and those given with the run, cap by cap.

        Raises:
            InputError: There is no such run, or it was not a run of this crew.
            RunBusy: Another process is at it.
            ReplayError: An unfinished task is not what it was when the run began.
        """
        from crewkit.runs.run import resume

        return await resume(self, run, options)

    def resume_sync(self, run: str, options: Options | None = None) -> Result:
        """Carry a run on from code that is not async; see `resume` and `run_sync`."""
        return _waited(self.resume, run, options)

    async def undo(self, run: str, by: str = "Somebody", options: Options | None = None) -> Result:
        """Give a run up for good, and undo what it did: the last effect first, as far as tools say how.

        Args:
            run: Its id, a unique prefix, or `@last`. However it stands, also completed.
            by: Who gives it up.
            options: As in `run`.

        Raises:
            InputError: There is no such run, it was not a run of this crew, or it is undone already.
            RunBusy: Another process is at it.
        """
        from crewkit.runs.run import undo

        return await undo(self, run, by, options)

    async def fork(
        self,
        run: str,
        at: str = "",
        *,
        inputs: Mapping[str, Any] | None = None,
        edit: str = "",
        options: Options | None = None,
    ) -> Result:
        """Begin a new run that shares what happened in another before a place, and go on from there.

        What happened at the place and after it, and what depends on it, is done again by this crew; everything else
        that is finished is kept, and neither copied nor paid for again.

        Args:
            run: The id of the run to branch off from, a unique prefix, or `@last`. It is left as it is.
            at: A task (`draft`), a turn (`draft/2`) or a step (`draft/2/tool:1`).
            inputs: Values in the place of those that the run has. What sees one of them is done again.
            edit: What the agent is to have said in the place of what it said at `at`, a model step: a text, or a JSON
                object with `tool_calls` and `content`.
            options: As in `run`. A `model` here is used for all that is done again; `changed` says what becomes of
                tasks that are not what they were, `repeat_effects` that effects may happen again.

        Raises:
            InputError: There is no such run or place, or effects would happen again.
            ReplayError: An unfinished task is not what it was.
        """
        from crewkit.runs.fork import fork

        return await fork(self, run, at, inputs, edit, options)


def _waited(call: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        name = call.__name__
        raise InputError(
            f"{name}_sync: an event loop runs here already, as in a notebook. Write: await crew.{name}(…)."
        )
    return asyncio.run(call(*arguments))
