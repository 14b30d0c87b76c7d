"""What all crews and tasks of one run share while it is carried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from crewkit.coordinator.bus import Bus
from crewkit.coordinator.schedule import Outcome
from crewkit.core.events import Event
from crewkit.core.limits import Gate
from crewkit.core.messages import Message
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.part import Here, Part
from crewkit.errors import LimitExceeded
from crewkit.execution.episode import Episodes
from crewkit.execution.ledger import Ledger
from crewkit.execution.memory import RunMemory
from crewkit.journal.run import Run
from crewkit.models.base import Model
from crewkit.notify.telling import Telling
from crewkit.resilience.breaker import Breaker
from crewkit.tools.services import Services


class Halting(Protocol):
    """A walk through tasks or items that can be woken and halted: see `Schedule` and `Pool`."""

    def wake(self) -> None:
        """Enter what waits again."""
        ...

    def drain(self, why: str) -> None:
        """Start nothing more."""
        ...

    def halt(self, why: str) -> None:
        """Stop now."""
        ...


class Session:
    """One process's turn at a run."""

    def __init__(
        self,
        run: Run,
        crew: Crew,
        options: Options,
        models: Mapping[str, Model],
        memory: RunMemory,
        inputs: Mapping[str, Any],
        services: Services,
        ledger: Ledger | None = None,
        gate: Gate | None = None,
        only: str = "",
    ) -> None:
        self.run = run
        self.services = services
        self.models = dict(models)
        """Path of an agent's task to its model; `@role` to that of a colleague or coordinator who has one."""
        self.inputs = inputs
        self.ledger = ledger or Ledger()
        """What the model calls used that this process did not make."""
        self.gate = gate
        """Keeps caps across processes, where several carry the run on."""
        self.bus = (options.bus or Bus)(self._record)
        self.limit: LimitExceeded | None = None
        """The cap that ended the run, once one did."""
        self.cancelled = ""
        """Why the run was given up, once it was."""
        self.undo = False
        """What it did is to be undone then."""
        self.paused = ""
        """Who wants the run to pause, once somebody does."""
        self._doing = options.doing
        self.crew = crew
        """The run's, with all that is inside it."""
        self._schedules: list[Halting] = []
        self.only = only
        """The task that is to be done alone, where others carry on the rest."""
        self.memory = memory
        self.episodes: Episodes | None = None
        """What became of tasks, where what the crew remembers lasts."""
        self.telling: Telling | None = None
        """Tells people of questions, where somebody is to be told."""

    async def do(self, part: Part, here: Here) -> Outcome:
        """Have a task done: here, unless the run's tasks are done elsewhere."""
        return await (here() if self._doing is None else self._doing(self.run, part, here))

    def enter(self, schedule: Halting) -> None:
        """Let a schedule be woken and halted with the run."""
        self._schedules.append(schedule)

    def leave(self, schedule: Halting) -> None:
        """Forget a schedule that is done."""
        self._schedules.remove(schedule)

    def wake(self) -> None:
        """Enter waiting tasks again: somebody decided something."""
        for schedule in list(self._schedules):
            schedule.wake()

    def drain(self, limit: LimitExceeded) -> None:
        """Start nothing more: a cap was reached."""
        self.limit = self.limit or limit
        for schedule in list(self._schedules):
            schedule.drain(str(limit))

    def halt(self, why: str) -> None:
        """Stop everything now."""
        for schedule in list(self._schedules):
            schedule.halt(why)

    def _record(self, message: Message) -> None:
        data = message.to_data()
        if message.kind == "report":
            data["data"] = {}  # the output stands in `task.finished`
        key = f"bus {message.thread} {message.round} {message.kind} {message.sender}"
        if forgotten := self.run.forgotten(message.data.get("at") or message.thread):
            key += f" {forgotten + 1}"
        self.run.record(
            "message.recorded",
            message.thread,
            self.run.redactor.data({"id": key, **data}),
            task=message.data.get("task") or message.thread.partition(" ")[0],
            agent=message.sender,
            key=key,
        )


def services_of(run: Run, breaker: Breaker | None, options: Options, history: Iterable[Event]) -> Services:
    """Return what the tool calls of a run share, with what an earlier process knew."""

    def record(type: str, data: dict[str, Any]) -> None:
        run.record(type, data=data, once=False)

    services = Services(run.clock, record, workflow=breaker, places=options.places)
    services.restore(history)
    return services
