"""A question in words: what whoever decides has to see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from crewkit.core.text import call_text, compact
from crewkit.journal.read import Pending


class Part(NamedTuple):
    """One thing to see before deciding."""

    label: str
    """call, origin, shows, reason, again, output, takes."""
    text: str
    warns: bool = False


def where(question: Pending) -> str:
    """Say in which run, task and agent it arose."""
    by = f" · {question.agent}" if question.agent not in ("", question.task) else ""
    return f"{question.run} · {question.task}{by}"


def parts(question: Pending) -> Iterator[Part]:
    """Yield all that is needed to decide a question."""
    if question.tool:
        yield Part("call", call_text(question.tool, question.arguments))
    for name, origin in question.origins.items():
        trusted = bool(origin.get("trusted"))
        yield Part(
            "origin", f"{name} is from {origin.get('from')}{'' if trusted else ' (not trusted)'}", not trusted
        )
    if question.preview:
        yield Part("shows", question.preview)
    if question.reason:
        yield Part("reason", question.reason)
    if question.objection:
        yield Part("again", question.objection)
    if question.output is not None:
        output = question.output
        whole = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, indent=2)
        yield Part("output", compact(whole))
    given: Any = question.arguments
    if not question.tool and isinstance(given, dict) and given:
        pairs = cast("dict[str, Any]", given)
        said = ", ".join(f"{name}={compact(value)}" for name, value in pairs.items())
        yield Part("takes", f"{said}    (another: --edit {next(iter(pairs))}=…)")


def commands(question: Pending) -> str:
    """Say how it is decided on the command line."""
    return f'crewkit approve {question.id}    crewkit deny {question.id} --note "…"'


def until(question: Pending) -> str:
    """Say until when it can be decided, to the minute; empty where no time is set."""
    return f"until {question.expires[:16]}Z" if question.expires else ""
