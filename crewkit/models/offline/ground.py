"""Arguments for tools, taken from the task, its inputs, earlier results; never from thin air."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crewkit.core.messages import canonical
from crewkit.models.base import ToolSpec
from crewkit.models.offline.lexicon import INSTRUCTIONS, NUMBER_WORDS, STOP_WORDS
from crewkit.models.offline.material import LONG_INPUT, Case, as_array, as_object, decode, mentioned
from crewkit.models.offline.mentions import after, is_path, kind_of, mentions, names, quoted
from crewkit.models.offline.names import FILE_WORDS, FOLDER_WORDS, LIMIT_WORDS, PLAIN_WORDS, match
from crewkit.models.offline.schema import Schema
from crewkit.models.offline.words import (
    clip,
    name_stems,
    name_words,
    numbers,
    singular,
    stem,
    words,
)

MOST_CALLS = 64
"""Calls of one tool in one turn."""

MENTIONS_IN = 20_000
"""Characters of the task's text that are searched for values."""


LONGEST_ARGUMENT = 20_000
"""Characters."""

MOST_COMBINATIONS = 2_000
"""Sets of arguments that are looked at for one tool."""

_LEFT_OUT = object()


@dataclass(frozen=True, slots=True)
class Value:
    """A value that an argument could have, and how well it is founded (0 to 1)."""

    value: Any
    score: float
    table: str = ""
    """Values of one table and row belong together."""
    row: int = 0


