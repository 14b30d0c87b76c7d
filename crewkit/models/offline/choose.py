"""Choices and values read out of the material: a member of a list, yes or no, a number, a labelled value."""

# ruff: noqa: RUF001 - typographic quotes and signs are what it looks for

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import Any

from crewkit.models.offline.lexicon import APPROVALS, CLASSES, DENIALS, VAGUE
from crewkit.models.offline.material import LONG_INPUT, Case, Row
from crewkit.models.offline.names import FILE_WORDS, FOLDER_WORDS, PLAIN_WORDS, match
from crewkit.models.offline.rank import Sentence
from crewkit.models.offline.words import NUMBER, name_stems, name_words, numbers, one_line, stem, stems, words

_RELATED = {stem(line[0]): frozenset(map(stem, line)) for line in CLASSES}
_NEGATIVE = frozenset(DENIALS)
_APPROVAL = frozenset(map(stem, APPROVALS))
_LABEL = re.compile(
    r"^[^\w\n]{0,8}([^\W\d_][\w .#/()'-]{0,48}?)[*_`]{0,3}[ \t]*(?:[:=|]| - )[*_`]{0,3}[ \t]*"
    r"(\S[^\n|]{0,300}?)[ \t]*\|?[ \t]*$",
    re.MULTILINE,
)
_IS = re.compile(
    r"^[^\n]{0,60}?\b(?:is|are|was|were|named|called|of)\s+(?:the |a |an )?[\"“']?"
    r"([^\n\"”]{1,120}?)[\"”']?(?:[.,;!?](?:\s|$)|$)"
)


