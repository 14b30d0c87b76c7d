"""A member's turn in a conversation: what it is told, and in which form it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from crewkit.agents.agent import Agent
from crewkit.agents.output import Output
from crewkit.agents.prompt import UPSTREAM_CHARS, shorten
from crewkit.coordinator.conversation import EVERYONE, Said
from crewkit.core.label import shown
from crewkit.core.messages import Message, canonical
from crewkit.crew.conversation import Conversation, Member, name_of
from crewkit.tools.tool import Tool

Data = dict[str, Any]

NOBODY = "nobody"
"""Whom a moderator chooses where the conversation is done."""


# Forms


def form_of(conversation: Conversation, name: str) -> Any:
    """Return the type of what an agent says: a text, or with it to whom and as what, where there is a choice."""
    fields: Any = {"text": (str, ...)}
    transitions = conversation.transitions
    if transitions is not None:
        onward, back = transitions.after(name, "message"), transitions.after(name, "failure")
        if back:
            fields["kind"] = (Literal["message", "failure"], ...)
        if len({*onward, *back}) > 1:
            fields["to"] = (Literal[tuple(dict.fromkeys((*onward, *back)))], ...)
    elif conversation.direct:
        fields["to"] = (Literal[(EVERYONE, *(each for each in conversation.names if each != name))], ...)
    return str if len(fields) == 1 else _form("Turn", fields)


def choice_form(choices: Sequence[str]) -> Any:
    """Return the type of a moderator's word on who speaks next."""
    return _form("Next", {"next": (Literal[tuple(choices)], ...), "why": (str, ...)})


def hand_form() -> Any:
    """Return the type of a raised hand."""
    from pydantic import Field

    return _form("Hand", {"urgency": (int, Field(ge=0, le=3)), "why": (str, ...)})


def _form(name: str, fields: Any) -> Any:
    from pydantic import ConfigDict, create_model

    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def said_by(conversation: Conversation, name: str, number: int, answer: Any) -> Said:
    """Return what a member says from the form in which it says it; where it names nobody, to the first it may."""
    given: Data = {"text": answer} if isinstance(answer, str) else answer
    kind, to = given.get("kind", "message"), given.get("to", "")
    transitions = conversation.transitions
    if not to:
        to = transitions.after(name, kind)[0] if transitions else EVERYONE
    return Said(name, given["text"], kind, to, number)


def allowed(conversation: Conversation, name: str, number: int) -> Callable[[Any], str | None]:
    """Return the check that an agent says something, and to whom it may."""

    def transition(turn: Any) -> str | None:
        if not turn.text.strip():
            return "Your text is empty. Say what you have to say."
        said = said_by(conversation, name, number, turn.model_dump(mode="json"))
        return (conversation.transitions and conversation.transitions.refusal(said)) or None

    return transition


# Texts


def thread_text(
    conversation: Conversation,
    given: str,
    heard: Iterable[Message],
    fill: Callable[[str], str],
    hidden: Callable[[Message], bool] = lambda _: False,
) -> list[str]:
    """Write down a thread for one who reads it: the assignment, who takes part, what was said, as parts of a prompt.

    Args:
        conversation: Whose thread it is.
        given: The assignment.
        heard: The messages.
        fill: Fills the placeholders in the agents' texts.
        hidden: Says of which messages only is told that they were sent.
    """
    members = "\n".join(f"- {name_of(member)}: {_about(member, fill)}" for member in conversation.members)
    parts = [given, f"## Who takes part\n{members}"]
    lines: list[str] = []
    for m in sorted(heard, key=lambda message: message.round):
        text = "(for them alone)" if hidden(m) else shown(shorten(m.content, UPSTREAM_CHARS), m.label)
        kind = {"failure": " (failure)", "answer": " (closing answer)"}.get(m.kind, "")
        lines.append(f"{m.round}. {m.sender} to {m.to}{kind}:\n{text}")
    return [*parts, "## What was said\n" + "\n\n".join(lines)] if lines else parts


def turn_text(
    conversation: Conversation, name: str, number: int, cap: float | None, output: Output, missing: str
) -> str:
    """Write what an agent is told of its turn."""
    left = f" of {cap:g} at most" if cap is not None else ""
    turn = [f"## Your turn, message {number}{left}", f"Speak as {name}."]
    if transitions := conversation.transitions:
        turn.append(transitions.allowed(name))
        if transitions.after(name, "failure"):
            turn.append(
                "A failure is for what is not good enough, and says why; a message hands over what is."
            )
    elif conversation.direct:
        turn.append(f"Only the one to whom you address it reads it; to '{EVERYONE}', all do.")
    if missing:
        turn.append(f"Still missing: {missing}")
    turn.append("Bring the task forward: say something that was not said yet.")
    return "\n".join([*turn, *in_form(output)])


def in_form(output: Output) -> list[str]:
    """Say in which form to answer, where it is not a text."""
    if output.schema is None:
        return []
    wanted = "Answer with one JSON value that satisfies this JSON Schema, and nothing around it:"
    return [f"{wanted}\n```json\n{canonical(output.schema)}\n```"]


def _about(member: Member, fill: Callable[[str], str]) -> str:
    if isinstance(member, Agent):
        return fill(member.goal)
    about = member.description if isinstance(member, Tool) else (getattr(member, "__doc__", "") or "")
    return f"a function. {about.strip()}".strip().split("\n", maxsplit=1)[0]
