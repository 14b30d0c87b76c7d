"""Episodes: what became of earlier tasks, kept as records and told to whoever does a similar one.

An episode is found by the words of its case. Numbers in them count as equal, so that the same case with another
number is the same episode: it is kept once, with how often it was met.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, cast

from crewkit.core.messages import fingerprint
from crewkit.memory.base import Hit, Origin, Record

EXAMPLES = 3
"""Earlier cases that went well and are shown."""
WARNINGS = 2
"""Earlier cases that failed and are shown."""
ALLOWANCE = 6_000
"""Characters of all that are shown, about 1,500 tokens."""
NEAR = 0.4
"""Share of the best case's likeness that a case must have to be shown."""
FRESH_DAYS = 30.0
"""After them half of the bonus for being recent is gone."""
CANDIDATES = 12
LONGEST = 600
"""Characters of a case, its result and its lesson each."""
MARKS = 200
"""Runs that a merged episode remembers, so that none is counted twice."""

Data = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One tool call of an episode."""

    tool: str
    arguments: str
    outcome: str
    said: str = ""
    """What it returned, cut."""


@dataclass(frozen=True)
class Episode:
    """What became of one task."""

    task: str
    case: str
    """The gist of what was to be done: the task, the inputs, the results it built on."""
    status: str
    """completed or failed."""
    plan: str = ""
    """What the agent said it would do first."""
    steps: tuple[Step, ...] = ()
    result: str = ""
    verdicts: tuple[str, ...] = ()
    """What guardrails and people said."""
    lesson: str = ""
    turns: int = 0
    tokens: int = 0
    usd: float | None = None
    count: int = 1
    """How often it was met."""
    runs: tuple[str, ...] = ()
    """Where: run and task."""
    last: str = ""
    """When it was met last, RFC 3339."""

    def to_record(self, origin: Origin) -> Record:
        """Return the episode as memory keeps it: the same case with the same course is the same record."""
        course = ", ".join(f"{step.tool} {step.outcome}" for step in self.steps)
        case = re.sub(r"\d+", "#", self.case)
        text = f"{case}\n{self.status}: {course}" if course else f"{case}\n{self.status}"
        key = fingerprint(self.task, text)
        data = {**asdict(self), "key": key}
        # With an offset, so that episodes beside one another do not count as neighbours.
        return Record(text, f"episode:{key}", 0, len(text), metadata=data, origin=origin)

    @classmethod
    def of(cls, record: Record) -> Episode:
        """Return the episode of a record."""
        data = record.metadata
        known: Data = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        known["steps"] = tuple(Step(**step) for step in cast("list[Data]", known.get("steps", [])))
        for name in ("verdicts", "runs"):
            known[name] = tuple(cast("list[str]", known.get(name, [])))
        return cls(**known)


def merged(held: Record, new: Record) -> Record:
    """Merge an episode with the same one met again; met in the same run and task it is the same."""
    before, now = Episode.of(held), Episode.of(new)
    if set(now.runs) <= set(before.runs):
        return held
    runs = (*before.runs, *now.runs)[-MARKS:]
    together = replace(now, count=before.count + now.count, runs=runs)
    return replace(held, metadata={**asdict(together), "key": held.metadata["key"]})


@dataclass(frozen=True)
class Choice:
    """An earlier case that is shown, and why."""

    hit: Hit
    episode: Episode
    used_as: str
    """example or warning."""
    why: str
    rank: float = field(default=0.0)


def choose(hits: Sequence[Hit], now: datetime) -> list[Choice]:
    """Choose which earlier cases are shown: the likest first; what worked before what failed; the newer of equals."""
    if not hits:
        return []
    top = max(hit.score for hit in hits) or 1.0
    ranked: list[Choice] = []
    for hit in hits:
        episode, likeness = Episode.of(hit.record), hit.score / top
        days = _days(episode.last, now)
        worked = episode.status == "completed"
        rank = likeness + (0.05 if worked else 0.0) + 0.05 * 0.5 ** (days / FRESH_DAYS)
        why = (
            f"likeness {likeness:.2f}, {'worked' if worked else 'failed'}, met {episode.count} "
            f"time{'s' * (episode.count > 1)}, last {days:.0f} days ago"
        )
        if likeness >= NEAR:
            ranked.append(Choice(hit, episode, "example" if worked else "warning", why, rank))
    ranked.sort(key=lambda choice: -choice.rank)
    chosen: list[Choice] = []
    left = {"example": EXAMPLES, "warning": WARNINGS}
    size = 0
    for choice in ranked:
        length = len(_written(choice))
        if left[choice.used_as] and size + length <= ALLOWANCE:
            left[choice.used_as] -= 1
            size += length
            chosen.append(choice)
    return chosen


def told(choices: Sequence[Choice]) -> str:
    """Return earlier cases as an agent reads them."""
    return "\n\n".join(_written(choice) for choice in choices)


def gist(text: str) -> str:
    """Return a text on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def lesson_of(status: str, error: str, output: Any, troubles: Sequence[str]) -> str:
    """Return what is to be learnt from a task: what its output says of why, and what went wrong on the way."""
    said: list[str] = [error] if status == "failed" and error else []
    if isinstance(output, Mapping):
        given = cast("Mapping[str, Any]", output)
        said += [str(given[name]) for name in ("lesson", "reason", "why", "explanation") if given.get(name)]
    return gist(" ".join([*said, *troubles]))


def _written(choice: Choice) -> str:
    episode = choice.episode
    often = f", {episode.count} times" if episode.count > 1 else ""
    title = f"### An earlier case that {'worked' if choice.used_as == 'example' else 'FAILED'}{often}"
    steps = "; ".join(
        f"{step.tool}({step.arguments}) → {step.said if step.outcome == 'ok' else step.outcome}"
        for step in episode.steps
    )
    parts = {
        "Case": episode.case,
        "Plan": episode.plan,
        "Steps": steps,
        "Result": episode.result,
        "Objections": "; ".join(episode.verdicts),
        "Lesson" if choice.used_as == "example" else "Do not repeat": episode.lesson,
    }
    return "\n".join([title, *(f"{name}: {text}" for name, text in parts.items() if text)])


def _days(moment: str, now: datetime) -> float:
    try:
        return max((now - datetime.fromisoformat(moment).astimezone(UTC)).total_seconds() / 86_400, 0.0)
    except ValueError:
        return 3_650.0
