"""The final answer as data: a JSON Schema filled from results, copied together where they belong together."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from crewkit.core.messages import canonical
from crewkit.models.offline.choose import Chooser
from crewkit.models.offline.ground import key_terms, wanted_count
from crewkit.models.offline.lexicon import PROSE_NAMES
from crewkit.models.offline.material import NOTE, Case, Row, as_array, as_object, decode
from crewkit.models.offline.mentions import kind_of, mentions
from crewkit.models.offline.names import PLAIN_WORDS, SOURCE_NAMES, TEXT_NAMES, match
from crewkit.models.offline.rank import Sentence, best, ranked
from crewkit.models.offline.repair import refused, without
from crewkit.models.offline.schema import DEEPEST, Schema, fit_text
from crewkit.models.offline.words import clip, name_stems, one_line, singular, stem

USUAL_ITEMS = 12
"""Entries of a list where nothing says how many."""

LONGEST_QUOTE = 320
"""Characters from which a copied passage is narrowed to its best sentence, its offsets moved along."""

_TITLE = frozenset(map(stem, ("title", "headline", "heading", "subject")))
_PROSE = frozenset(map(stem, (*TEXT_NAMES, *PROSE_NAMES)))
_NOTES = frozenset(
    map(stem, ("note", "notes", "remark", "remarks", "caveat", "caveats", "limitation", "limitations"))
)
_VERBATIM = frozenset(
    map(stem, ("quote", "text", "passage", "content", "body", "snippet", "excerpt", "citation"))
)
"""Names of fields that are copied as they are; other prose is put on one line."""
_TELLING = frozenset(map(stem, (*TEXT_NAMES, *PROSE_NAMES, *SOURCE_NAMES))) - {
    stem("description"),
    stem("detail"),
}
"""Names of fields that a bare sentence and its source can fill."""
_WORDS = frozenset(map(stem, ("tag", "keyword", "topic", "term", "theme", "label")))
_COUNTED = re.compile(r"^(?:count|total|number|num|how_many|n)_|_(?:count|total)$|^(?:count|total)$")


@dataclass(frozen=True, slots=True)
class Filled:
    """A value for a part of the schema, and how many of its leaves come from the material."""

    value: Any
    evidence: int = 0


_NOTHING = Filled(None, -1)


def answer_data(case: Case) -> Any:
    """Return data that satisfies the output schema, as far as that is possible.

    The list entries shrink until the answer fits into the tokens allowed.
    """
    schema = Schema(case.request.output_schema or {})
    room = case.request.max_tokens * 4
    most = 100
    while True:
        value = _answer(case, schema, most)
        if len(canonical(value)) <= room or most <= 1:
            return value
        most //= 2


def _answer(case: Case, schema: Schema, most: int) -> Any:
    filled = Filler(case, schema, most).fill(schema.root, "answer", None, 0).value
    value = without(filled, refused(case))
    for candidate in (value, filled):
        if schema.accepts(candidate):
            return candidate
    return _mended(value, schema, schema.root, 0)


def _mended(value: Any, schema: Schema, part: Any, depth: int) -> Any:
    """Replace what is wrong by the smallest right value, as deep in the answer as possible."""
    resolved = schema.resolve(part)
    if depth > DEEPEST or schema.fits(value, resolved):
        return value
    row, known = as_object(value), schema.properties(resolved)
    if row is not None and known:
        needed = schema.required(resolved)
        mended = {k: _mended(v, schema, known[k], depth + 1) for k, v in row.items() if k in known}
        mended = {k: v for k, v in mended.items() if k in needed or schema.fits(v, schema.resolve(known[k]))}
        mended |= {k: schema.sample(known.get(k, {})) for k in needed if k not in mended}
        if schema.fits(mended, resolved):
            return mended
    return schema.sample(resolved)


class Filler:
    """Fills the parts of one schema from one case."""

    def __init__(self, case: Case, schema: Schema, most: int) -> None:
        self.case = case
        self.schema = schema
        self.most = most
        self.found = ranked(case)
        self.relevant = best(self.found, 400, spread=not any(s.score > 0 for s in self.found))
        self.choose = Chooser(case, self.relevant)
        self.scores: dict[int, float] = {}
        self.said: dict[int, list[Sentence]] = {}
        for sentence in sorted(self.found, key=lambda s: (-s.score, -s.weight, s.order)):
            if sentence.passage.row is not None:
                key = id(sentence.passage.row)
                self.scores[key] = max(self.scores.get(key, 0.0), sentence.score)
                self.said.setdefault(key, []).append(sentence)

    def fill(self, part: Any, name: str, row: Row | None, depth: int) -> Filled:
        """Return a value for a part of the schema; what is within is copied from `row`."""
        found = self.schema.resolve(part)
        if depth > DEEPEST:
            return Filled(self.schema.sample(found))
        if "const" in found:
            return Filled(found["const"])
        if found.get("enum"):
            member, evidence = self.choose.member(name, found, row)
            return Filled(member, evidence)
        options = self.schema.branches(found)
        if options != [found]:
            return self._fill_any(options, found, name, row, depth)
        if "type" not in found:
            found = self.schema.without_null(found)
        kind = found.get("type")
        if kind == "object":
            return self._fill_object(found, name, row, depth)
        if kind == "array":
            return self._fill_array(found, name, row, depth)
        return self._fill_leaf(found, name, row)

    def _fill_any(
        self, options: list[dict[str, Any]], whole: dict[str, Any], name: str, row: Row | None, depth: int
    ) -> Filled:
        filled = [self.fill(option, name, row, depth + 1) for option in options]
        valid = [f for f in filled if self.schema.fits(f.value, whole)]
        if not valid:
            return Filled(self.schema.sample(whole))
        top = max(f.evidence for f in valid)
        if top <= 0 and any(f.value is None for f in valid):
            return Filled(None)
        return next(f for f in valid if f.evidence == top)

    def _fill_leaf(self, part: dict[str, Any], name: str, row: Row | None) -> Filled:
        kind = part.get("type")
        if kind == "null":
            return Filled(None)
        if kind == "boolean":
            value, evidence = self.choose.truth(name, part, row)
            return Filled(value, evidence)
        found = self._text(part, name, row) if kind == "string" else self._number(part, name, row)
        return found if self.schema.fits(found.value, part) else Filled(self.schema.sample(part))

    def _fill_object(self, part: dict[str, Any], name: str, row: Row | None, depth: int) -> Filled:
        properties = self.schema.properties(part)
        if not properties:
            extra = self.schema.resolve(part.get("additionalProperties", {}))
            return self._fill_map(part, extra, row)
        row = row or self._row_for(part)
        needed = self.schema.required(part)
        value: dict[str, Any] = {}
        evidence = 0
        for key, inner in properties.items():
            resolved = self.schema.resolve(inner)
            filled = self.fill(resolved, key, row, depth + 1)
            if key not in needed and filled.evidence <= 0:
                continue
            value[key] = filled.value
            evidence += max(filled.evidence, 0)
        for key in needed:
            value.setdefault(key, self.schema.sample(properties.get(key, {})))
        return Filled(value, evidence)

    def _fill_map(self, part: dict[str, Any], values: dict[str, Any], row: Row | None) -> Filled:
        """Fill an object of free keys with the values of a row that fit."""
        row = row or (self._by_score(list(self.case.rows)) or [None])[0]
        if row is None or part.get("additionalProperties") is False:
            return Filled(self.schema.sample(part))
        value = {k: v for k, v in row.own.items() if not values or self.schema.fits(v, values)}
        return (
            Filled(value, len(value)) if self.schema.fits(value, part) else Filled(self.schema.sample(part))
        )

    def _row_for(self, part: dict[str, Any]) -> Row | None:
        """Return the object that answers to most of a part's own fields, if it does to at least half."""
        leaves = self._leaves(part, deep=False)
        need = max(1 if len(leaves) == 1 else 2, (len(leaves) + 1) // 2)
        rated = [(self._fit(row, leaves), row) for row in self._by_score(list(self.case.rows))]
        return (
            max(rated, key=lambda pair: pair[0], default=(0, None))[1]
            if any(n >= need for n, _ in rated)
            else None
        )

    def _leaves(self, part: Any, *, deep: bool, depth: int = 0) -> list[str]:
        """Return the names of a part's scalar fields; with `deep` those of the parts within it too."""
        names: list[str] = []
        for option in self.schema.branches(self.schema.resolve(part)) if depth < 6 else ():
            for key, inner in self.schema.properties(option).items():
                resolved = self.schema.without_null(inner)
                if resolved.get("type") not in ("object", "array"):
                    names.append(key)
                elif deep:
                    within = resolved.get("items") if resolved.get("type") == "array" else resolved
                    names += self._leaves(within, deep=True, depth=depth + 1)
        return list(dict.fromkeys(names))

    def _fit(self, row: Row, leaves: list[str]) -> int:
        prose = bool(row.text)
        return sum(
            row.get(leaf)[0] > 0 or (prose and (name_stems(leaf) or ("",))[-1] in _PROSE) for leaf in leaves
        )

    def _by_score(self, rows: list[Row]) -> list[Row]:
        return sorted(rows, key=lambda row: -self.scores.get(id(row), 0.0))

    def _fill_array(self, part: dict[str, Any], name: str, row: Row | None, depth: int) -> Filled:
        if first := as_array(part.get("prefixItems")):
            filled = [self.fill(inner, name, row, depth + 1) for inner in first]
            return Filled([f.value for f in filled], sum(max(f.evidence, 0) for f in filled))
        items = self.schema.resolve(part.get("items") or {})
        kind = self.schema.without_null(items).get("type")
        if row is not None:
            entries = self._entries_of_row(items, kind, name, row, depth)
        elif kind in ("object", "array"):
            entries = [self.fill(items, singular(name), r, depth + 1) for r in self._rows_for(items, part)]
        else:
            entries = self._scalars(items, name, part)
        return self._bounded(entries, part, items)

    def _entries_of_row(
        self, items: dict[str, Any], kind: Any, name: str, row: Row, depth: int
    ) -> list[Filled]:
        score, value = row.get(name)
        if score and (same := as_array(value)) is not None:
            return [Filled(v, 1) for v in same if self.schema.fits(v, items)]
        if kind == "object" and not self._fit(row, self._leaves(items, deep=True)):
            return []
        return [self.fill(items, singular(name), row, depth + 1)]

    def _bounded(self, entries: list[Filled], part: dict[str, Any], items: dict[str, Any]) -> Filled:
        least = int(part.get("minItems", 0))
        unique: dict[str, Filled] = {}
        for entry in entries:
            if entry.evidence > 0:
                unique.setdefault(canonical(entry.value), entry)
        kept = list(unique.values())[: min(part.get("maxItems", self.most), max(self.most, least))]
        values = [entry.value for entry in kept]
        if len(values) < least:
            values += self.schema.sample({**part, **self.schema.definitions})[len(values) :] or []
            values += [self.schema.sample(items) for _ in range(least - len(values))]
        return Filled(values, sum(entry.evidence for entry in kept))

    def _rows_for(self, items: dict[str, Any], part: dict[str, Any]) -> list[Row]:
        """Return the objects that the entries of a list are made of: those that fit best, the best first."""
        leaves = self._leaves(items, deep=True)
        rated = {id(row): self._fit(row, leaves) for row in self.case.rows}
        top = max(rated.values(), default=0)
        rows = [row for row in self.case.rows if rated[id(row)] == top and top >= min(2, len(leaves))]
        if not rows:
            rows = [_as_row(s) for s in self.relevant if s.passage.row is None or s.passage.row.text]
            told = sum((name_stems(leaf) or ("",))[-1] in _TELLING for leaf in leaves)
            return rows[: self._count(part, len(rows))] if 2 * told >= len(leaves) else []
        if _linked(rows):
            return [row for row in rows if row.own.get("name")][: part.get("maxItems", self.most)]
        rows = [row for row in rows if not row.text or id(row) in self.said] or rows
        if any(s > 0 for s in self.scores.values()):
            strongest = max(self.scores.get(id(row), 0.0) for row in rows)
            if strongest > 0 and any(row.text for row in rows):
                rows = [row for row in rows if self.scores.get(id(row), 0.0) >= 0.4 * strongest]
                rows = self._by_score(rows)
        else:
            rows = self._spread(rows, self._count(part, len(rows)))
        return [self._narrowed(row) for row in rows[: self._count(part, len(rows))]]

    def _spread(self, rows: list[Row], count: int) -> list[Row]:
        """Choose rows where nothing is asked: one of each source before a second of any; in the sources' order."""
        weights = {id(row): self.said[id(row)][0].weight for row in rows if id(row) in self.said}
        order = {source: i for i, source in enumerate(dict.fromkeys(_origin(row) for row in rows))}
        taken: Counter[str] = Counter()
        turns: list[tuple[int, int, int]] = []
        for i in sorted(range(len(rows)), key=lambda i: -weights.get(id(rows[i]), 0.0)):
            source = _origin(rows[i])
            turns.append((taken[source], order[source], i))
            taken[source] += 1
        chosen = [i for _, _, i in sorted(turns)[:count]]
        return [rows[i] for i in sorted(chosen, key=lambda i: (_origin(rows[i]) if rows[i].text else "", i))]

    def _narrowed(self, row: Row) -> Row:
        """Return a row with a passage of several lines cut to its best sentence, its offsets moved along."""
        said = self.said.get(id(row), [])
        several = len(row.text) > LONGEST_QUOTE or "\n" in row.text
        return narrowed(row, said[0].text, said[0].start) if said and several else row

    def _count(self, part: dict[str, Any], available: int) -> int:
        task = self.case.assignment
        asked = [n for _, why in self.case.complaints if (n := wanted_count(why))]
        count = asked[-1] if asked else wanted_count(task.expected) or wanted_count(task.description)
        whole = re.search(r"\b(?:all|every|each)\b", f"{task.description} {task.expected}", re.IGNORECASE)
        usual = available if whole or not any(row.text for row in self.case.rows) else USUAL_ITEMS
        return max(
            int(part.get("minItems", 0)), min(count or usual, self.most, part.get("maxItems", self.most))
        )

    def _scalars(self, items: dict[str, Any], name: str, part: dict[str, Any]) -> list[Filled]:
        if items.get("enum"):
            return [Filled(member, 1) for member in self.choose.members(name, items)]
        count = self._count(part, 100)
        one = singular(name)
        rows = self._by_score(list(self.case.rows))
        values = [self.schema.coerce(row.get(one)[1], items) for row in rows if row.get(one)[0]]
        kept = [v for v in values if v is not None]
        last = (name_stems(one) or ("",))[-1]
        kind = self.schema.without_null(items).get("type")
        if not kept and kind == "string":
            kept = self._texts(last, name, count, items)
        elif not kept and kind in ("integer", "number"):
            told = [n for s in self.relevant[:count] for n in self.choose.numbers(s.text)]
            kept = [
                v for n in told if (v := self.schema.bounded(n, self.schema.without_null(items))) is not None
            ]
        elif not kept and kind in ("boolean", None):
            return [self.fill(items, one, None, DEEPEST)] if part.get("minItems") else []
        return [Filled(v, 1) for v in kept[:count]]

    def _texts(self, last: str, name: str, count: int, items: dict[str, Any]) -> list[str]:
        if last in {stem(w) for w in SOURCE_NAMES}:
            texts = list(dict.fromkeys(s.source for s in self.relevant))
            linked = [u for s in self.relevant for u in mentions("url", s.text)]
            texts = linked if last in {stem(w) for w in ("url", "link", "uri")} and linked else texts
        elif last in _WORDS:
            texts = key_terms(" ".join(s.text for s in self.relevant[:20]))
        elif last in _NOTES:
            texts = [NOTE]
        else:
            texts = [s.line for s in self.relevant] or self.choose.topics
        return [fitted for t in texts[:count] if (fitted := fit_text(t, self.schema.without_null(items)))]

    def _number(self, part: dict[str, Any], name: str, row: Row | None) -> Filled:
        if row is not None and row.get(name)[0]:
            value = self.schema.coerce(row.get(name)[1], part)
            if value is not None:
                return Filled(value, 1)
        value = self.choose.number(name, row, str(part.get("description", "")))
        if value is None and row is None and _COUNTED.search(name):
            value = float(len(self.case.rows))
        bounded = self.schema.coerce(value, part) if value is not None else None
        if (
            bounded is None
            and value is not None
            and part.get("type") == "integer"
            and self.schema.fits(round(value), part)
        ):
            bounded = round(value)
        return Filled(bounded, 1) if bounded is not None else Filled(self.schema.sample(part))

    def _text(self, part: dict[str, Any], name: str, row: Row | None) -> Filled:
        for text in self._candidates(part, name, row):
            if (fitted := fit_text(text, part)) is not None and self.schema.fits(fitted, part):
                return Filled(fitted, 1)
        return Filled(self.schema.sample(part))

    def _candidates(self, part: dict[str, Any], name: str, row: Row | None) -> list[str]:
        """Return the texts that a field could hold, the best first."""
        last = (name_stems(name) or ("",))[-1]
        kind = kind_of(name, "", str(part.get("format", "")))
        if last in _NOTES:
            return [NOTE]
        copied = self._copied(part, name, row)
        labelled = self.choose.labelled(name, row, str(part.get("description", "")))
        if kind in ("email", "url") or part.get("format") == "date":
            texts = [*copied, *labelled, *(s.text for s in (*self.relevant[:50], *self.found[:500]))]
            return [v for text in texts for v in mentions(kind, text)]
        retold = row is not None and last in _PROSE - _VERBATIM and name not in row.own
        if copied and not retold:
            return copied
        if last in _TITLE:
            return [self._title(row)]
        if last in _PROSE:
            return [self._prose(last, row)] if self._prose(last, row) else []
        return [*labelled, *self._mentioned(name, row)]

    def _copied(self, part: dict[str, Any], name: str, row: Row | None) -> list[str]:
        if row is not None:
            score, value = row.get(name)
            if score and not isinstance(value, list | dict):
                return [str(self.schema.coerce(value, part) or value)]
            return []
        if (name_stems(name) or ("",))[-1] in _PROSE | _TITLE and not self._exact(name):
            return []
        inputs = [
            v for k, v in self.case.assignment.inputs.items() if match(name, k) >= 0.8 and decode(v) is None
        ]
        rated = [(row.get(name), i) for i, row in enumerate(self._by_score(list(self.case.rows)))]
        top = max((score for (score, _), _ in rated), default=0.0)
        rows = [
            str(v) for (score, v), _ in rated if score == top and top > 0 and not isinstance(v, list | dict)
        ]
        return [*rows[:1], *inputs] if top >= 0.95 else [*inputs, *rows[:1]]

    def _exact(self, name: str) -> bool:
        """Say whether exactly one object has this very field: then it is the answer's."""
        return sum(name in row.own for row in self.case.rows) == 1

    def _title(self, row: Row | None) -> str:
        if row is not None:
            return clip(self._prose("", row).rstrip("."), 80)
        task = self.case.assignment
        topics = [v for k, v in task.inputs.items() if match("topic", k) and v]
        return clip(
            one_line(
                self.case.question or (topics[0] if topics else re.split(r"[.:\n]", task.description)[0])
            ),
            100,
        )

    def _prose(self, last: str, row: Row | None) -> str:
        if row is not None:
            own = self.said.get(id(row), [])
            return own[0].line if own else one_line(row.text)
        count = 1 if last in {stem(w) for w in ("answer", "title", "sentence", "quote")} else 3
        return " ".join(s.line for s in self.relevant[:count])

    def _mentioned(self, name: str, row: Row | None) -> list[str]:
        """Return sentences that speak of a field's own words; within a row its best sentence."""
        if row is not None:
            return [text] if (text := self._prose("", row)) else []
        wanted = set(name_stems(name)) - PLAIN_WORDS
        told = [
            s.line
            for s in self.relevant
            if wanted and wanted <= {stem(w) for w in re.findall(r"\w+", s.text.lower())}
        ]
        return told[:1]


def narrowed(row: Row, text: str, at: int) -> Row:
    """Return a row with its passage cut to one sentence and the offsets moved along, where they are exact."""
    start, end, whole = row.data.get("start"), row.data.get("end"), row.text
    moved = row.data | dict.fromkeys((key for key, value in row.data.items() if value == whole), text)
    if isinstance(start, int) and isinstance(end, int):
        if end - start != len(whole):
            return row
        moved |= {"start": start + at, "end": start + at + len(text)}
    return Row(moved, {k: moved[k] for k in row.own}, row.noun, row.origin, row.call, row.asked)


def _as_row(sentence: Sentence) -> Row:
    """Make an object of a sentence: its text and, under every usual name, its source."""
    if sentence.passage.row is not None and sentence.passage.row.text:
        return narrowed(sentence.passage.row, sentence.text, sentence.start)
    data: dict[str, Any] = {"text": sentence.text}
    data |= dict.fromkeys((n for n in SOURCE_NAMES if n != "title"), sentence.source)
    return Row(data, data, "", sentence.passage.source)


def _linked(rows: list[Row]) -> bool:
    """Say whether entries refer to each other by name: then they belong together, and are copied as they are."""
    names = {str(row.own.get("name")) for row in rows if row.own.get("name")}
    lists = (as_array(value) for row in rows for value in row.own.values())
    return any(links and all(link in names for link in links) for links in lists)


def _origin(row: Row) -> str:
    return next((v for name in SOURCE_NAMES if isinstance(v := row.data.get(name), str) and v), "")
