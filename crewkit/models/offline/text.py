"""The final answer as text: sentences of the material, with their sources."""

from __future__ import annotations

import re

from crewkit.models.offline.ground import wanted_count
from crewkit.models.offline.material import NOTE, Case
from crewkit.models.offline.plan import allowed
from crewkit.models.offline.rank import Sentence, best, ranked
from crewkit.models.offline.words import clip, words

USUAL = 5
"""Lines of an answer where the task asks for no number."""

_ONE = re.compile(
    r"\b(?:one|a single|a|single) (?:\w+ )?(?:sentence|line|number|word|name|value|fact)\b", re.IGNORECASE
)
_EACH = re.compile(r"\b(?:per|for each|for every|each of) \w+", re.IGNORECASE)
_COMPLETE = re.compile(r"\b(?:all|every|each|whole|merge|combine|complete)\b", re.IGNORECASE)


def answer_text(case: Case, *, effects: bool) -> str:
    """Write the answer to a task that wants text."""
    lines = _lines(case)
    undone = _undone(case, effects=effects)
    if not lines:
        lines = [_nothing(case)]
    text = "\n".join([*lines, *undone, "", NOTE])
    room = case.request.max_tokens * 4
    while len(text) > room and len(lines) > 1:
        lines = lines[: max(1, len(lines) // 2)]
        text = "\n".join([*lines, *undone, "", NOTE])
    return clip(text, room) if len(text) > room else text


def _lines(case: Case) -> list[str]:
    refused = [text for answer, why in case.complaints for text in _named(answer, why)]
    found = [s for s in ranked(case) if s.line not in refused]
    count = _count(case, len(found))
    upstream = any(s.passage.upstream for s in found) or len(case.assignment.upstream) > 1
    spread = not case.question and (upstream or not any(s.score > 0 for s in found))
    chosen = best(found, count, spread=spread)
    if not case.question:
        chosen.sort(key=lambda sentence: sentence.order)
    if count == 1 and chosen:
        alike = [s for s in found if s.passage.whole and chosen[0].passage.whole][:USUAL]
        return ["; ".join(_cited(s) for s in alike or chosen)]
    return [f"- {_cited(sentence)}" for sentence in chosen]


def _count(case: Case, available: int) -> int:
    task = case.assignment
    if _EACH.search(f"{task.description} {task.expected}"):
        return min(available, 40)
    asked = [n for _, why in case.complaints if (n := wanted_count(why))]
    count = asked[-1] if asked else wanted_count(task.expected) or wanted_count(task.description)
    if count:
        return count
    if _ONE.search(task.expected):
        return 1
    if case.question:
        return 3
    return min(available, 40) if _COMPLETE.search(f"{task.description} {task.expected}") else USUAL


def _cited(sentence: Sentence) -> str:
    source, line = sentence.passage.source, sentence.line
    return line if not source or source in line or line.endswith(")") else f"{line} ({source})"


def _named(answer: str, why: str) -> list[str]:
    """Return the lines of an answer that a complaint quotes or numbers."""
    lines = [line.removeprefix("- ") for line in answer.splitlines() if line.strip() and line != NOTE]
    numbered = [int(n) for n in re.findall(r"\b(?:item|line|point|number) (\d{1,3})\b", why)]
    return [line.rsplit(" (", 1)[0] for i, line in enumerate(lines, 1) if i in numbered or line in why]


def _undone(case: Case, *, effects: bool) -> list[str]:
    """Say which tools were left alone because they change something, where the task speaks of them."""
    about = set(words(case.assignment.description))
    withheld = [
        tool.name
        for tool in case.request.tools
        if not allowed(tool, effects=effects)
        and about & {w for w in words(tool.name.replace("_", " ")) if len(w) > 3}
    ]
    return (
        [f"Not called, because it changes something and this model only reads: {', '.join(withheld)}."]
        if withheld
        else []
    )


def _nothing(case: Case) -> str:
    task = case.assignment
    tried = [
        f"{call.name} failed ({clip(' '.join(call.text.split()), 160)})" for call in case.calls if call.failed
    ]
    empty = [f"{call.name} found nothing" for call in case.calls if not call.failed]
    looked = "; ".join([*tried, *empty][:5])
    had = f" {looked}." if looked else " No tool could be called and no earlier result was given."
    return (
        f"There is nothing to answer from.{had} The task was: {clip(' '.join(task.description.split()), 300)}"
    )
