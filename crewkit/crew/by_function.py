"""A task done by a plain function or a tool: one call, as a step."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from crewkit.agents.prompt import inline
from crewkit.core.label import Label, join
from crewkit.core.messages import canonical, fingerprint
from crewkit.crew.check import brief
from crewkit.crew.compile import Job
from crewkit.crew.exchange import accept, give
from crewkit.crew.iteration import ITEM, META, NAMES, PREVIOUS, Iteration
from crewkit.errors import CrewkitError, Denied, RunError, ToolError
from crewkit.journal.ask import Question, ask
from crewkit.journal.run import LostOutcome, UnknownOutcome
from crewkit.resilience.retry import Retry, retrying
from crewkit.tools.call import invoke, raised_at
from crewkit.tools.tool import UNDECLARED, Tool, ToolContext

if TYPE_CHECKING:
    from crewkit.crew.walk import Walk

Data = dict[str, Any]


async def by_function(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Let a function do a task; return the output as JSON data."""
    tool = job.task.do if isinstance(job.task.do, Tool) else None
    repeatable = bool(tool and (tool.reads_only or tool.idempotent))
    name = tool.name if tool else getattr(job.task.do, "__name__", job.name)
    at = f"{iteration.path}/1/tool:0"
    sources = _sources(job, iteration)
    shown = {parameter: _said(walk, job, source) for parameter, source in sources.items() if source}
    mark = fingerprint(name, canonical(shown))
    intent: Data = {
        "tool": name,
        "arguments": shown,
        "effects": list(tool.effects if tool else UNDECLARED),
        "idempotent": repeatable,
        "key": walk.run.key(at, task=walk.path(job)),
        "fingerprint": mark,
    }

    async def do(_attempt: int) -> Data:
        begun = walk.run.clock.monotonic()
        own = tool.label if tool else Label(sources=(f"function {name}",))
        label = join([own, *(walk.source_label(job, source, iteration) for source in sources.values())])
        arguments = {
            parameter: walk.argument(job, source, at, iteration, label)
            for parameter, source in sources.items()
        }
        ended = await retrying(
            lambda: _call(walk, job, tool, name, arguments, repeatable=repeatable),
            worth=lambda error: tool is not None and tool.may_pass(error.__cause__ or error),
            retry=tool.retry if tool and repeatable else Retry(attempts=1),
            told=lambda attempt, seconds, error: _again(walk, job, at, attempt, seconds, error),
            clock=walk.run.clock,
        )
        seconds = round(walk.run.clock.monotonic() - begun, 4)
        label = join([label, *(a.memory.label for a in arguments.values() if isinstance(a, ToolContext))])
        return {"tool": name, **ended, "fingerprint": mark, "seconds": seconds, "label": label.to_data()}

    async def call(_content: str) -> tuple[Any, Label]:
        effect = tool is not None and not repeatable and walk.run.begun(at, task=walk.path(job)) is None
        # A place is waited for before the intent is recorded: waiting for one is no part of the effect.
        async with walk.services.place(tool) if tool and effect else nullcontext():
            finished = await once(walk, job, at, intent, do, repeatable=repeatable)
        if "error" in finished:
            raise RunError(finished["error"]["message"])  # it ran to its end: only its result is lost
        return finished["output"], Label.from_data(finished.get("label"))

    said = (
        f"Call {name}({', '.join(f'{parameter}: {inline(source)}' for parameter, source in shown.items())})."
    )
    return await accept(walk, job, iteration, await give(walk, job, iteration, said, call))


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
