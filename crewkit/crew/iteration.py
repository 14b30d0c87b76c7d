"""One iteration of a task: a task without `until` has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewkit.core.label import UNKNOWN, Label

PREVIOUS, REASON, OUTPUT = "#previous", "#reason", "#output"
"""What a loop fills parameters with, besides tasks and inputs; no task's name begins with `#`."""

ITEM = "#item"
"""What a map fills a parameter with: the item."""

META = "#meta"
"""What fills a parameter, or a name in a condition, with what is known of the tasks that are needed."""

NAMES = {"previous": PREVIOUS, "reason": REASON}
"""Parameters of a function, and inputs of a crew, that a loop fills."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """What whoever does a task is told of the loop that it stands in."""

    task: str
    """The task's path."""
    number: int = 1
    previous: Any = None
    """The output of the iteration before, as JSON data; `None` the first time."""
    reason: str = ""
    """Why it is done once more."""
    label: Label = UNKNOWN
    """Of `previous` and `reason`."""

    @property
    def path(self) -> str:
        """Where in the run its steps are, for example `draft` and `draft#2`."""
        return self.task if self.number == 1 else f"{self.task}#{self.number}"
