"""What lies before an agent while it works, and the error that says that its work was not accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.agents.history import History
from crewkit.agents.output import Output
from crewkit.core.guardrails import Guardrail
from crewkit.core.label import Label
from crewkit.core.limits import Meter
from crewkit.errors import RunError
from crewkit.journal.run import Run
from crewkit.models.base import Model
from crewkit.tools.gateway import Gateway

Data = dict[str, Any]


class Rejected(RunError):
    """An agent gave no answer that was accepted, as often as it was asked."""

    def __init__(self, message: str, *, answer: str = "", output: Any = None, label: Label) -> None:
        super().__init__(message)
        self.answer = answer
        """Its last answer."""
        self.output = output
        """The same as JSON data of the type that was asked for; `None` where it is not of that type."""
        self.label = label


@dataclass(frozen=True)
class Desk:
    """What an agent has at hand for one piece of work."""

    run: Run
    path: str
    """The work's path: the task's, or that of the call that asks."""
    task: str
    """The task's path."""
    agent: Agent
    model: Model
    meter: Meter
    gateway: Gateway
    history: History
    withheld: Sequence[Data] = ()
    """Tools that the agent is not offered: {tool, by, why}."""
    steps: int | None = None
    """Model turns at most."""
    output: Output = field(default_factory=Output)
    guardrails: Sequence[Guardrail] = ()
    """Those that look at the output."""
    requires: Sequence[str] = ()
    """Tools that have to be called successfully before an answer counts."""
    review: str = ""
    """The question to the person who approves the output; empty: nobody does."""
    revisions: int = 3
    summariser: Model | None = None
    """Writes the summaries of a long conversation; `None`: they are taken from it without a model."""

    made: dict[str, str] = field(default_factory=dict[str, str])
    """The calls that succeeded: id to the tool's name."""

    def record(self, type: str, path: str, data: Data) -> None:
        """Record an event of this agent's work."""
        self.run.record(type, path, data, task=self.task, agent=self.agent.role)
