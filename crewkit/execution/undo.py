"""Undoing what was done, where a run or a branch of it is given up: the last effect first.

A saga (Garcia-Molina and Salem, SIGMOD 1987): each effect may name what takes it back. What was done is read from the
journal, and each undo is a step of its own at `{call}/undo`, so a process that dies in the middle goes on behind the
last one. An effect that may have happened is a person's question, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crewkit.core.events import Event, defined
from crewkit.core.messages import canonical, fingerprint
from crewkit.crew.crew import Crew
from crewkit.errors import Denied, ToolError
from crewkit.journal.ask import Decision, Question, ask
from crewkit.journal.forget import standing
from crewkit.journal.run import Run
from crewkit.journal.waiting import LostOutcome, UnknownOutcome, Waiting
from crewkit.resilience.retry import retrying
from crewkit.tools.call import invoke
from crewkit.tools.tool import Tool, ToolContext
from crewkit.tools.undo import values_for

if TYPE_CHECKING:
    from crewkit.checks.scope import Scope
    from crewkit.crew.compile import Job

Data = dict[str, Any]

TYPES = ("tool.started", "tool.finished", "run.forked", "run.resumed")
"""Events from which effects are read."""


_NAMED = 5
"""Effects that are named in a sentence."""


@dataclass(frozen=True)
class Effect:
    """One call that changed something, or may have."""

    path: str
    task: str
    agent: str
    tool: str
    arguments: Data
    key: str
    result: Any
    seq: int
    known: bool
    """It happened; otherwise nobody knows."""


@dataclass
class Undone:
    """What became of the effects of what was given up, the last one first."""

    undone: dict[str, str] = field(default_factory=dict[str, str])
    """Path of a call to what undid it."""
    left: dict[str, str] = field(default_factory=dict[str, str])
    """Path of a call that stands, or may, to why."""

    def said(self) -> str:
        """Say it in a sentence or two."""
        left = [f"{path}: {why.rstrip('.')}" for path, why in self.left.items()]
        parts = [f"Undone: {_some(list(self.undone), ', ')}."] if self.undone else []
        parts += [f"Not undone: {_some(left, '; ')}."] if left else []
        return " ".join(parts) or "There was nothing to undo."

    def to_data(self) -> Data:
        """Return it as `undo.finished` tells it."""
        return {"undone": self.undone, "left": self.left}

    @classmethod
    def from_data(cls, data: Data) -> Undone:
        """Read it back."""
        return cls(dict(data.get("undone") or {}), dict(data.get("left") or {}))


def effects(history: Iterable[Event], under: str = "") -> list[Effect]:
    """Return the calls that changed something or may have, the last one first.

    Args:
        history: The run's events of `TYPES`.
        under: A task, an item or nothing: only what was done for it.
    """
    begun: dict[str, Event] = {}
    ended: dict[str, Event] = {}
    for event in standing(history).events:
        if not _within(event.task, under):
            continue
        if event.type == "tool.started" and set(event.data.get("effects") or ()) - {"read"}:
            begun[event.path] = event
            ended.pop(event.path, None)
        elif event.type == "tool.finished" and event.path in begun:
            ended[event.path] = event
    found = [_effect(begun[path], ended.get(path)) for path in begun]
    return sorted((each for each in found if each is not None), key=lambda each: -each.seq)


def _within(task: str, under: str) -> bool:
    return not under or task == under or task.startswith((f"{under}/", f"{under}#", f"{under}["))


def _effect(begun: Event, ended: Event | None) -> Effect | None:
    """Return a call as an effect; `None` where it is known that it did not happen."""
    data = ended.data if ended else {}
    outcome = str(data.get("outcome") or "")
    if "failed" in data and not data.get("lost"):
        return None
    if data.get("cached") or outcome == "unavailable" or (outcome == "error" and "message" in data):
        return None
    known = bool(ended) and not data.get("lost") and outcome not in ("unknown", "timeout")
    arguments: Data = begun.data.get("given") or begun.data.get("arguments") or {}
    return Effect(
        begun.path,
        begun.task,
        begun.agent,
        str(begun.data.get("tool")),
        arguments,
        str(begun.data.get("key") or ""),
        data.get("output"),
        ended.seq if ended else begun.seq,
        known,
    )


async def give_back(
    run: Run,
    crew: Crew,
    done: Sequence[Effect],
    context: Callable[[Effect, str], ToolContext],
    told: Data,
    *,
    at: str,
    task: str,
) -> Undone | None:
    """Undo what was done for a run or a task that is given up; `None` where nothing of it can be undone.

    Args:
        run: The run.
        crew: Whose run it is.
        done: Its effects, the last one first.
        context: From an effect and the path of its undo to what the tool may know.
        told: What `undo.started` says besides: `scope`, `why`, …
        at: Where that stands: `undo`, or `{task}/undo`.
        task: The task; empty for the run.

    Raises:
        Waiting: A person has to decide first.
    """
    tools = {effect.path: _tool(crew, effect) for effect in done}
    if run.said(at, task=task) is None and not any(tool and tool.undo for tool, _ in tools.values()):
        return None

    async def begin() -> Data:
        return {**told, "calls": [effect.path for effect in done]}

    await run.verdict(at, begin, task=task, agent="", type="undo.started")
    came = Undone()
    undoing = [_Undoing(run, effect, *tools[effect.path]) for effect in done]
    waiting = [each for each in [await one.asked() for one in undoing] if isinstance(each, Waiting)]
    if waiting:
        raise Waiting.joined(waiting)
    for one in undoing:
        why = await one.through(context)
        (came.left if why else came.undone)[one.effect.path] = why or one.by
    run.keep("undo.finished", at, came.to_data(), task=task, agent="")
    return came


def _some(names: Sequence[str], between: str) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + more


def can_undo(crew: Crew) -> bool:
    """Say whether any tool of a crew, or of one inside it, can be undone."""
    for job in crew.plan.jobs.values():
        do = job.task.do
        if isinstance(do, Crew):
            if can_undo(do):
                return True
        elif isinstance(do, Tool):
            if do.undo is not None:
                return True
        elif any(tool.undo is not None for tool in _tools(job, None)):
            return True
    return any(tool.undo is not None for agent in crew.plan.agents.values() for tool in agent.tools)


@dataclass
class _Undoing:
    """One effect on its way back."""

    run: Run
    effect: Effect
    tool: Tool | None
    asks: bool
    _left: str = ""
    """Why it stays as it is."""
    _approval: str = ""

    @property
    def at(self) -> str:
        return f"{self.effect.path}/undo"

    @property
    def _undo(self) -> Tool:
        assert self.tool is not None
        assert self.tool.undo is not None
        return self.tool.undo

    @property
    def by(self) -> str:
        return self._undo.name

    @property
    def values(self) -> Data:
        return values_for(self._undo, self.effect.arguments, self.effect.result, self.effect.key)

    async def asked(self) -> Waiting | None:
        """Ask a person where one has to say yes; return what is waited for."""
        effect = self.effect
        if self.tool is None or self.tool.undo is None:
            may = "" if effect.known else " It may not even have happened."
            self._left = f"Nothing undoes {effect.tool}().{may}"
            return None
        if self.run.result(self.at, task=effect.task) is not None or not (self.asks or not effect.known):
            return None
        begun = f"'{effect.tool}' was begun and nobody knows whether it happened. Undo it"
        text = f"Undo '{effect.tool}'" if effect.known else begun
        try:
            decision = await self._ask("tool" if effect.known else "unknown", f"{text} by '{self.by}'?", 1)
        except Waiting as waiting:
            return waiting
        if not decision.approved:
            may = "It stands" if effect.known else "It may have happened"
            self._left = f"{may}: a person said not to undo it. {decision.note}".strip()
        self._approval = decision.id
        return None

    async def through(self, context: Callable[[Effect, str], ToolContext]) -> str:
        """Undo it; return why it is not."""
        if self._left:
            return self._left
        undo, run, effect = self._undo, self.run, self.effect
        mark = fingerprint(undo.name, canonical(self.values))
        intent: Data = {
            "tool": undo.name,
            "of": effect.tool,
            "arguments": self.values,
            "effects": list(undo.effects),
            "idempotent": undo.idempotent,
            "key": run.key(self.at, task=effect.task),
            "fingerprint": mark,
        }

        async def do(_attempt: int) -> Data:
            await retrying(
                lambda: _call(undo, self.values, context(effect, self.at)),
                worth=lambda error: undo.may_pass(error.__cause__ or error),
                retry=undo.retry,
                told=self._again,
                clock=run.clock,
            )
            return {"tool": undo.name, "of": effect.tool, "outcome": "ok", "fingerprint": mark}

        while True:
            try:
                await run.step(
                    self.at,
                    "undo",
                    intent,
                    do,
                    task=effect.task,
                    agent=effect.agent,
                    repeatable=undo.repeatable,
                    costly=True,
                    approval=self._approval,
                )
            except UnknownOutcome as unknown:
                text = f"'{undo.name}' was begun and nobody knows whether it happened. Run it again?"
                decision = await self._ask("unknown", text, unknown.attempt + 1)
                if not decision.approved:
                    return f"'{undo.name}' may have undone it, and a person said not to run it again. {decision.note}"
                run.settle(self.at, task=effect.task)
                self._approval = decision.id
            except (ToolError, Denied) as error:
                return str(error)
            else:
                return ""

    async def _ask(self, kind: Any, text: str, attempt: int) -> Decision:
        about: Data = {"tool": self.by, "definition": self._undo.definition, "arguments": self.values}
        told = {
            "reason": f"What it was done for is given up; it was {self.effect.tool}() at {self.effect.path}."
        }
        effect = self.effect
        return await ask(
            self.run, Question(self.at, kind, text, effect.task, effect.agent, about, told, attempt=attempt)
        )

    def _again(self, attempt: int, seconds: float, error: BaseException) -> None:
        data: Data = {"attempt": attempt, "seconds": round(seconds, 3), "why": str(error)}
        effect = self.effect
        self.run.record("retry.scheduled", self.at, data, task=effect.task, agent=effect.agent, once=False)


async def _call(undo: Tool, values: Data, context: ToolContext) -> None:
    try:
        given = undo.convert(values)
        if undo.context:
            given[undo.context] = context
        await invoke(undo.function, given, undo.timeout)
    except TimeoutError as error:
        if not undo.repeatable:
            raise LostOutcome(str(error)) from error
        raise ToolError(f"{undo.name}() did not return within {undo.timeout:g} seconds.") from error
    except Exception as error:
        raise ToolError(f"{undo.name}() raised {type(error).__name__}: {error}") from error


def _tool(crew: Crew, effect: Effect) -> tuple[Tool | None, bool]:
    """Return the tool of a call, and whether a person is asked before it is undone.

    Its undo is granted with it. A grant of its own for the undo goes before that.
    """
    scopes: list[Scope] = []
    job: Job | None = None
    plan = crew.plan
    for name in defined(effect.task).split("/"):
        job = plan.jobs.get(name)
        if job is None:
            return None, False
        scopes += [scope for scope in (crew.scope, job.task.scope) if scope is not None]
        if not isinstance(job.task.do, Crew):
            break
        crew, plan = job.task.do, job.task.do.plan
    if job is None:
        return None, False
    if job.kind == "function":
        tool = job.task.do if isinstance(job.task.do, Tool) else None
        while tool is not None and tool.name != effect.tool:
            tool = tool.fallback
        return tool, False
    agent = plan.agents.get(effect.agent)
    tool = next((each for each in _tools(job, agent) if each.name == effect.tool), None)
    if tool is None or tool.undo is None:
        return tool, False
    scopes.append(job.scope)
    grants = [grant for s in scopes if (grant := s.grant(tool.undo.name) or s.grant(tool.name))]
    return tool, any(grant.asks(tool.undo) for grant in grants) if grants else not tool.undo.reads_only


def _tools(job: Job, agent: Any) -> Iterator[Tool]:
    yield from job.tools
    for rung in job.ladder:
        yield from rung.tools
    if agent is not None:
        yield from agent.tools
