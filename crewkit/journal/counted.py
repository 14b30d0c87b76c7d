"""How often was called what may be called so many times: read from the journal, so that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crewkit.core.events import Event
from crewkit.core.messages import canonical, fingerprint


class Counted:
    """Paths of calls by counter. A call counts from the moment it is let through, unless it is refused after all."""

    def __init__(self) -> None:
        self._paths: dict[str, set[str]] = {}
        self._counters: dict[str, list[str]] = {}
        self._asked: dict[str, tuple[str, str]] = {}
        """Paths of questions about calls, and the task and agent that asked."""
        self._open: dict[str, tuple[str, str]] = {}
        """Ids of questions that nobody approved, and the task and the call."""

    def ask(self, about: Mapping[str, Any], path: str, task: str, agent: str) -> None:
        """Count a question to a person about a call; whatever they say, it stays one.

        Args:
            about: What `approval.requested` says.
            path: Where it is asked.
            task: The task's path.
            agent: The agent's role.
        """
        self._asked[path] = task, agent
        self._open[str(about.get("id"))] = task, call_mark(about)

    def asked(self, path: str) -> bool:
        """Say whether a question is counted."""
        return path in self._asked

    def questions(self, *, task: str = "", within: str = "", agent: str = "") -> int:
        """Return how many questions were put: in a task, in the crew whose paths begin so, by an agent, or in all."""
        return sum(
            (not task or task == where) and where.startswith(within) and (not agent or agent == who)
            for where, who in self._asked.values()
        )

    def unapproved(self, task: str, call: str) -> int:
        """Return how often a task asked about just this call (`call_mark`) and nobody approved it, or has not yet."""
        return sum(each == (task, call) for each in self._open.values())

    def others(self, counter: str, path: str) -> int:
        """Return how many calls count for a counter, besides the one at a path."""
        return len(self._paths.get(counter, set()) - {path})

    def take(self, counters: Iterable[str], path: str) -> None:
        """Let the call at a path count, and for nothing else."""
        self.drop(path)
        names = list(counters)
        if names:
            self._counters[path] = names
        for name in names:
            self._paths.setdefault(name, set()).add(path)

    def drop(self, path: str) -> None:
        """Let the call at a path count no longer: it was refused."""
        for name in self._counters.pop(path, ()):
            self._paths[name].discard(path)

    def at(self, path: str) -> list[str]:
        """Return the counters for which the call at a path counts."""
        return self._counters.get(path, [])

    def index(self, event: Event) -> None:
        """Take in what the journal says of a call."""
        if event.type == "approval.requested" and event.data.get("kind") == "tool":
            self.ask(event.data, event.path, event.task, event.agent)
        elif event.type == "approval.decided" and event.data.get("decision") == "approve":
            self._open.pop(str(event.data.get("id")), None)
        elif event.type == "tool.checked":
            self.take(event.data.get("counted", ()), event.path)
        elif event.type == "tool.finished" and event.data.get("outcome") == "denied":
            self.drop(event.path)


def call_mark(about: Mapping[str, Any]) -> str:
    """Return what is the same of the same call: of its `tool` and `arguments`."""
    return fingerprint(str(about.get("tool")), canonical(about.get("arguments")))
