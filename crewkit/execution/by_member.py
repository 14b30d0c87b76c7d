"""A function's turn in a conversation: one call, as a step, and what its verdict says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from crewkit.agents.prompt import shorten
from crewkit.coordinator.conversation import Said
from crewkit.core.label import Label, join
from crewkit.core.messages import Message, canonical, fingerprint
from crewkit.core.verdict import Allow, Ask, Deny, Revise
from crewkit.crew.conversation import SAID, TEXT, name_of
from crewkit.errors import Denied, RunError, ToolError
from crewkit.execution.by_function import once
from crewkit.journal.ask import Question, ask
from crewkit.tools.call import invoke, raised_at
from crewkit.tools.tool import UNDECLARED, Tool

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.iteration import Iteration
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

NOTHING = "Nothing to object."


async def by_member(
    walk: Walk,
    job: Job,
    iteration: Iteration,
    member: Any,
    known: Sequence[Message],
    sources: Mapping[str, str],
    at: str,
) -> tuple[Data, Label]:
    """Let a function speak; return what it says, as the form of a turn, and its label.

    Args:
        walk: The crew's walk.
        job: The conversation's task.
        iteration: Its iteration.
        member: The function or tool.
        known: What it may read, its own words too, the newest last.
        sources: What fills its parameters.
        at: The step's path.

    Raises:
        Denied: It gave the conversation up.
        RunError: It failed.
        Waiting: It asks a person.
    """
    name, tool = name_of(member), member if isinstance(member, Tool) else None
    repeatable = bool(tool and (tool.reads_only or tool.idempotent))
    said = [_as_said(message) for message in known]
    own = tool.label if tool else Label(sources=(f"function {name}",))
    others = [walk.values.source_label(job, s, iteration) for s in sources.values() if s not in (SAID, TEXT)]
    label = join([own, *(message.label for message in known), *others])
    mark = fingerprint(name, canonical([[s.speaker, s.kind, s.to, s.text] for s in said]))
    intent: Data = {
        "tool": name,
        "arguments": {parameter: source.lstrip("#") for parameter, source in sources.items() if source},
        "effects": list(tool.effects if tool else UNDECLARED),
        "idempotent": repeatable,
        "key": walk.run.key(at, task=iteration.task),
        "fingerprint": mark,
    }

    async def do(_attempt: int) -> Data:
        begun = walk.run.clock.monotonic()
        newest = next((each.text for each in reversed(said) if each.speaker != name), "")
        given = {SAID: list(said), TEXT: newest}
        arguments = {
            parameter: given[source] if source in given else walk.argument(job, source, at, None, label)
            for parameter, source in sources.items()
        }
        output = await _called(member, name, arguments, tool)
        seconds = round(walk.run.clock.monotonic() - begun, 4)
        done: Data = {"tool": name, "outcome": "ok", "output": output, "seconds": seconds}
        return {**done, "fingerprint": mark, "label": label.to_data()}

    effect = tool is not None and not repeatable and walk.run.begun(at, task=iteration.task) is None
    # A place is waited for before the intent is recorded: waiting for one is no part of the effect.
    async with walk.services.place(tool) if tool and effect else nullcontext():
        finished = await once(walk, job, at, intent, do, repeatable=repeatable)
    output, label = finished["output"], Label.from_data(finished.get("label"))
    if "ask" in output:
        return await _asked(walk, iteration.task, name, at, output["ask"], known), label
    if "deny" in output:
        raise Denied(f"{name} gave it up: {output['deny']}")
    return output, label


async def _called(member: Any, name: str, arguments: Data, tool: Tool | None) -> Data:
    function = tool.function if tool else member
    try:
        value = await invoke(function, arguments, tool.timeout if tool else None)
    except Exception as error:
        failed = ToolError(f"{name}() raised {type(error).__name__}: {error}")
        failed.add_note(raised_at(error, function))
        raise failed from error
    return _turn(name, value)


async def _asked(walk: Walk, task: str, name: str, at: str, question: str, known: Sequence[Message]) -> Data:
    """Let a person say whether something is a failure."""
    about = {"output": {f"{m.round}. {m.sender}": shorten(m.content, 2_000) for m in known}}
    decision = await ask(walk.run, Question(at, "output", question, task, name, about))
    said = decision.note or ("Approved." if decision.approved else "Not approved.")
    return {"text": said, "kind": "message" if decision.approved else "failure"}


def _as_said(message: Message) -> Said:
    kind = "failure" if message.kind == "failure" else "message"
    return Said(message.sender, message.content, kind, message.to, message.round)


def _turn(name: str, value: Any) -> Data:
    """Return what a function says, as the form of a turn."""
    match value:
        case str():
            return {"text": value or NOTHING}
        case None | True:
            return {"text": NOTHING}
        case Allow(note):
            return {"text": note or NOTHING}
        case False:
            return {"text": f"{name}() said no.", "kind": "failure"}
        case Revise(why):
            return {"text": why, "kind": "failure"}
        case Ask(question):
            return {"ask": question}
        case Deny(why):
            return {"deny": why}
        case _:
            raise RunError(
                f"{name}() returned {value!r:.80}, and what is said is a text: return one, None, or a verdict."
            )
