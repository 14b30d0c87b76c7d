"""Which sentences of the material at hand speak to the task."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from crewkit.models.offline.lexicon import MONTHS
from crewkit.models.offline.material import Case, Passage
from crewkit.models.offline.mentions import is_path
from crewkit.models.offline.words import one_line, sentences, stems, words

K1, B = 0.9, 0.3
_CUES = {
    "who": re.compile(r"\b[A-Z][\w'-]+ [A-Z]"),
    "when": re.compile(r"\d{4}|\d{1,2}:\d{2}|[A-Z][a-z]+day\b|" + "|".join(MONTHS).title()),
    "many": re.compile(r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|dozen|hundred)\b"),
    "much": re.compile(r"\d"),
}
_CODE = re.compile(r"^\s*\||[={}\[\]<>]|\w\(|\"\"\"")
_NAMED = re.compile(r"\(([^()\s]{3,300})\)[.]?\s*\Z")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the material, with its place."""

    text: str
    """As it stands in the passage."""
    start: int
    """Offset in the passage, in characters."""
    passage: Passage
    order: int
    score: float
    weight: float
    """How much it says by itself: the rarer its words in the material, the more."""

    @property
    def source(self) -> str:
        """Where it is from: a place that it names itself at its end, else its passage's."""
        named = _NAMED.search(self.text)
        return (
            named.group(1)
            if named and (is_path(named.group(1)) or "://" in named.group(1))
            else origin(self.passage)
        )

    @property
    def line(self) -> str:
        """The sentence on one line."""
        return one_line(self.text)


def ranked(case: Case, terms: dict[str, float] | None = None) -> list[Sentence]:
    """Return every sentence of the material once, in its order, scored against the task's terms.

    A sentence is scored by the words it shares with the question (BM25); its heading and its title count a
    little, and so does the sentence before it.
    """
    terms = case.terms() if terms is None else terms
    pieces = list(_pieces(case))
    bags = [Counter(stems(text)) for text, _, _, _ in pieces]
    seen: Counter[str] = Counter()
    for bag in bags:
        seen.update(bag.keys())
    total = len(pieces) or 1
    idf = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in seen.items()}
    length = sum(sum(bag.values()) for bag in bags) / total or 1.0
    full = sum(weight * idf.get(word, 0.0) for word, weight in terms.items()) or 1.0
    cue = _cue(case.question)
    found: list[Sentence] = []
    before: tuple[Passage, float] | None = None
    for order, ((text, start, heading, passage), bag) in enumerate(zip(pieces, bags, strict=True)):
        size = sum(bag.values())
        own = 0.0
        for word, weight in terms.items():
            if count := bag.get(word, 0):
                own += weight * idf[word] * count * (K1 + 1) / (count + K1 * (1 - B + B * size / length))
        above = set(stems(f"{heading} {passage.title}"))
        own += 0.4 * sum(
            weight * idf.get(word, 0.0) for word, weight in terms.items() if word in above and word not in bag
        )
        covered = sum(weight * idf.get(word, 0.0) for word, weight in terms.items() if word in bag) / full
        score = own * (1 + covered)
        near = 0.2 * before[1] if before and before[0] is passage else 0.0
        before = (passage, score)
        score += near
        if cue and score > 0 and cue.search(text):
            score *= 1.2
        prose = _prose(text, size)
        score *= prose
        weight = sum(idf[word] for word in bag) / math.sqrt(size + 4) * prose
        found.append(Sentence(text, start, passage, order, score, weight))
    return found


def _prose(text: str, size: int) -> float:
    """Return how far a piece is a statement in words: less for questions, rows of tables, code and scraps."""
    marks = len(_CODE.findall(text))
    return (0.5 if text.rstrip().endswith("?") else 1.0) * (0.5 if marks * 8 > size else 1.0)


def _pieces(case: Case) -> list[tuple[str, int, str, Passage]]:
    """Return (text, start, heading, passage) of all sentences; one that occurs twice keeps its best place."""
    found: dict[str, tuple[str, int, str, Passage]] = {}
    for passage in case.passages:
        spans = [(0, len(passage.text), "")] if passage.whole else sentences(passage.text)
        for start, end, heading in spans:
            text = passage.text[start:end]
            bag = words(text)
            if not bag or (text.rstrip().endswith(":") and len(bag) < 8) or text.startswith(("```", "[… ")):
                continue
            key = " ".join(bag) if not passage.whole else f"{passage.source}: {' '.join(bag)}"
            if key not in found or (_placed(passage) and not _placed(found[key][3])):
                found[key] = (text, start, heading, passage)
    return list(found.values())


def _placed(passage: Passage) -> bool:
    return passage.row is not None and isinstance(passage.row.data.get("start"), int)


def _cue(question: str) -> re.Pattern[str] | None:
    asked = words(question)
    return next((pattern for word, pattern in _CUES.items() if word in asked[:12]), None)


def best(found: list[Sentence], count: int, *, spread: bool) -> list[Sentence]:
    """Return the best sentences, the best first.

    Args:
        found: What `ranked` returned.
        count: How many at most.
        spread: Take one of each source before a second of any, whatever they score.
    """
    scored = any(sentence.score > 0 for sentence in found)
    order = sorted(found, key=lambda s: (-s.score, -s.weight, s.order) if scored else (-s.weight, s.order))
    if not spread:
        top = order[0].score if order else 0.0
        return [s for s in order if not scored or s.score >= 0.4 * top][:count]
    taken: dict[str, int] = defaultdict(int)
    turns: list[tuple[int, int, Sentence]] = []
    for place, sentence in enumerate(order):
        key = origin(sentence.passage)
        turns.append((taken[key], place, sentence))
        taken[key] += 1
    return [sentence for _, _, sentence in sorted(turns, key=lambda turn: turn[:2])][:count]


def origin(passage: Passage) -> str:
    """Return the document, or the task, that a passage is from."""
    if passage.row is not None:
        for name in ("file", "path", "source", "url", "document"):
            if isinstance(value := passage.row.data.get(name), str):
                return value
    return passage.source
