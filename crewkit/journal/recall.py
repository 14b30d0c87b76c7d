"""Which of the passages that were recalled an agent made use of, as far as its words tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crewkit.core.events import Event

Data = Mapping[str, Any]


def used_hits(events: Sequence[Event]) -> dict[int, list[int]]:
    """Return, by `seq` of each `memory.searched`, the places of its hits that were used.

    A hit counts as used if what the agent said, called or returned afterwards in the same task has its id, or the
    last part of its source's name. Where that name is followed by positions (`notes.md:120-340`), they have to
    overlap the hit.
    """
    searches = [event for event in events if event.type == "memory.searched"]
    words: dict[str, list[tuple[int, str]]] = {}
    for event in events if searches else ():
        if text := _said(event):
            words.setdefault(event.task, []).append((event.seq, text))
    used: dict[int, list[int]] = {}
    for event in searches:
        later = "\n".join(text for seq, text in words.get(event.task, ()) if seq > event.seq)
        hits: Sequence[Data] = event.data.get("hits") or ()
        used[event.seq] = [i for i, hit in enumerate(hits) if _named(hit, later)]
    return used


def _said(event: Event) -> str:
    """Return what an agent wrote: an answer, the arguments of a call, the output of a task."""
    data = event.data
    if event.type == "message.recorded" and data.get("role") == "assistant":
        calls: Iterable[Data] = data.get("tool_calls") or ()
        return "\n".join([str(data.get("content") or ""), *(str(call.get("arguments")) for call in calls)])
    if event.type == "task.finished" and data.get("output") is not None:
        output = data["output"]
        return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return ""


def _named(hit: Data, text: str) -> bool:
    id = str(hit.get("id") or "")
    if id and id in text:
        return True
    source = str(hit.get("source") or "").rstrip("/\\")
    # Of a file its name is enough; the source of a fact is a run and a path in it, whose end says nothing.
    name = source if hit.get("agent") else re.split(r"[/\\]", source)[-1]
    if not name or name not in text:
        return False
    start, end = hit.get("start"), hit.get("end")
    for found in re.finditer(rf"(?<![\w.-]){re.escape(name)}(?![\w-])(?::(\d+)-(\d+))?", text):
        if not found[1] or start is None or end is None:
            return True
        if int(found[1]) < end and start < int(found[2]):
            return True
    return False