class Chooser:
    """Reads values out of a case's material."""

    def __init__(self, case: Case, relevant: list[Sentence]) -> None:
        self.case = case
        self.relevant = relevant

    @cached_property
    def evidence(self) -> str:
        """The material's text; the task's own short inputs where there is no other."""
        found = "\n".join(p.text for p in self.case.passages)
        return found or "\n".join(self.case.assignment.inputs.values()) or self._quoted_task

    @property
    def _quoted_task(self) -> str:
        _, _, given = self.case.assignment.description.partition(":")
        return given or self.case.assignment.description

    @cached_property
    def topics(self) -> list[str]:
        """The run's short inputs that are no places: all there is to name where there is no material."""
        inputs = self.case.assignment.inputs.items()
        return [
            v
            for k, v in inputs
            if v and len(v) < LONG_INPUT and not set(name_stems(k)) & (FILE_WORDS | FOLDER_WORDS)
        ]

    @cached_property
    def _labels(self) -> list[tuple[str, str]]:
        """Every `label: value` line of the material, in its order."""
        texts = [*(p.text for p in self.case.passages), self.case.assignment.description]
        return [(m.group(1), m.group(2).strip()) for text in texts for m in _LABEL.finditer(text)]

    @cached_property
    def _bag(self) -> Counter[str]:
        return Counter(stem(word) for word in words(self.evidence))

    def member(self, name: str, part: dict[str, Any], row: Row | None) -> tuple[Any, int]:
        """Choose a member of an enum: as a row or a label says it, else what the evidence speaks for."""
        members: list[Any] = part["enum"]
        said = [row.get(name)[1]] if row is not None else [r.get(name)[1] for r in self.case.rows]
        said += self.labelled(name, row, "")
        for value in said:
            if same := [
                m for m in members if value is not None and str(m).casefold() == str(value).casefold()
            ]:
                return same[0], 1
        bag = Counter(stem(w) for w in words(row.text or str(row.own))) if row is not None else self._bag
        rated = [(self._speaks_for(m, bag), -i) for i, m in enumerate(members)]
        top, place = max(rated)
        if top > 0:
            return members[-place], 1
        vague = [m for m in members if str(m).casefold() in VAGUE]
        named = [m for m in members if part.get("default") == m]
        return (vague or named or [m for m in members if m is None] or members)[0], 0

    def members(self, name: str, part: dict[str, Any]) -> list[Any]:
        """Return the members of an enum that the evidence speaks for, the strongest first."""
        rated = [(self._speaks_for(m, self._bag), -i, m) for i, m in enumerate(part["enum"])]
        return [m for score, _, m in sorted(rated, key=lambda r: (-r[0], -r[1])) if score > 0]

    def _speaks_for(self, member: Any, bag: Counter[str]) -> float:
        own = {stem(word) for word in words(str(member).replace("_", " "))}
        explained = self._explanation(str(member))
        related = {word for stem_ in own for word in _RELATED.get(stem_, ())}
        count = 3.0 * sum(bag[word] for word in own)
        count += 1.5 * sum(min(bag[word], 3) for word in explained - own)
        return count + sum(min(bag[word], 3) for word in related - own)

    def _explanation(self, member: str) -> set[str]:
        """Return the stems of what the task says about a class: `billing: charges, invoices; …`."""
        told = f"{self.case.assignment.description}\n{self.case.assignment.expected}"
        found = re.search(
            rf"\b{re.escape(member)}\b[\"'`*]*\s*(?:[:=(]|-|—|–|means|if|when)\s*([^;\n.)]{{1,200}})",
            told,
            re.IGNORECASE,
        )
        return set(stems(found.group(1))) if found else set()

    def truth(self, name: str, part: dict[str, Any], row: Row | None) -> tuple[bool, int]:
        """Answer yes or no: as a row or a label says it; else yes only on evidence with nothing against it.

        A name that claims success (`approved`, `ok`, `valid`) needs its word or a synonym in the material and
        no word of failure or denial anywhere; any other name needs all its words in a sentence without one.
        """
        for value in [row.get(name)[1]] if row is not None else [r.get(name)[1] for r in self.case.rows]:
            if isinstance(value, bool):
                return value, 1
        for value in self.labelled(name, row, ""):
            if words(value)[:1] in (["yes"], ["true"], ["no"], ["false"]):
                return words(value)[0] in ("yes", "true"), 1
        wanted = {w for w in name_stems(name) if w not in ("is", "has", "are", "was", "should", "can")}
        claims = bool(wanted & _APPROVAL)
        told = [set(words(s.text)) for s in self.relevant] if row is None else [set(words(row.text))]
        against = any(bag & _NEGATIVE for bag in told)
        for bag in told:
            known = {stem(word) for word in bag}
            if claims and known & _APPROVAL:
                return not against, 1
            if not claims and wanted and wanted <= known:
                return not bag & _NEGATIVE, 1
        default = part.get("default")
        return (default if isinstance(default, bool) else False), 0

    def number(self, name: str, row: Row | None, description: str) -> float | None:
        """Return the number that belongs to a name, `None` where the material has none."""
        for value in [] if row is not None else [r.get(name) for r in self.case.rows]:
            if value[0] and not isinstance(value[1], bool):
                if isinstance(value[1], int | float):
                    return float(value[1])
                if isinstance(value[1], str) and (found := self.numbers(value[1])):
                    return found[0]
        for value in self.labelled(name, row, description):
            if found := self.numbers(value):
                return found[0]
        texts = [row.text] if row is not None else [s.text for s in self.relevant[:200]]
        wanted = [w for w in name_stems(name) if w not in PLAIN_WORDS] or list(name_stems(name))
        near = [n for text in texts if (n := self._near(wanted, text)) is not None]
        if near:
            return near[0]
        asked = row is None and any(s.score > 0 for s in self.relevant[:1])
        alone = [n for s in self.relevant[:1] for n in self.numbers(s.text)] if asked else []
        bare = [
            v for r in self.case.rows if len(r.own) == 1 for v in r.own.values() if isinstance(v, int | float)
        ]
        return alone[0] if len(alone) == 1 else float(bare[-1]) if bare and row is None else None

    def _near(self, wanted: list[str], text: str) -> float | None:
        """Return the number that stands nearest to any of the words, within 40 characters."""
        places = [m.start() for m in re.finditer(r"\w+", text) if stem(m.group().lower()) in wanted]
        found = (
            [(min(abs(m.start() - p) for p in places), m.group()) for m in NUMBER.finditer(text)]
            if places[:20]
            else []
        )
        distance, number = min(found, default=(99, ""))
        return numbers(number)[0] if distance <= 40 and number and numbers(number) else None

    @staticmethod
    def numbers(text: str) -> list[float]:
        """Return the numbers of a text; `1.250,00` and `$1,250.00` are read as such."""
        plain = re.sub(r"(?<=\d)\.(?=\d{3},\d{2}\b)", "", text)
        plain = re.sub(r"(?<=\d),(?=\d{2}\b(?!,))", ".", plain)
        return numbers(re.sub(r"[$€£%]|\b[A-Z]{3}(?=\d)", " ", plain))

    def labelled(self, name: str, row: Row | None, description: str) -> list[str]:
        """Return what the material says a name's value is: `Name: value`, then `the name is value`."""
        labels = (
            self._labels if row is None else [(m.group(1), m.group(2)) for m in _LABEL.finditer(row.text)]
        )
        rated = [(match(name, "_".join(words(label))), value) for label, value in labels]
        exact = [value for score, value in sorted(rated, key=lambda r: -r[0]) if score > 0]
        if exact:
            return [one_line(value).strip("*_`\"'") for value in exact]
        parts = name_words(name)
        if not parts:
            return []
        phrase = re.compile(rf"\b{r'[ _-]?'.join(map(re.escape, parts))}\b", re.IGNORECASE)
        texts = [row.text] if row is not None else [s.text for s in self.relevant[:200]]
        found: list[str] = []
        for text in texts:
            if (place := phrase.search(text)) and (value := _IS.match(text[place.end() : place.end() + 250])):
                found.append(one_line(value.group(1)))
        return found