class Grounds:
    """Everything of a case that an argument may be taken from."""

    def __init__(self, case: Case) -> None:
        self.case = case
        task = case.assignment
        short = [f"{key}: {value}" for key, value in task.inputs.items() if len(value) < LONG_INPUT]
        self.told = "\n".join([case.question, task.description, *short])[:MENTIONS_IN]
        earlier = [text for text in task.upstream.values() if decode(text) is None]
        longer = [value for value in task.inputs.values() if len(value) >= LONG_INPUT]
        self.texts = [self.told, "\n".join(longer)[:MENTIONS_IN], "\n".join(earlier)[:MENTIONS_IN]]

    def calls(self, tool: ToolSpec) -> list[dict[str, Any]]:
        """Return the arguments of every call of a tool that is founded; empty where a required one is not."""
        schema = Schema(tool.parameters)
        found = {canonical(arguments): arguments for arguments in self._bind(tool, schema)}
        return [
            arguments
            for arguments in itertools.islice(found.values(), MOST_CALLS)
            if schema.accepts(arguments)
        ]

    def _bind(self, tool: ToolSpec, schema: Schema) -> Iterator[dict[str, Any]]:
        properties = schema.properties(schema.root)
        required = [name for name in schema.required(schema.root) if name in properties]
        found: dict[str, list[Value]] = {}
        used: set[str] = set()
        for name in required:
            values = self.values(tool, name, schema.resolve(properties[name]), schema, used)
            if not values:
                return
            found[name] = values
            used |= {canonical(v.value) for v in values[:1] if not v.table}
        extra = {
            n: v
            for n, s in properties.items()
            if n not in required
            for v in self._optional(n, schema.resolve(s), schema)
        }
        for arguments in _combined(found):
            more = {n: v for n, v in extra.items() if v not in arguments.values()}
            yield {
                n: v for n in properties for v in [(arguments | more).get(n, _LEFT_OUT)] if v is not _LEFT_OUT
            }

    def _optional(self, name: str, part: dict[str, Any], schema: Schema) -> Iterator[Any]:
        """Yield a value where the task clearly states one; the default serves otherwise."""
        part = schema.without_null(part)
        if part.get("type") == "boolean":
            yield from [True] if mentioned(name, self.case.assignment.description) else []
        elif "enum" in part:
            yield from [v.value for v in self._members(name, part) if v.score >= 0.8][:1]
        else:
            stated = [*self._from_inputs(name, part, schema), *self._labelled(name, part, schema)]
            yield from [v.value for v in stated if v.score >= (0.95 if _is_limit(name) else 0.75)][:1]

    def values(
        self, tool: ToolSpec, name: str, part: dict[str, Any], schema: Schema, used: set[str]
    ) -> list[Value]:
        """Return the best founded values of a required parameter, all of one kind of foundation."""
        nullable = schema.nullable(part)
        part = schema.without_null(part)
        found = self._values(tool, name, part, schema, used)
        return found or ([Value(None, 0.1)] if nullable else [])

    def _values(
        self, tool: ToolSpec, name: str, part: dict[str, Any], schema: Schema, used: set[str]
    ) -> list[Value]:
        if "const" in part:
            return [Value(part["const"], 1.0)]
        if "enum" in part:
            return self._members(name, part)
        kind = part.get("type")
        if kind == "boolean":
            return [Value(part.get("default", mentioned(name, self.told)), 0.3)]
        if kind == "object":
            return self._object(tool, part, schema)
        if kind == "array":
            return self._array(tool, name, part, schema)
        if kind in ("integer", "number") and _is_limit(name):
            return self._limit(name, part, schema)
        keyed = [*self._from_inputs(name, part, schema), *self._from_rows(tool, name, part, schema)]
        text = kind_of(name, str(part.get("description", "")), str(part.get("format", "")))
        if kind in ("integer", "number"):
            text = "number"
        if text == "query" and max((v.score for v in keyed if v.table), default=0.0) < 0.95:
            return self._query(tool)
        if keyed:
            best = max(v.score for v in keyed)
            return [v for v in keyed if v.score == best]
        return self._unkeyed(text, tool, name, part, schema, used)

    def _unkeyed(
        self, kind: str, tool: ToolSpec, name: str, part: dict[str, Any], schema: Schema, used: set[str]
    ) -> list[Value]:
        if labelled := self._labelled(name, part, schema):
            return labelled
        for text in self.texts:
            free: list[Any] = list(numbers(text)) if kind == "number" else list(mentions(kind, text))
            fitting = [schema.coerce(v, part) for v in free if schema.coerce(v, part) is not None]
            fitting = [v for v in fitting if canonical(v) not in used]
            if fitting:
                several = kind not in ("number", "expression") and len(schema.required(schema.root)) == 1
                return (
                    [Value(v, 0.5, f"{kind}?", i) for i, v in enumerate(fitting)]
                    if several
                    else [Value(fitting[0], 0.5)]
                )
        if kind == "text":
            return self._text(part, schema)
        if kind == "sql":
            return self._sql()
        if kind == "name" and part.get("type") == "string" and not self.case.rows:
            only = [v for v in self.case.assignment.inputs.values() if len(v) < LONG_INPUT and not is_path(v)]
            return [Value(v, 0.2) for v in only[:1] if canonical(v) not in used and schema.fits(v, part)]
        return []

    def _members(self, name: str, part: dict[str, Any]) -> list[Value]:
        inputs = self.case.assignment.inputs
        for key, value in inputs.items():
            if match(name, key) and (same := [m for m in part["enum"] if str(m).lower() == value.lower()]):
                return [Value(same[0], 1.0)]
        named = [m for m in part["enum"] if isinstance(m, str) and mentioned(m, self.told)]
        if named:
            return [Value(m, 0.8, f"{name}?", i) for i, m in enumerate(named)]
        default = part.get("default")
        members = [default] if default in part["enum"] else part["enum"]
        return [Value(m, 0.3, f"{name}?", i) for i, m in enumerate(members[:8])]

    def _object(self, tool: ToolSpec, part: dict[str, Any], schema: Schema) -> list[Value]:
        inner = ToolSpec(tool.name, tool.description, {**part, **schema.definitions})
        found = [v for v in self._bind(inner, Schema(inner.parameters)) if v]
        return [Value(v, 0.6, f"{tool.name} objects", i) for i, v in enumerate(found)]

    def _array(self, tool: ToolSpec, name: str, part: dict[str, Any], schema: Schema) -> list[Value]:
        for key, value in self.case.assignment.inputs.items():
            data = decode(value)
            if match(name, key) >= 0.95 and data is not None and schema.fits(data, part):
                return [Value(data, 1.0)]
        items = schema.resolve(part.get("items") or {})
        found = [v.value for v in self.values(tool, singular(name), items, schema, set())] if items else []
        unique = list({canonical(v): v for v in found}.values())[: part.get("maxItems", MOST_CALLS)]
        return [Value(unique, 0.6)] if unique and len(unique) >= part.get("minItems", 1) else []

    def _limit(self, name: str, part: dict[str, Any], schema: Schema) -> list[Value]:
        stated = [v.value for v in self._from_inputs(name, part, schema)]
        first = {"offset": 0, "page": 1, "start": 0}.get(name_words(name)[-1], 10)
        for wanted in (*stated, part.get("default"), wanted_count(self.case.assignment.expected), first):
            if wanted is not None and (value := schema.bounded(wanted, part)) is not None:
                return [Value(value, 0.3)]
        return []

    def _from_inputs(self, name: str, part: dict[str, Any], schema: Schema) -> Iterator[Value]:
        for key, text in self.case.assignment.inputs.items():
            score = match(name, key)
            data = decode(text)
            if score <= 0 or (_wants_file(name) and _is_folder(key)):
                continue
            score -= 0.1 if _is_folder(key) and not _is_folder(name) else 0.0
            items = as_array(data)
            each = items if items is not None else [text] if data is None else [data, text]
            fitting = [v for item in each if (v := schema.coerce(item, part)) is not None]
            for i, value in enumerate(fitting if items is not None else fitting[:1]):
                yield Value(value, score, f"input {key}" if items is not None else "", i)

    def _from_rows(self, tool: ToolSpec, name: str, part: dict[str, Any], schema: Schema) -> Iterator[Value]:
        single = kind_of(name, "", str(part.get("format", ""))) in ("id", "url", "email")
        for i, row in enumerate(self.case.rows):
            score, found = max((row.found(n) for n in _full_names(tool, name)), key=lambda pair: pair[0])
            value = schema.coerce(found, part) if score else None
            if value is None or (single and " " in str(value)):
                continue
            folder = _says_folder(row.data) or str(value).endswith("/")
            if (row.origin == tool.name and not folder) or (folder and not _is_folder_like(name, tool)):
                continue
            if not isinstance(value, str) or len(value) <= LONGEST_ARGUMENT:
                yield Value(value, score, f"rows {row.origin}", i)

    def _labelled(self, name: str, part: dict[str, Any], schema: Schema) -> list[Value]:
        """Return what the texts call by a parameter's name: `order A-17`, `3 days`, `from Bern`."""
        parts = [w for w in name_words(name) if len(w) > 1]
        telling = [w for w in parts if stem(w) not in PLAIN_WORDS and w not in STOP_WORDS] or parts
        for text in self.texts:
            for word in dict.fromkeys([" ".join(parts), *reversed(telling)] if parts else ()):
                found = after(word, text)
                if part.get("type") in ("integer", "number"):
                    counted = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?) {re.escape(singular(word))}(?:s|es)?\b")
                    found += counted.findall(text)
                fitting = [v for f in found if (v := schema.coerce(f, part)) is not None]
                if fitting:
                    return [Value(v, 0.8, f"{name} said", i) for i, v in enumerate(fitting)]
        word = _DIRECTIONS.get(parts[0], "") if parts else ""
        stated = (
            [v for f in after(word, self.told) if (v := schema.coerce(f, part)) is not None] if word else []
        )
        return [Value(v, 0.75) for v in stated[:1]]

    def _query(self, tool: ToolSpec) -> list[Value]:
        """Return what to search for: the question first, and simpler words where that found nothing."""
        mine = [call for call in self.case.calls if call.name == tool.name]
        barren = [
            turn
            for turn in {c.turn: 0 for c in mine}
            if all(is_empty(c.text) for c in mine if c.turn == turn)
        ]
        queries = self.queries()
        chosen = queries[len(barren)] if len(barren) < len(queries) else []
        return [Value(query, 0.6, "queries", i) for i, query in enumerate(chosen)]

    def queries(self) -> list[list[str]]:
        """Return what to search for, in the order of trying; the queries of one entry go together."""
        task = self.case.assignment
        topics = [v for k, v in task.inputs.items() if match("query", k) and 0 < len(v) <= 400]
        said = self.case.question or task.description
        main = [self.case.question] if self.case.question else topics or quoted(task.description)[:3]
        terms = key_terms(said)
        simple = list(dict.fromkeys([*topics, *quoted(said), *names(said)]))
        alone = list(dict.fromkeys([*simple, *sorted(terms, key=len, reverse=True)]))[:6]
        tried = [[clip(q, 400) for q in main], [" ".join(terms[:12])] if terms else [], alone]
        return [queries for queries in tried if queries]

    def _text(self, part: dict[str, Any], schema: Schema) -> list[Value]:
        """Return a text to work on: a long input, an earlier task's result, or what was just read."""
        task = self.case.assignment
        longer = [v for v in task.inputs.values() if len(v) >= LONG_INPUT]
        given = [text.split("\n\n", 1)[1] for text in (task.description,) if "\n\n" in text]
        after_colon = [task.description.split(":", 1)[1].strip()] if ":" in task.description else []
        results = [call.text for call in self.case.calls if not call.failed and not is_empty(call.text)]
        for found in (
            longer,
            list(task.upstream.values()),
            results,
            quoted(task.description),
            given,
            after_colon,
        ):
            fitting = [v for v in found if v and schema.fits(v, part)]
            if fitting:
                return [Value(v, 0.4, "texts", i) for i, v in enumerate(fitting[:8])]
        return []

    def _sql(self) -> list[Value]:
        tables = [
            v
            for row in self.case.rows
            for k, v in row.data.items()
            if match("table", k) or match("table_name", k)
        ]
        named = [t for t in dict.fromkeys(tables) if isinstance(t, str) and t.isidentifier()]
        statements = [f"SELECT * FROM {t} LIMIT 100" for t in named]  # noqa: S608 - identifiers only
        return [Value(statement, 0.4, "tables", i) for i, statement in enumerate(statements)]


