"""From the candidates of two legs to one ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crewkit.memory.lexical import words


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of recall and their weights; a weight of 0 switches a stage off."""

    dense: float = 0.7
    """Nearness of meaning, where there is an embedder. Less than words: see docs/benchmarks.md."""
    lexical: float = 1.0
    """BM25 over the words."""
    neighbour: float = 0.4
    """Share of the best neighbour's score: what stands beside a good passage is often the answer."""
    author: float = 0.2
    """For records whose author the query names."""
    candidates: int = 100
    """How many each leg brings in."""


def best(scores: Mapping[int, float], most: int) -> dict[int, float]:
    """Return the best scores, the best first; among equals the older record."""
    order = sorted(scores, key=lambda number: (-scores[number], number))
    return {number: scores[number] for number in order[:most]}


def scaled(scores: Mapping[int, float], low: float | None = None) -> dict[int, float]:
    """Bring a leg's scores to 0 (`low`, by default its worst candidate's) to 1 (its best)."""
    if not scores:
        return {}
    low = min(scores.values()) if low is None else low
    high = max(scores.values())
    if high <= low:
        return dict.fromkeys(scores, 1.0)
    return {number: (score - low) / (high - low) for number, score in scores.items()}


def fuse(legs: Mapping[str, Mapping[int, float]], pipeline: Pipeline) -> dict[int, dict[str, float]]:
    """Return, for each candidate, what each leg gives to its score."""
    parts: dict[int, dict[str, float]] = {}
    for name, scores in legs.items():
        weight: float = getattr(pipeline, name)
        # Fewer than could be brought in: all others scored 0, so 0 is the low end, not the worst of these.
        # In tests/bench/recall.py this gives an nDCG of 0.81 instead of 0.77.
        low = 0.0 if name == "lexical" and len(scores) < pipeline.candidates else None
        for number, score in scaled(scores, low).items():
            parts.setdefault(number, {})[name] = weight * score
    return parts


def add_neighbours(
    parts: dict[int, dict[str, float]], beside: Mapping[int, Iterable[int]], weight: float
) -> None:
    """Give each record a share of its best neighbour's score; a neighbour of a candidate becomes one."""
    scores = {number: sum(part.values()) for number, part in parts.items()}
    best: dict[int, float] = {}
    for number, others in beside.items():
        for other in others:
            best[number] = max(best.get(number, 0.0), scores.get(other, 0.0))
            best[other] = max(best.get(other, 0.0), scores.get(number, 0.0))
    for number, score in best.items():
        if score > 0:
            parts.setdefault(number, {})["neighbour"] = weight * score


def named(author: str, query_words: frozenset[str]) -> float:
    """Return which share of an author's names a query holds, from 0 to 1."""
    names = set(words(author))
    return len(names & query_words) / len(names) if names else 0.0
