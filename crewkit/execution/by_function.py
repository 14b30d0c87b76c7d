"""A task done by a plain function or a tool: one call, as a step, taken care of as the tool says."""

from __future__ import annotations

import inspect
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crewkit.agents.prompt import inline
from crewkit.core.label import Label, join
from crewkit.core.messages import canonical, fingerprint
from crewkit.crew.compile import Job
from crewkit.crew.iteration import ITEM, META, NAMES, PREVIOUS, Iteration
from crewkit.errors import CrewkitError, Denied, RunError, ToolError
from crewkit.execution.care import guard_tool, plain, with_care
from crewkit.execution.conditions import brief
from crewkit.execution.exchange import accept, give
from crewkit.journal.ask import Question, ask
from crewkit.journal.waiting import LostOutcome, UnknownOutcome
from crewkit.tools.call import invoke, raised_at
from crewkit.tools.tool import UNDECLARED, Tool, ToolContext

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]


async def by_function(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Let a function do a task; return the output as JSON data."""
    at = f"{iteration.path}/1/tool:0"
    do = job.task.do
    tool = do if isinstance(do, Tool) else None
    calling = _Calling(walk, job, iteration, tool, _sources(job, iteration))

    async def call(_content: str) -> tuple[Any, Label]:
        finished = await calling.finished(at)
        if "error" in finished:
            raise RunError(finished["error"]["message"])  # it ran to its end: only its result is lost
        return finished["output"], Label.from_data(finished.get("label"))

    shown = ", ".join(f"{parameter}: {inline(source)}" for parameter, source in calling.shown.items())
    said = f"Call {calling.name}({shown})."
    return await accept(walk, job, iteration, await give(walk, job, iteration, said, call))


@dataclass(frozen=True)
class _Calling:
    """The call of a function that does a task."""

    walk: Walk
    job: Job
    iteration: Iteration
    tool: Tool | None
    """`None`: it is a plain function."""
    sources: dict[str, str]
    """What fills its parameters."""

    @property
    def name(self) -> str:
        """The function's name, for people."""
        return self.tool.name if self.tool else getattr(self.job.task.do, "__name__", self.job.name)

    @property
    def repeatable(self) -> bool:
        """It may be called again where nobody knows whether it was."""
        return self.tool is not None and self.tool.repeatable

    @property
    def shown(self) -> Data:
        """What fills the parameters, in words."""
        return {name: _said(self.walk, self.job, source) for name, source in self.sources.items() if source}

    async def finished(self, at: str) -> Data:
        """Return what `tool.finished` says of the call at a path; where it failed, that of the tool's fallback."""
        fallback = self.tool.fallback if self.tool else None
        if fallback is None:
            return await self._once(at)
        if self.walk.run.begun(f"{at}/fallback", task=self.walk.path(self.job)) is None:
            with suppress(ToolError):
                return await self._once(at)
        taken = inspect.signature(fallback.function).parameters
        sources = {name: source for name, source in self.sources.items() if name in taken}
        return await replace(self, tool=fallback, sources=sources).finished(f"{at}/fallback")

    async def _once(self, at: str) -> Data:
        walk, job, tool = self.walk, self.job, self.tool
        mark = fingerprint(self.name, canonical(self.shown))
        intent: Data = {
            "tool": self.name,
            "arguments": self.shown,
            "effects": list(tool.effects if tool else UNDECLARED),
            "idempotent": self.repeatable,
            "key": walk.run.key(at, task=walk.path(job)),
            "fingerprint": mark,
        }
        if tool is not None and tool.undo is not None:
            intent["given"] = plain(self._arguments(at))
        label = self._label
        if tool is not None:
            await guard_tool(walk, job, tool, "arguments", plain(self._arguments(at)), at, label)
        effect = tool is not None and not self.repeatable and walk.run.begun(at, task=walk.path(job)) is None
        # A place is waited for before the intent is recorded: waiting for one is no part of the effect.
        async with walk.services.place(tool) if tool and effect else nullcontext():
            do = partial(self._done, at, mark)
            finished = await once(walk, job, at, intent, do, repeatable=self.repeatable)
        if tool is not None and finished["outcome"] == "ok":
            text = job.output.text(finished["output"])
            await guard_tool(walk, job, tool, "results", text, at, Label.from_data(finished.get("label")))
        return finished

    async def _done(self, at: str, mark: str, _attempt: int) -> Data:
        walk, job, tool = self.walk, self.job, self.tool
        begun = walk.run.clock.monotonic()
        arguments, label = self._arguments(at), self._label
        make = partial(_call, walk, job, tool, self.name, arguments, repeatable=self.repeatable)
        if tool is None:
            ended = await make()
            label = join([label, *(a.memory.label for a in arguments.values() if isinstance(a, ToolContext))])
        else:
            told = partial(_again, walk, job, at)
            ended, label = await with_care(walk.services, tool, arguments, at, label, make, told)
        seconds = round(walk.run.clock.monotonic() - begun, 4)
        return {"tool": self.name, **ended, "fingerprint": mark, "seconds": seconds, "label": label.to_data()}

    def _arguments(self, at: str) -> Data:
        return {
            name: self.walk.argument(self.job, source, at, self.iteration, self._label)
            for name, source in self.sources.items()
        }

    @property
    def _label(self) -> Label:
        """The label of what goes into the call, and of the function."""
        own = self.tool.label if self.tool else Label(sources=(f"function {self.name}",))
        sources = self.sources.values()
        return join(
            [own, *(self.walk.values.source_label(self.job, each, self.iteration) for each in sources)]
        )


def _again(walk: Walk, job: Job, at: str, attempt: int, seconds: float, error: BaseException) -> None:
    data: Data = {"attempt": attempt, "seconds": round(seconds, 3), "why": str(error)}
    walk.run.record("retry.scheduled", at, data, task=walk.path(job), agent=job.worker, once=False)


def _sources(job: Job, iteration: Iteration) -> dict[str, str]:
    """Return what fills the parameters; the first time in a loop, those with a default keep it."""
    if iteration.number > 1:
        return dict(job.arguments)
    function = job.task.do.function if isinstance(job.task.do, Tool) else job.task.do
    assert callable(function)
    parameters = inspect.signature(function).parameters
    return {
        name: source
        for name, source in job.arguments.items()
        if source not in NAMES.values() or parameters[name].default is inspect.Parameter.empty
    }


def _said(walk: Walk, job: Job, source: str) -> Any:
    """Say what fills a parameter; of an item, the item."""
    if source == ITEM and job.item is not None:
        return brief(job.item.data)
    if source in NAMES.values():
        return "the version before" if source == PREVIOUS else "why it is done again"
    if source == META:
        return "what is known of what it needs"
    return f"the result of '{source}'" if source in walk.plan.jobs else f"the input '{source}'"


async def _call(
    walk: Walk, job: Job, tool: Tool | None, name: str, arguments: Data, *, repeatable: bool
) -> Data:
    """Call the function; return its output, or what is wrong with it, as `tool.finished` tells."""
    function: Any = tool.function if tool else job.task.do
    try:
        async with walk.services.place(tool) if tool and repeatable else nullcontext():
            value = await invoke(function, arguments, tool.timeout if tool else None)
    except TimeoutError as error:
        if not repeatable:
            raise LostOutcome(str(error)) from error
        raise ToolError(f"{name}() did not return within {tool.timeout if tool else 0:g} seconds.") from error
    except Exception as error:
        raised = ToolError(f"{name}() raised {type(error).__name__}: {error}")
        raised.add_note(raised_at(error, function))
        raise raised from error
    try:
        return {"outcome": "ok", "output": walk.run.redactor.data(job.output.dump(value))}
    except CrewkitError as error:
        if repeatable:
            raise
        return {"outcome": "error", "error": {"type": type(error).__name__, "message": str(error)}}


async def once(walk: Walk, job: Job, at: str, intent: Data, do: Any, *, repeatable: bool) -> Data:
    """Run a function's step once; where it may have happened already, ask a person."""
    run, task = walk.run, walk.path(job)
    while True:
        try:
            return await run.step(at, "tool", intent, do, task=task, agent=job.worker, repeatable=repeatable)
        except UnknownOutcome as unknown:
            about = {"tool": intent["tool"], "arguments": intent["arguments"]}
            text = f"'{intent['tool']}' was begun and nobody knows whether it happened. Run it again?"
            question = Question(at, "unknown", text, task, job.worker, about, attempt=unknown.attempt + 1)
            decision = await ask(run, question)
            if not decision.approved:
                said = f": {decision.note}" if decision.note else "."
                why = f"'{intent['tool']}' may have happened, and a person said not to run it again{said}"
                raise Denied(why) from None
            run.settle(at, task=task)
