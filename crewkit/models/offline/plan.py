"""Which tools to call next."""

# ruff: noqa: RUF001 - typographic quotes and signs are what it looks for

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from crewkit.core.messages import canonical
from crewkit.models.base import ToolSpec
from crewkit.models.offline.ground import MOST_CALLS, Grounds, is_empty
from crewkit.models.offline.lexicon import READ, SEE, SEEK, TALK
from crewkit.models.offline.material import Call, Case
from crewkit.models.offline.names import match
from crewkit.models.offline.words import name_words, stem, stems, words

MOST_TURNS = 6
"""Turns that call tools; after them the model answers with what is there."""

_PHASES = [frozenset(map(stem, verbs)) for verbs in (SEE, SEEK, READ)]
"""What there is, then what matters, then reading it. All other tools come after."""

_TALK = frozenset(map(stem, TALK))

_KNOWN = re.compile(
    r"(?:did you mean|one of|known|available|allowed|valid|choose|possible|options?|expected|existing)\b"
    r"([^\n]{1,500})",
    re.IGNORECASE,
)
_WORDLIKE = re.compile(r"['\"‘“`]([^'\"’”`\n]{1,100})['\"’”`]|([\w./-]+)")
_MISSING = re.compile(
    r"no such|not found|does not exist|not exist|missing|unknown|cannot find", re.IGNORECASE
)


def allowed(tool: ToolSpec, *, effects: bool) -> bool:
    """Say whether the model may call a tool: one that only reads, unless effects were allowed."""
    return effects or set(tool.effects) <= {"read"}


def next_calls(case: Case, *, effects: bool) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls of the next turn, tool and arguments; empty where there is nothing new to ask."""
    if case.turns >= MOST_TURNS:
        return []
    made = {_key(call.name, call.arguments) for call in case.calls}
    tools = [tool for tool in case.request.tools if allowed(tool, effects=effects) and _wanted(tool, case)]
    repairs = [r for r in _repairs(case, {tool.name for tool in tools}) if _key(*r) not in made]
    if repairs:
        return repairs
    grounds = Grounds(case)
    about = set(stems(f"{case.assignment.description} {case.question}"))
    ordered = sorted(tools, key=lambda tool: -len(about & set(stems(_about(tool)))))
    for phase in range(len(_PHASES) + 1):
        found = {
            _key(tool.name, arguments): (tool.name, arguments)
            for tool in ordered
            if _phase(tool) == phase
            for arguments in grounds.calls(tool)
        }
        fresh = [call for key, call in found.items() if key not in made]
        if fresh:
            return fresh[:MOST_CALLS]
    return []


def _key(name: str, arguments: dict[str, Any]) -> str:
    return f"{name} {canonical(arguments)}"


def _about(tool: ToolSpec) -> str:
    return f"{' '.join(name_words(tool.name))} {tool.description}"


def _phase(tool: ToolSpec) -> int:
    """Return how early a tool comes: by a verb in its name, else by the first in its description."""
    for told in (name_words(tool.name), words(tool.description)[:4]):
        for word in told:
            for phase, verbs in enumerate(_PHASES):
                if stem(word) in verbs:
                    return phase
    return len(_PHASES)


def _wanted(tool: ToolSpec, case: Case) -> bool:
    talk = {stem(word) for word in name_words(tool.name)[:1]} & _TALK
    return not talk or bool(talk & set(stems(case.assignment.description)))


def _repairs(case: Case, tools: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield, for each failed call, the call that its error suggests; a repair is not repaired."""
    repaired: set[str] = set()
    for call in case.calls:
        if call.failed and call.name in tools and _key(call.name, call.arguments) not in repaired:
            arguments = _repaired(call, case)
            if arguments is not None:
                repaired.add(_key(call.name, arguments))
                yield call.name, arguments


def _repaired(call: Call, case: Case) -> dict[str, Any] | None:
    told = set(words(case.assignment.description + " " + " ".join(case.assignment.inputs.values())))
    offered = [a or b for found in _KNOWN.findall(call.text) for a, b in _WORDLIKE.findall(found)]
    for name, value in call.arguments.items():
        if not isinstance(value, str):
            continue
        others = [
            o
            for o in dict.fromkeys(offered)
            if o.casefold() != value.casefold() and o != name and o not in call.arguments
        ]
        near = difflib.get_close_matches(value.casefold(), [o.casefold() for o in others], n=1, cutoff=0.6)
        said = [
            o
            for o in others
            if words(o) and set(words(o)) <= told and len(o) > 2 and _quoted_in(o, call.text)
        ]
        chosen = [o for o in others if o.casefold() in near] or said
        if chosen:
            return {**call.arguments, name: chosen[0]}
    return _joined(call, case) if _MISSING.search(call.text) else None


def _quoted_in(word: str, text: str) -> bool:
    return re.search(rf"['\"‘“`]{re.escape(word)}['\"’”`]", text) is not None


def _joined(call: Call, case: Case) -> dict[str, Any] | None:
    """Put the folder of the call that listed a file before the file's path."""
    for name, value in call.arguments.items():
        if isinstance(value, str) and match("path", name):
            for earlier in case.calls:
                if (
                    earlier.turn < call.turn
                    and not earlier.failed
                    and not is_empty(earlier.text)
                    and value in earlier.text
                ):
                    folders = [str(v) for k, v in earlier.arguments.items() if match("folder", k)]
                    if folders and not value.startswith(folders[0]):
                        return {**call.arguments, name: f"{folders[0].rstrip('/')}/{value}"}
    return None
