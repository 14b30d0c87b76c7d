"""A run's episodes: recalled before a task begins, written down when it has ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from crewkit.core.events import Event
from crewkit.core.label import Label, join, unfenced
from crewkit.core.label import shown as fenced
from crewkit.core.messages import canonical
from crewkit.errors import CrewkitError
from crewkit.execution.memory import RunMemory, found
from crewkit.memory.base import Origin
from crewkit.memory.episodes import (
    CANDIDATES,
    Episode,
    Step,
    choose,
    gist,
    lesson_of,
    merged,
    told,
)

if TYPE_CHECKING:
    from crewkit.coordinator.schedule import Outcome
    from crewkit.crew.compile import Job

_OWN_TURN = re.compile(r"(?:#(\d+))?/(\d+)")
"""What follows a task's path in that of its own turns: not those of colleagues."""

MOST_STEPS = 40
"""Tool calls of an episode; those of the beginning and of the end are kept."""

SAID = 120
"""Characters of what a call of an episode returned."""

Data = dict[str, Any]


@dataclass
class _Course:
    """What is known so far of one task."""

    plan: str = ""
    calls: dict[str, Data] = field(default_factory=dict[str, Data])
    """Path of a call to what was chosen."""
    ended: dict[str, Data] = field(default_factory=dict[str, Data])
    """Path of a call to what it came to."""
    said: dict[str, str] = field(default_factory=dict[str, str])
    """Path of a call to what it returned, cut."""
    verdicts: list[str] = field(default_factory=list[str])
    turns: int = 0


class Episodes:
    """Folds a run's events into episodes, task by task."""

    def __init__(self, memory: RunMemory, history: Iterable[Event]) -> None:
        self._memory = memory
        self._run = memory.run
        self._courses: dict[str, _Course] = {}
        for event in history:
            self.see(event)

    def see(self, event: Event) -> None:
        """Take in what happened; a listener of the run."""
        task, data = event.task, event.data
        if not event.seq or not task:
            return
        if event.type == "task.finished" and data.get("final"):
            self._courses.pop(task, None)
            return
        course = self._courses.setdefault(task, _Course())
        match event.type:
            case "decision.made" if turn := _OWN_TURN.fullmatch(event.path, len(task)):
                course.turns += 1
                chosen: list[Data] = data.get("chosen") or []
                if chosen:  # without any, what it said is its answer
                    course.plan = course.plan or gist(str(data.get("text") or ""))
                for i, call in enumerate(chosen):
                    place = int(turn[1] or 1), int(turn[2]), i
                    course.calls[f"{event.path}/tool:{i}"] = {**call, "place": place}
            case "message.recorded" if data.get("role") == "tool":
                course.said[event.path] = gist(str(data["content"]))[:SAID]
            case "tool.finished" if "outcome" in data:
                course.ended[event.path] = data
            case "guardrail.checked" if data.get("verdict") != "allow":
                course.verdicts.append(gist(f"{data.get('guardrail')}: {data.get('why')}"))
            case "approval.decided":
                note = f": {data['note']}" if data.get("note") else ""
                course.verdicts.append(
                    gist(f"{data.get('by') or 'a person'} said {data.get('decision')}{note}")
                )
            case _:
                pass

    async def recalled(self, path: str, task: str, case: str, job: Job) -> str:
        """Return what earlier cases have to say, as it stands in the assignment; empty where there are none like it.

        A recorded step: a resumed run is told the same.
        """

        async def look() -> Data:
            query = gist(unfenced(case))
            hits = await self._memory.memory.recall(query, k=CANDIDATES, namespace=self._memory.episodes)
            chosen = choose(hits, self._run.clock.now())
            labels = [choice.hit.record.origin.label for choice in chosen]
            return {
                "namespace": self._memory.episodes,
                "query": query,
                "hits": [found(hit) for hit in hits],
                "chosen": [
                    {"id": c.hit.record.id(), "as": c.used_as, "why": c.why, "task": c.episode.task}
                    for c in chosen
                ],
                "text": told(chosen),
                "label": join(labels).to_data(),
            }

        at = f"{path}/0/recall"
        said = await self._run.verdict(at, look, task=task, agent=job.worker, type="memory.recalled")
        return fenced(said["text"], Label.from_data(said["label"])) if said["text"] else ""

    async def write(
        self, path: str, case: str, job: Job, outcome: Outcome, *, label: Label, used: Mapping[str, Any]
    ) -> None:
        """Write down what became of a task. What cannot be written is noted, and fails nothing.

        Args:
            path: The task's path.
            case: What was to be done.
            job: The task.
            outcome: What became of it.
            label: What all that it was made of is from.
            used: What it used, as `task.finished` says it.
        """
        await self._run.commit()  # the listeners have heard it all
        course = self._courses.pop(path, _Course())
        error = outcome.why or str(outcome.error or "")
        status = "completed" if outcome.status == "completed" else "failed"
        troubles = [
            f"{each['tool']} did not work: {_error(each)}"
            for each in course.ended.values()
            if each["outcome"] != "ok"
        ]
        output = outcome.output
        episode = Episode(
            job.name,
            gist(unfenced(case)),
            status,
            plan=course.plan,
            steps=_steps(course),
            result=gist(output if isinstance(output, str) else canonical(output))
            if output is not None
            else "",
            verdicts=tuple(dict.fromkeys(course.verdicts)),
            lesson=lesson_of(status, error, output, list(dict.fromkeys(troubles))),
            turns=course.turns,
            tokens=int(used.get("tokens") or 0),
            usd=used.get("usd"),
            runs=(f"{self._run.id} {path} {status}",),
            last=self._run.clock.now().isoformat(),
        )
        origin = Origin(self._memory.crew, job.worker, self._run.id, f"{path}#episode", label)
        record = episode.to_record(origin)
        try:
            ids = await self._memory.memory.add([record], namespace=self._memory.episodes, merge=merged)
        except CrewkitError as failed:
            self._run.note(path, f"The episode could not be written: {failed}", task=path, agent=job.worker)
            return
        data = {"namespace": self._memory.episodes, "count": 1, "ids": ids, "sources": [record.source]}
        self._run.record("memory.written", f"{path}/0/episode", data, task=path, agent=job.worker)


def _steps(course: _Course) -> tuple[Step, ...]:
    steps = [
        Step(
            str(call.get("tool")),
            _arguments(call.get("arguments")),
            str(course.ended[path]["outcome"]),
            course.said.get(path, ""),
        )
        for path, call in sorted(course.calls.items(), key=lambda item: item[1]["place"])
        if path in course.ended
    ]
    if len(steps) > MOST_STEPS:
        steps = [*steps[: MOST_STEPS // 2], *steps[-MOST_STEPS // 2 :]]
    return tuple(steps)


def _arguments(raw: Any) -> str:
    try:
        given: Any = json.loads(raw)
    except (TypeError, ValueError):
        return gist(str(raw))[:100]
    if not isinstance(given, dict):
        return gist(str(given))[:100]
    return ", ".join(f"{name}={gist(str(value))[:60]}" for name, value in cast("Data", given).items())[:200]


def _error(finished: Data) -> str:
    error: Data = finished.get("error") or {}
    return gist(str(error.get("message") or finished["outcome"]))[:200]