def _combined(found: dict[str, list[Value]]) -> Iterator[dict[str, Any]]:
    """Yield argument sets: values of one table row by row, values of different tables in all combinations."""
    tables: dict[str, dict[int, dict[str, Any]]] = {}
    fixed: dict[str, Any] = {}
    for name, values in found.items():
        table = values[0].table or ""
        if not table:
            fixed[name] = values[0].value
        else:
            key = table if table.startswith("rows ") else f"{table} {name}"
            for value in values:
                tables.setdefault(key, {}).setdefault(value.row, {})[name] = value.value
    whole = [list(_full_rows(rows)) for rows in tables.values()]
    for choice in itertools.islice(itertools.product(*whole), MOST_COMBINATIONS):
        yield fixed | {name: value for row in choice for name, value in row.items()}


def _full_rows(rows: dict[int, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    wanted = {name for row in rows.values() for name in row}
    whole = [row for row in rows.values() if set(row) == wanted]
    if whole:
        yield from whole
    else:
        yield {name: next(row[name] for row in rows.values() if name in row) for name in sorted(wanted)}


def key_terms(text: str) -> list[str]:
    """Return the words that carry a text's subject, as written, in their order, each once."""
    boring = {stem(word) for word in INSTRUCTIONS}
    kept = [
        w
        for w in re.findall(r"[\w'-]+", text)
        if (low := words(w)) and low[0] not in STOP_WORDS and stem(low[0]) not in boring
    ]
    return list(dict.fromkeys(kept))


_DIRECTIONS = {
    "from": "from",
    "source": "from",
    "origin": "from",
    "to": "to",
    "target": "to",
    "destination": "to",
}
_ITEM = (
    r"(?:\w+[ -]){0,2}(?:items?|points?|lines?|sentences?|bullets?|facts?|entries|examples?|sources?|titles?|"
    r"names?|findings?|ideas?|reasons?|results?|words?|quotes?|passages?|citations?|documents?)"
)
_COUNT = re.compile(rf"\b(\d{{1,3}}|[a-z]+)(?: (?:to|or) (\d{{1,3}}|[a-z]+))? {_ITEM}\b", re.IGNORECASE)


def wanted_count(text: str) -> int | None:
    """Return how many items a text asks for: `Five items`, `at most 12 points`."""
    for found in _COUNT.finditer(text):
        for word in (found.group(2), found.group(1)):
            number = int(word) if word and word.isdigit() else NUMBER_WORDS.get((word or "").lower())
            if number and not found.group().lower().endswith(("word", "words")):
                return number
    return None


def is_empty(text: str) -> bool:
    """Say whether a tool found nothing."""
    data = decode(text)
    if (row := as_object(data)) is not None:
        lists = [as_array(v) for v in row.values() if isinstance(v, list)]
        return bool(lists) and not any(lists)
    return data in ([], {}) or (
        len(text) < 80
        and re.match(r"\s*(?:null|none|\W*|(?:no|nothing|0)\b.*|.*\bnot found\b.*)\s*\Z", text, re.IGNORECASE)
        is not None
    )


def _is_limit(name: str) -> bool:
    parts = name_words(name)
    return bool(parts) and (
        (stem(parts[-1]) in LIMIT_WORDS and parts[-1] != "number")
        or parts[0] in ("max", "top", "limit", "num")
        or parts[-1] in ("offset", "page")
    )


def _is_folder(key: str) -> bool:
    return bool(set(name_stems(key)) & FOLDER_WORDS)


def _wants_file(name: str) -> bool:
    return bool(set(name_stems(name)) & FILE_WORDS - {stem("path")})


def _full_names(tool: ToolSpec, name: str) -> list[str]:
    """Return a parameter's name, and behind a tool's noun where it says little alone: `read_file(name)`."""
    nouns = name_words(tool.name)[-1:] if set(name_stems(name)) <= PLAIN_WORDS else []
    return [name, *(f"{singular(noun)}_{name}" for noun in nouns)]


def _says_folder(row: dict[str, Any]) -> bool:
    says = str(row.get("type", row.get("kind", ""))).lower()
    return says in ("dir", "directory", "folder") or row.get("is_dir") is True


def _is_folder_like(name: str, tool: ToolSpec) -> bool:
    return bool(set(name_stems(name)) & FOLDER_WORDS) or name_words(tool.name)[:1] in (
        ["list"],
        ["ls"],
        ["walk"],
    )
