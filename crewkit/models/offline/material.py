"""What a request holds, read by rule: the assignment, the calls so far, the facts in their results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from crewkit.core.label import unfenced
from crewkit.core.messages import ChatMessage
from crewkit.models.base import Request
from crewkit.models.offline.lexicon import INSTRUCTIONS
from crewkit.models.offline.names import FILE_WORDS, FOLDER_WORDS, SOURCE_NAMES, TEXT_NAMES, match
from crewkit.models.offline.words import name_stems, name_words, one_line, singular, stem, stems, words

NOTE = "(offline model: extracted by rule, not written by a language model)"
"""The last line of every text answer."""

LONG_INPUT = 60
"""Characters from which an input counts as a text to work on and not only as a value."""

_SECTION = re.compile(
    r"^## (Expected output|Inputs|Form of the answer|Who takes part|What was said|Your turn[^\n]*|Your part|"
    r"Your last word|Result of \"[^\n]*\")[ \t]*$",
    re.MULTILINE,
)
_RESULT = re.compile(r"\A\s*<result[^\n>]*>\n?|\n?</result>\s*\Z")
_INPUT = re.compile(r"^- ([^\W\d]\w*): (.*)$")
_FAILED = re.compile(
    r"\s*(?:\W{0,3}(?:error|exception|traceback|failed|failure)\b|'[\w.-]+' (?:failed\.|did not end within)|"
    r"(?:there (?:is|are) no|no such|unknown|invalid|cannot|can't|could not|unable to|denied)\b|"
    r"(?:the )?arguments\b.{0,80}\b(?:wrong|invalid|not)\b)",
    re.IGNORECASE,
)
_MEANT = re.compile(r"\bdid you mean\b", re.IGNORECASE)
_NOTES = re.compile(r"\A(?:\[[^\n]*\]\n)+(?=<untrusted-)|\A\[[\d,]+ [^\n]*(?:left out|stands)[^\n]*\]\n")
"""What stands before a tool's result: how much was left out, how old it is."""
_TASK = re.compile(r"\A# Task: ([^\n]*)\n?")
_COMPLAINT = re.compile(
    r"\b(?:invalid|not valid|does not (?:satisfy|match|fit)|schema|guardrail|revise|rejected|not accepted|"
    r"try again|correct it|fix)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The task as the prompt wrote it, taken apart again."""

    description: str
    expected: str = ""
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    upstream: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call made earlier in the conversation, with its result."""

    id: str
    turn: int
    name: str
    arguments: dict[str, Any]
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One object found in a result: what may be copied together."""

    data: dict[str, Any]
    """The object's values and, behind them, those of the objects around it."""
    own: dict[str, Any]
    noun: str
    """What it is one of: the singular of the key it stood under."""
    origin: str
    """Name of the tool or the task it is from."""
    call: int = -1
    """Position of the call; -1 for an earlier task's result."""
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    """The short arguments of the call: what else is true of the object."""

    def get(self, name: str, least: float = 0.7) -> tuple[float, Any]:
        """Return how well a value fits a name (0 to 1) and the value; 0 where none reaches `least`."""
        found = self.found(name, least)
        asked = max(
            ((match(name, key), value) for key, value in self.asked.items()),
            key=lambda p: p[0],
            default=found,
        )
        return found if found[0] or asked[0] < least else asked

    def found(self, name: str, least: float = 0.7) -> tuple[float, Any]:
        """Do the same without the arguments of the call."""
        best: tuple[float, Any] = (0.0, None)
        for key, value in self.data.items():
            score = max(match(name, key), match(name, f"{self.noun}_{key}") if self.noun else 0.0)
            if value not in (None, "") and score >= least and score > best[0]:
                best = (score, value)
        return best

    @property
    def text(self) -> str:
        """The prose of the row; empty where it has none."""
        named = [self.own[key] for key in TEXT_NAMES if isinstance(self.own.get(key), str)]
        prose = named or [v for v in self.own.values() if isinstance(v, str) and v.count(" ") >= 4]
        return max(prose, key=len, default="")

    @property
    def source(self) -> str:
        """Where the row says it is from; empty where it does not."""
        for name in SOURCE_NAMES:
            value = self.data.get(name, self.asked.get(name))
            if isinstance(value, str) and value:
                start, end = self.data.get("start"), self.data.get("end")
                return f"{value}:{start}-{end}" if isinstance(start, int) and isinstance(end, int) else value
        return ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to take sentences from."""

    text: str
    source: str
    title: str = ""
    row: Row | None = None
    whole: bool = False
    """The text is one statement and not to be split."""
    upstream: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """All that the offline model knows."""

    request: Request
    assignment: Assignment
    question: str
    calls: tuple[Call, ...]
    rows: tuple[Row, ...]
    passages: tuple[Passage, ...]
    complaints: tuple[tuple[str, str], ...]
    """Answers that were sent back, each with what was said about it."""

    @property
    def turns(self) -> int:
        """How many turns called tools."""
        return max((call.turn for call in self.calls), default=0)

    def terms(self) -> dict[str, float]:
        """Return the stems to look for, with their weights; empty where the task names no subject."""
        generic = {stem(word) for word in INSTRUCTIONS}
        told = [self.question] if self.question else [self.assignment.description]
        found = {word: 1.0 for text in told for word in stems(text) if word not in generic}
        for key, value in self.assignment.inputs.items() if not self.question else ():
            if len(value) < LONG_INPUT and not set(name_stems(key)) & (FILE_WORDS | FOLDER_WORDS):
                found |= {word: 1.0 for word in stems(value) if word not in generic}
        return found


def read(request: Request) -> Case:
    """Take a request apart."""
    messages = tuple(
        replace(message, content=unfenced(_NOTES.sub("", message.content))) for message in request.messages
    )
    request = replace(request, messages=messages)
    users = [message for message in request.messages if message.role == "user"]
    first = next((m for m in users if _TASK.match(m.content)), users[0] if users else ChatMessage("user", ""))
    assignment = read_assignment(first.content)
    calls = tuple(_calls(request.messages))
    rows = list(_result_rows(calls))
    passages = list(_result_passages(calls, rows))
    for task, text in assignment.upstream.items():
        data = decode(text)
        found = [] if data is None else list(find_rows(data, "result", task))
        rows += found
        passages += (
            [*_row_passages(found, task)] if found else [Passage(_unsigned(text), task, upstream=True)]
        )
    texts = {key: value for key, value in assignment.inputs.items() if len(value) >= LONG_INPUT}
    if not passages and not texts:
        texts = {k: v for k, v in assignment.inputs.items() if v.count(" ") >= 3 and v != _asked(assignment)}
    passages += [Passage(value, key) for key, value in texts.items()]
    complaints, question = _later(request.messages, first, assignment)
    if not passages and (told := _told(assignment, question)):
        passages = [Passage(told, "")]
    return Case(request, assignment, question, calls, tuple(rows), tuple(passages), complaints)


def read_assignment(text: str) -> Assignment:
    """Take the text of an assignment apart; a text without headings is all description."""
    text = _TASK.sub("", text, count=1)
    marks = list(_SECTION.finditer(text))
    description = text[: marks[0].start()] if marks else text
    expected, inputs, upstream = "", dict[str, str](), dict[str, str]()
    inside = -1
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        title = mark.group(1)
        body = text[mark.end() : following.start() if following else len(text)]
        if mark.start() < inside:
            continue
        if title.startswith("Result of"):
            close = text.find("\n</result>", mark.end())
            inside = close if close >= 0 else mark.end()
            body = text[mark.end() : close] if close >= 0 else body
            upstream[title[len('Result of "') : -1]] = _RESULT.sub("", body)
        elif title == "What was said":
            upstream.setdefault("what was said", body.strip())
        elif title == "Expected output" and not expected:
            expected = body.strip()
        elif title == "Inputs" and not inputs:
            inputs = _inputs(body)
    return Assignment(description.strip(), expected, inputs, upstream)


def _inputs(body: str) -> dict[str, str]:
    found: dict[str, str] = {}
    key = ""
    for line in body.strip("\n").splitlines():
        if entry := _INPUT.match(line):
            key = entry.group(1)
            found[key] = entry.group(2)
        elif key:
            found[key] += f"\n{line}"
    return {key: value.strip() for key, value in found.items()}


def _later(
    messages: tuple[ChatMessage, ...], first: ChatMessage, assignment: Assignment
) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the complaints about earlier answers, and the question to answer."""
    complaints: list[tuple[str, str]] = []
    question = _asked(assignment)
    before = ""
    for message in messages:
        if message.role == "assistant" and not message.tool_calls:
            before = message.content
        elif message.role == "user" and message is not first:
            if before and (_COMPLAINT.search(message.content) or "?" not in message.content):
                complaints.append((before, message.content))
            elif "?" in message.content:
                question = message.content
    return tuple(complaints), question


def _asked(assignment: Assignment) -> str:
    for wanted in ("question", "query"):
        for key, value in assignment.inputs.items():
            if value and name_words(key)[-1:] == [wanted]:
                return value
    parts = re.split(r"(?<=[.!?\n])", assignment.description)
    return " ".join(part.strip() for part in parts if part.endswith("?"))


def _told(assignment: Assignment, question: str) -> str:
    """Return what the task itself tells beside what it asks: the last resort."""
    text = assignment.description
    if question:
        parts = re.split(r"(?<=[.!?\n])\s+", text)
        return " ".join(part for part in parts if not part.endswith("?")) if len(parts) > 1 else ""
    _, _, given = text.partition("\n\n") if "\n\n" in text else text.partition(": ")
    return given if len(given) >= LONG_INPUT else ""


def _calls(messages: tuple[ChatMessage, ...]) -> Iterator[Call]:
    results = {m.tool_call_id: m.content for m in messages if m.role == "tool"}
    turn = 0
    for message in messages:
        turn += bool(message.tool_calls)
        for call in message.tool_calls:
            text = results.get(call.id, "")
            yield Call(call.id, turn, call.name, as_object(decode(call.arguments)) or {}, text, failed(text))


def failed(text: str) -> bool:
    """Say whether a tool's answer is an error."""
    if text.lstrip().startswith("{"):
        data = as_object(decode(text))
        return bool(data and data.get("error"))
    return len(text) < 4000 and (_FAILED.match(text) is not None or _MEANT.search(text) is not None)


def _result_rows(calls: tuple[Call, ...]) -> Iterator[Row]:
    for position, call in enumerate(calls):
        if not call.failed:
            data = decode(call.text)
            data = _listed(call.text) if data is None else data
            if data is not None:
                asked = {
                    k: v for k, v in call.arguments.items() if isinstance(v, int | float) or _is_short(v)
                }
                yield from find_rows(data, _noun(call.name), call.name, position, asked)


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 300


def _listed(text: str) -> Any:
    """Read a plain text of short lines as a list of values; `None` for prose."""
    lines = [one_line(line) for line in text.splitlines() if line.strip()]
    if not lines or len(text) > 20 * 200 * 5 or any(len(line) > 200 or line.count(" ") > 3 for line in lines):
        return None
    return lines if len(lines) > 1 else lines[0]


def _noun(tool: str) -> str:
    return singular(name_words(tool)[-1]) if name_words(tool) else "result"


def find_rows(
    data: Any, noun: str, origin: str, call: int = -1, asked: dict[str, Any] | None = None
) -> Iterator[Row]:
    """Yield every object in JSON data, outer ones first; bare values count as objects of one key.

    Args:
        data: What is searched.
        noun: What its objects are, as far as no key says.
        origin: Name of the tool or task it is from.
        call: Position of the call it is from.
        asked: The call's short arguments.
    """
    stack: list[tuple[Any, str, dict[str, Any]]] = [(data, noun, {})]
    while stack:
        value, noun, around = stack.pop()
        if (row := as_object(value)) is not None:
            own: dict[str, Any] = {key: v for key, v in row.items() if not _nested(v) or _plain_list(v)}
            merged = {**around, **own}
            if own:
                yield Row(merged, own, noun, origin, call, asked or {})
            inner: list[tuple[Any, str, dict[str, Any]]] = [
                (v, singular(k), merged) for k, v in row.items() if _nested(v)
            ]
            stack += reversed(inner)
        elif (items := as_array(value)) is not None:
            stack += reversed([(item, noun, around) for item in items])
        elif value is not None and value != "":
            yield Row({**around, noun: value}, {noun: value}, noun, origin, call, asked or {})


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _plain_list(value: Any) -> bool:
    items = as_array(value)
    return items is not None and all(not isinstance(item, dict | list) for item in items)


def _result_passages(calls: tuple[Call, ...], rows: list[Row]) -> Iterator[Passage]:
    of_call: dict[int, list[Row]] = {}
    for row in rows:
        of_call.setdefault(row.call, []).append(row)
    for position, call in enumerate(calls):
        if call.failed or not call.text.strip():
            continue
        if position in of_call:
            yield from _row_passages(of_call[position], call_label(call))
        elif decode(call.text) is None:
            yield Passage(call.text, call_label(call))


def call_label(call: Call) -> str:
    """Name a call as a source: its only argument where that is a place, else the call itself."""
    values = list(call.arguments.items())
    if len(values) == 1 and match(values[0][0], "path") + match(values[0][0], "url") > 0:
        return str(values[0][1])
    short = [f"{key}={value}" for key, value in values if len(str(value).split()) < 4]
    return f"{call.name} {', '.join(short)}".strip()


def _row_passages(rows: list[Row], label: str) -> Iterator[Passage]:
    for row in rows:
        title = str(row.data.get("title", ""))
        source = row.source or label
        if row.text:
            yield Passage(row.text, source, title, row)
        elif plain := {k: v for k, v in row.own.items() if not isinstance(v, list) and v not in (None, "")}:
            single = len(plain) == 1 and len(row.own) == 1
            text = ", ".join(str(v) if single else f"{k}: {v}" for k, v in plain.items())
            yield Passage(text, source if source not in plain.values() else label, title, row, whole=True)


def _unsigned(text: str) -> str:
    return text.replace(NOTE, "").rstrip()


def decode(text: str) -> Any:
    """Read JSON; where a text was cut, read the whole objects that are left. `None` for other text."""
    stripped = text.strip()
    if not stripped or (
        stripped[0] not in '{["-' and not stripped[0].isdigit() and stripped not in ("true", "false")
    ):
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        return _salvage(stripped) if stripped[0] in "{[" else None


def _salvage(text: str) -> Any:
    """Return the complete objects within a broken text, or `None`; gives up after a few bad starts."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position, bad = text.find("{", 1), 0
    while position >= 0 and bad < 20:
        try:
            value, position = decoder.raw_decode(text, position)
            found.append(value)
        except (ValueError, RecursionError):
            bad += 1
            position += 1
        position = text.find("{", position)
    return found or None


def as_object(value: Any) -> dict[str, Any] | None:
    """Return a JSON object as such, `None` for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_array(value: Any) -> list[Any] | None:
    """Return a JSON array as such, `None` for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def mentioned(name: str, text: str) -> bool:
    """Say whether all words of a name are in a text, by stem."""
    known = {stem(word) for word in words(text)}
    wanted = [stem(word) for word in name_words(name)]
    return bool(wanted) and all(word in known for word in wanted)
