"""A run without its content: the figures, the decisions and the names stay, and what was said goes."""

from __future__ import annotations

import re
from typing import Any, cast

Data = dict[str, Any]

_CONTENT = frozenset(
    [
        "arguments",
        "content",
        "data",
        "edits",
        "events",
        "full",
        "hits",
        "inputs",
        "note",
        "objection",
        "output",
        "query",
        "question",
        "reason",
        "text",
        "values",
        "where",
    ]
)
"""What holds content, whatever is in it."""

_WHOLE = frozenset(
    [
        "budget",
        "changed",
        "definitions",
        "given",
        "label",
        "limits",
        "models",
        "reserved",
        "route",
        "tasks",
        "usage",
    ]
)
"""What holds none."""

_NAMES = frozenset(
    [
        "agent",
        "approval",
        "approvals",
        "at",
        "binding",
        "by",
        "completed",
        "compressed_from",
        "condition",
        "crew",
        "crewkit",
        "cwd",
        "deadline",
        "decision",
        "definition",
        "effects",
        "event",
        "expires",
        "fingerprint",
        "finish_reason",
        "for",
        "forgets",
        "guardrail",
        "host",
        "id",
        "ids",
        "key",
        "kind",
        "level",
        "limit",
        "model",
        "name",
        "namespace",
        "needs",
        "new",
        "offered",
        "on",
        "origin",
        "outcome",
        "path",
        "queue",
        "role",
        "sender",
        "signal",
        "state",
        "status",
        "summary",
        "target",
        "task",
        "thread",
        "to",
        "tool",
        "tool_call_id",
        "tools",
        "type",
        "until",
        "verdict",
        "waits",
        "why",
    ]
)
"""Texts that stay: names, ids, times, and what a verdict was and why. Every other text goes."""

_ID = re.compile(r"[0-9a-f]{16}")


def without_content(type: str, data: Data) -> Data:
    """Return an event's data without content: texts of messages, arguments, inputs, outputs, results.

    Args:
        type: The event's type. A run's first event says that its content is gone: `dropped`.
        data: What the event holds.
    """
    kept = cast("Data", _stripped(data, ""))
    return {**kept, "dropped": "content"} if type in ("run.started", "run.forked") else kept


def is_stripped(begun: Data) -> bool:
    """Tell from a run's first event whether its content was dropped."""
    return begun.get("dropped") == "content"


def _stripped(value: Any, key: str) -> Any:
    if key in _WHOLE:
        return value
    if key in _CONTENT:
        return _emptied(value)
    if isinstance(value, dict):
        return {name: _stripped(each, name) for name, each in cast("Data", value).items()}
    if isinstance(value, list):
        return [_stripped(each, key) for each in cast("list[Any]", value)]
    if isinstance(value, str) and key not in _NAMES and not _ID.fullmatch(value):
        return ""
    return value


def _emptied(value: Any) -> Any:
    if isinstance(value, str):
        return ""
    if isinstance(value, dict):
        return {}
    return [] if isinstance(value, list) else None
