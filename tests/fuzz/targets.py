"""What is fuzzed: functions of bytes that raise where something that must hold does not.

Hypothesis drives them in `test_targets.py`. To look longer, with coverage as the guide, atheris drives them (it has
wheels for Linux, and is no dependency of ours):

    uv run --with atheris python tests/fuzz/targets.py boundary -max_total_time=600
    uv run --with atheris python tests/fuzz/targets.py proof -max_total_time=600
    uv run --with atheris python tests/fuzz/targets.py journal -max_total_time=600

All options are those of libFuzzer; what it finds it writes into a file `crash-…`, which is an argument to try again.
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["crewkit", "json", "jsonschema"]):
        import crewkit.checks.call
        import crewkit.cli.transcript
        import crewkit.journal.sqlite  # noqa: F401

from jsonschema import Draft202012Validator

from crewkit import Allow, CallContext, Deny, Grant, Scope, check_call, tool_from_schema
from crewkit.checks.taint import Proof
from crewkit.cli.transcript import Transcript
from crewkit.core.events import Draft, Event
from crewkit.errors import JournalError
from crewkit.journal.base import Write
from crewkit.journal.compare import differences
from crewkit.journal.forget import standing
from crewkit.journal.read import beginning, ending, exchanges, inherited, messages, origin, pending, totals
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.timeline import timeline
from crewkit.journal.tree import tree
from crewkit.traces.spans import spans
from crewkit.web.fold import fold

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "pattern": "^[a-z@.]{1,20}$"},
        "amount": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": {"type": ["integer", "null"]}, "uniqueItems": True},
        "more": {
            "type": "object",
            "properties": {"x": {"enum": ["a", 1, None]}},
            "additionalProperties": False,
        },
    },
    "required": ["to"],
    "additionalProperties": False,
}
PAY = tool_from_schema("pay", "Pay.", SCHEMA, lambda **_: None, effects="financial", control=["to"])
ORACLE = Draft202012Validator(SCHEMA)
FREE = Scope(Grant("pay", "never", where={"properties": {"amount": {"maximum": 100}}}))
PROVEN = Scope(Grant("pay", "tainted"))
TRUSTED = CallContext(trusted=["Pay ann@x.example 20 euro, and a."])


def boundary(data: bytes) -> None:
    """What a model may write as arguments: nothing is allowed that is not strict JSON of what the tool takes."""
    raw = data.decode("utf-8", "surrogateescape")
    verdict = check_call(FREE, PAY, raw)
    assert isinstance(verdict, Allow | Deny)
    if isinstance(verdict, Allow):
        call = strict(raw)
        assert ORACLE.is_valid(call)
        assert call.get("amount", 0) <= 100
    if isinstance(check_call(PROVEN, PAY, raw, TRUSTED), Allow):
        assert strict(raw)["to"] in ("ann@x.example", "euro", "and", "a")
    assert isinstance(check_call(Scope("pay "), PAY, raw), Deny)


def strict(raw: str) -> Any:
    """Read JSON as RFC 8259 has it, no key twice, no number that is none."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(items)) == len(items)
        return dict(items)

    value = json.loads(raw, object_pairs_hook=pairs)
    assert all(math.isfinite(number) for number in numbers(value))
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def numbers(value: Any) -> list[float]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inside is None else [number for each in inside for number in numbers(each)]


def proof(data: bytes) -> None:
    """What a value is looked for in: no text breaks it, and words are proven by themselves alone."""
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    held = Proof([second])
    if held.of(first) and first.isalpha():
        assert first in second or not first.isascii()
    assert held.of([first, first]) == held.of(first)
    Proof([first]).of(second)


