"""What a run came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from crewkit.crew.task import T, Task
from crewkit.errors import RunError

Status = Literal["completed", "failed", "limit", "denied", "cancelled", "paused"]


@dataclass(frozen=True)
class Report:
    """What completed, what did not, and why."""

    completed: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task to error."""
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task to why it was not done."""
    waiting: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task to what it waits for."""
    capped: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task that completed although its `until` was not content, or without some of its items, to the reason."""
    undone: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a run that was given up: path of a call to what undid it."""
    left: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a run that was given up: path of a call that was not undone to why."""


@dataclass(frozen=True)
class Result:
    """How a run ended, and the outputs of its tasks: `result[task]` has the task's output type."""

    run_id: str
    status: Status
    why: str
    """One sentence."""
    report: Report
    outputs: Mapping[str, Any]
    """Task to output, of the tasks that completed."""
    final: tuple[str, ...]
    """The tasks on which no other depends."""
    usage: Mapping[str, Any]
    """tokens, usd (`None`: some price is unknown), steps, seconds."""
    approvals: tuple[str, ...] = ()
    """Ids of the questions that a paused run waits for."""
    waits: tuple[str, ...] = ()
    """Ids of the times and events that a paused run waits for."""
    until: str = ""
    """RFC 3339: from then on a paused run can go on by itself. Empty: it cannot."""

    @property
    def ok(self) -> bool:
        """The run completed."""
        return self.status == "completed"

    @property
    def output(self) -> Any:
        """The output of the last task; a mapping by name where several are last; `None` where there is none."""
        done = {name: self.outputs[name] for name in self.final if name in self.outputs}
        return next(iter(done.values()), None) if len(self.final) == 1 else done

    def each(self, task: Task[T]) -> list[T]:
        """Return what the items of a map came to, in their order: `result[task]` as a type checker can know it.

        Raises:
            RunError: The task has no output.
        """
        return cast("list[T]", self[task])

    def __getitem__(self, task: Task[T]) -> T:
        if task.name in self.outputs:
            return self.outputs[task.name]
        why = self.report.failed.get(task.name) or self.report.skipped.get(task.name)
        why = why or self.report.waiting.get(task.name) or "there is no such task in it"
        raise RunError(
            f"Run {self.run_id} has no output of '{task.name}': {why}", run_id=self.run_id, task=task.name
        )
