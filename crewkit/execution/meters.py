"""The meters of a crew's tasks and agents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.core.events import defined
from crewkit.core.limits import AGENT_LIMITS, TASK_LIMITS, Charge, Meter
from crewkit.crew.compile import Job, Plan


class Meters:
    """What a crew used of its limits, and each of its tasks and agents of theirs."""

    def __init__(self, crew: Meter, plan: Plan, prefix: str) -> None:
        self.crew = crew
        self._plan = plan
        self._prefix = prefix
        self._tasks: dict[str, Meter] = {}
        self._agents: dict[str, Meter] = {}

    def used(self, job: Job) -> dict[str, Any] | None:
        """Return what a task used; `None` where it was not metered."""
        meter = self._tasks.get(job.place)
        return meter.used() if meter else None

    def forget(self, job: Job) -> None:
        """Let go of the meter of an item that is over."""
        self._tasks.pop(job.place, None)

    def task(self, job: Job) -> Meter:
        """Return the meter of a task, under the crew's; of an item, under its map's."""
        if job.item is not None:
            if job.place not in self._tasks:
                whole = self.task(replace(job, item=None))
                self._tasks[job.place] = Meter(f"Item [{job.item.number}]", AGENT_LIMITS, (whole,))
            return self._tasks[job.place]
        if job.name not in self._tasks:
            limits = job.task.limits.over(TASK_LIMITS)
            # An agent's loop counts its own steps.
            steps = job.task.limits.cap("steps") if job.kind == "crew" else None
            limits = replace(limits, steps=None if steps is None else int(steps), seconds=None)
            self._tasks[job.name] = Meter(f"Task '{job.name}'", limits, (self.crew,))
        return self._tasks[job.name]

    def agent(self, agent: Agent) -> Meter:
        """Return the meter of an agent over all its tasks, under the crew's."""
        if agent.role not in self._agents:
            limits = agent.limits.over(AGENT_LIMITS)
            self._agents[agent.role] = Meter(f"Agent '{agent.role}'", limits, (self.crew,))
        return self._agents[agent.role]

    def charge(self, call: Charge) -> None:
        """Count a call that this process did not make; one inside a crew counts for the task that it does, too."""
        if not call.task.startswith(self._prefix):
            return
        name = defined(call.task[len(self._prefix) :].partition("/")[0])
        job = self._plan.jobs.get(name)
        if job is None:
            return
        inside = job.kind == "crew" or (job.kind == "plan" and "/" in call.task[len(self._prefix) :])
        own = not inside and call.agent in self._plan.agents
        call.on(self.task(job), *([self.agent(self._plan.agents[call.agent])] if own else []))