@lru_cache(maxsize=1)
def kept() -> tuple[Path, list[Event]]:
    """Return a journal's file with an event of each kind in it."""
    path = Path(tempfile.mkdtemp()) / "journal.db"
    at, call = "t/1/tool:0", {"id": "c", "name": "pay", "arguments": "{}"}
    asked = {
        "id": "a-1",
        "kind": "tool",
        "question": "?",
        "tool": "pay",
        "arguments": {"x": 1},
        "origins": {},
    }
    report = {
        "completed": ["t"],
        "failed": [{"task": "x", "error": {"type": "E", "message": "m"}}],
        "skipped": [],
    }
    drafts = [
        Draft("run.started", data={"crew": "c", "inputs": {"a": 1}, "tasks": [{"name": "t", "needs": []}]}),
        Draft("task.started", "t", {"name": "t"}, "t", "A"),
        Draft("agent.started", "t/0", {"role": "A", "model": "m", "tools": ["pay"]}, "t", "A"),
        Draft("message.recorded", "t/0", {"id": "m1", "role": "user", "content": "Pay."}, "t", "A"),
        Draft(
            "message.recorded",
            "t/1",
            {"id": "m2", "role": "assistant", "content": "", "tool_calls": [call]},
            "t",
        ),
        Draft(
            "message.recorded", at, {"id": "m3", "role": "tool", "content": "paid", "tool_call_id": "c"}, "t"
        ),
        Draft(
            "model.started", "t/1/model", {"model": "m", "messages": {"new": ["m1"], "count": 1}}, "t", "A"
        ),
        Draft(
            "model.finished",
            "t/1/model",
            {"message": "m2", "usage": {"input_tokens": 1}, "usd": 0.1},
            "t",
            "A",
        ),
        Draft(
            "decision.made",
            "t/1",
            {"offered": ["pay"], "withheld": [], "chosen": [{"tool": "pay"}]},
            "t",
            "A",
        ),
        Draft("tool.checked", at, {"tool": "pay", "verdict": "ask", "by": "scope", "why": "?"}, "t", "A"),
        Draft("approval.requested", f"{at}/ask", asked, "t", "A"),
        Draft(
            "approval.decided", f"{at}/ask", {"id": "a-1", "decision": "approve", "by": "x", "note": ""}, "t"
        ),
        Draft("tool.started", at, {"tool": "pay", "arguments": {"x": 1}, "effects": ["write"]}, "t", "A"),
        Draft("retry.scheduled", at, {"attempt": 2, "seconds": 1.0, "why": "busy"}, "t", "A"),
        Draft(
            "tool.finished", at, {"tool": "pay", "outcome": "ok", "message": "m3", "received": 4}, "t", "A"
        ),
        Draft("breaker.changed", "", {"tool": "pay", "state": "open", "why": "5 failures", "until": "2026"}),
        Draft(
            "guardrail.checked", "t/1/guardrail:output:0", {"guardrail": "g", "verdict": "revise"}, "t", "A"
        ),
        Draft("limit.exceeded", "t", {"limit": "usd", "used": 2.0, "cap": 1.0}, "t"),
        Draft("memory.searched", at, {"query": "q", "hits": [{"id": "1", "score": 0.5}]}, "t", "A"),
        Draft("task.finished", "t", {"status": "completed", "output": "x", "final": True}, "t", "A"),
        Draft("run.finished", data={"status": "completed", "output": "x", "report": report}),
    ]
    with SqliteJournal(path) as journal:
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", drafts, lease.epoch)])
        journal.release(lease)
        return path, list(journal.events("r-1"))


def journal(data: bytes) -> None:
    """What a journal's file may hold in the place of an event: it is read around, or named."""
    path, whole = kept()
    at, column = (data[0] % len(whole), data[1] % 4) if len(data) > 1 else (0, 0)
    text = data[2:].decode("utf-8", "replace")
    name = ("data", "type", "path", "ts")[column]
    with sqlite3.connect(path) as db:
        try:
            db.execute(f"UPDATE events SET {name} = ? WHERE seq = ?", (text, at + 1))
            db.commit()
            with SqliteJournal(path, create=False) as opened:
                with suppress(JournalError):
                    folds(list(opened.events("r-1")))
                opened.runs()
        finally:
            good = whole[at]
            values = (json.dumps(good.data), good.type, good.path, good.ts, at + 1)
            db.execute("UPDATE events SET data = ?, type = ?, path = ?, ts = ? WHERE seq = ?", values)
            db.commit()
    db.close()


def folds(events: Sequence[Event]) -> None:
    """Read a run in all the ways in which it is read."""
    readers: list[Callable[[Sequence[Event]], Any]] = [
        pending,
        totals,
        inherited,
        origin,
        beginning,
        ending,
        messages,
        exchanges,
        standing,
        lambda events: timeline(tree(events)),
        lambda events: differences(events, kept()[1], "task"),
        lambda events: list(Transcript(events, alive=False)),
        lambda events: fold(events, alive=False),
        spans,
    ]
    for read in readers:
        read(events)


if __name__ == "__main__":
    target = {"boundary": boundary, "proof": proof, "journal": journal}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, atheris.instrument_func(target))
    atheris.Fuzz()
