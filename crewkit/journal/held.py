"""What a run's journal holds, by path: a fold of its events, for who carries the run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.journal.counted import Counted
from crewkit.journal.outside import Outside

Data = dict[str, Any]

_VERDICTS = (
    *("guardrail.checked", "condition.checked", "conflict.resolved", "memory.recalled"),
    *("plan.proposed", "plan.failed", "task.escalated", "undo.started"),
)
"""Events that say what was settled at their path, once per run."""


@dataclass
class TaskIndex:
    """What the journal holds of one unfinished task."""

    recorded: set[tuple[str, str, int]] = field(default_factory=set[tuple[str, str, int]])
    attempts: dict[str, tuple[int, Data]] = field(default_factory=dict[str, tuple[int, Data]])
    """Path to the newest attempt begun there and what it said it would do."""
    results: dict[str, Data] = field(default_factory=dict[str, Data])
    settled: set[str] = field(default_factory=set[str])
    """Unrepeatable steps that may be tried once more: they are known to have failed, or a person said so."""
    verdicts: dict[str, Data] = field(default_factory=dict[str, Data])
    """Path to what a guardrail or a condition said there."""
    waits: dict[str, Data] = field(default_factory=dict[str, Data])
    """Path to what is waited for there."""
    messages: dict[str, ChatMessage] = field(default_factory=dict[str, ChatMessage])
    summaries: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Path to the id of the summary that was written there, and how many messages it stands for."""


class Held:
    """What is known of a run: of its unfinished tasks everything, of the finished ones how they ended."""

    def __init__(self, run: str) -> None:
        self.finished: dict[str, Data] = {}
        """Tasks that are never entered again, by path, with what `task.finished` said."""
        self.counted = Counted()
        """Calls that may be made so many times."""
        self.outside = Outside()
        """What others said to the run."""
        self.asked: dict[str, Data] = {}
        """Id to what `approval.requested` said."""
        self.decisions: dict[str, Data] = {}
        """Id to the first decision, and when it was made (`ts`)."""
        self.unknown: dict[tuple[str, int], str] = {}
        """Path and number of a question about an unknown outcome to its id."""
        self.shared: dict[tuple[str, int], Data] = {}
        """Path and attempt to a question of a run that this one was forked from."""
        self._run = run
        self._tasks: dict[str, TaskIndex] = {}

    def task(self, task: str) -> TaskIndex:
        """Return what is known of an unfinished task, to add to it."""
        if task not in self._tasks:
            self._tasks[task] = TaskIndex()
        return self._tasks[task]

    def known(self, task: str) -> TaskIndex:
        """Return what is known of an unfinished task; nothing, where it is not one."""
        return self._tasks.get(task) or TaskIndex()

    def finish(self, task: str, data: Data) -> None:
        """Keep how a task ended that is never entered again, and no more of it."""
        self.finished[task] = data
        self._tasks.pop(task, None)

    def drop(self, task: str) -> None:
        """Forget a task: what it lies in is over."""
        self.finished.pop(task, None)
        self._tasks.pop(task, None)

    def record_anew(self) -> None:
        """Let what was recorded be recorded once more."""
        for index in self._tasks.values():
            index.recorded.clear()

    def add(self, event: Event) -> None:
        """Take in an event."""
        data = event.data
        if event.type in ("wait.finished", "wait.refused"):
            self.outside.add(event)
        self.counted.index(event)
        match event.type:
            case "task.finished":
                if data.get("final"):
                    self.finish(event.path, data)
            case "run.signal":
                self.outside.add(event)
            case "approval.requested":
                self.asked[str(data.get("id"))] = data
                if data.get("kind") == "unknown":
                    self.unknown[event.path, event.attempt] = str(data.get("id"))
                if event.run != self._run:
                    self.shared[event.path, event.attempt] = data
            case "approval.decided":
                self.decisions.setdefault(str(data.get("id")), {**data, "ts": event.ts})
            case _ if event.path and (event.task not in self.finished or event.type.startswith("undo.")):
                self.add_step(event)
            case _:
                pass

    def add_step(self, event: Event) -> None:
        """Take in an event of an unfinished task."""
        index, data = self.task(event.task), event.data
        exchanged = event.type == "message.recorded" and "kind" in data
        place, attempt = (str(data["id"]), 0) if exchanged else (event.path, event.attempt)
        index.recorded.add((event.type, place, attempt))
        match event.type:
            case "message.recorded" if "role" in data:
                index.messages[data["id"]] = ChatMessage.from_data(data)
                if summarised := data.get("compressed_from"):
                    index.summaries[event.path] = (data["id"], len(summarised))
            case "model.started" | "tool.started" | "undo.started" if "scope" not in data:
                index.attempts[event.path] = (event.attempt, data)
                index.settled.discard(event.path)
            case "tool.finished" if data.get("late") and self._is_too_late(event, index):
                pass
            case "model.finished" | "tool.finished" | "undo.finished" | "iteration.finished" if (
                "failed" not in data
            ):
                index.results[event.path] = data
            case "wait.started":
                index.waits[event.path] = data
            case "wait.finished" | "inbox.read":
                index.results[event.path] = data
            case "tool.finished" | "undo.finished" if not data.get("lost"):
                if not index.attempts.get(event.path, (0, {}))[1].get("approval"):
                    index.settled.add(event.path)
            case _ if event.type in _VERDICTS:
                index.verdicts[event.path] = data
            case _:
                pass

    def _is_too_late(self, end: Event, index: TaskIndex) -> bool:
        """Say whether something else counted already when an end was told: another try, an answer, a decision."""
        begun, _ = index.attempts.get(end.path, (0, {}))
        asked = self.unknown.get((f"{end.path}/ask", end.attempt + 1))
        return begun > end.attempt or end.path in index.results or asked in self.decisions
