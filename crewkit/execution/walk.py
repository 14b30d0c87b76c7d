"""One crew's tasks in a run: each given to whoever does it, its outcome recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

from crewkit.checks.scope import Scope
from crewkit.coordinator.bus import Bus
from crewkit.coordinator.pool import Pool
from crewkit.coordinator.schedule import Outcome, Schedule
from crewkit.core.events import Event, defined
from crewkit.core.guardrails import NONE, Guardrails, as_guardrails
from crewkit.core.label import UNKNOWN, Label
from crewkit.core.limits import CREW_LIMITS, Limits, Meter
from crewkit.crew.check import Check
from crewkit.crew.compile import Job, Plan
from crewkit.crew.crew import Crew
from crewkit.crew.definition import digest
from crewkit.crew.iteration import ITEM, META, PREVIOUS, REASON, Iteration
from crewkit.crew.part import Part
from crewkit.errors import (
    CrewkitError,
    Denied,
    JournalError,
    LimitExceeded,
    ReplayError,
    RunError,
)
from crewkit.execution.by_agent import by_agent
from crewkit.execution.by_conversation import by_conversation
from crewkit.execution.by_crew import by_crew
from crewkit.execution.by_function import by_function
from crewkit.execution.by_plan import by_plan
from crewkit.execution.by_rule import by_rule
from crewkit.execution.by_wait import by_wait
from crewkit.execution.conditions import decide, facts
from crewkit.execution.given_up import take_back
from crewkit.execution.guarded import admit, admit_crew, guardrails_of, memory_guard
from crewkit.execution.mapped import mapped
from crewkit.execution.meters import Meters
from crewkit.execution.repeat import repeated
from crewkit.execution.session import Session
from crewkit.execution.values import Values
from crewkit.journal.waiting import Waiting
from crewkit.models.base import Model
from crewkit.tools.services import Services
from crewkit.tools.tool import ToolContext

Data = dict[str, Any]


class Walk:
    """A crew being run, at the top or inside another's task."""

    def __init__(
        self,
        session: Session,
        crew: Crew,
        inputs: Mapping[str, Any],
        *,
        labels: Mapping[str, Label] | None = None,
        prefix: str = "",
        limits: Limits,
        parents: tuple[Meter, ...] = (),
        ceiling: Scope | None = None,
        guardrails: Guardrails = NONE,
        depth: int = 1,
    ) -> None:
        self.plan: Plan = crew.plan
        self.crew = crew
        self.limits = limits.over(CREW_LIMITS)
        self._session = session
        self.run = session.run
        self.prefix = prefix
        self.values = Values(session.run, self.plan, prefix, inputs, labels)
        self._ceiling = ceiling
        self.guardrails = guardrails + as_guardrails(crew.guardrails, "crew").within()
        """Those over all that happens here."""
        self.depth = depth
        level = f"crew '{crew.name}'" if prefix else "the run"
        meter = Meter(level, replace(self.limits, seconds=None), parents, gate=session.gate)
        self.meters = Meters(meter, self.plan, prefix)
        self._inner: dict[str, Walk] = {}
        """The crews inside tasks, by iteration. One that is entered again goes on: it knows what it used."""
        self._ended: dict[str, Outcome] = {}
        """What became of tasks the last time round, for a crew that is entered again."""
        self.left_open: dict[str, str] = {}
        """What a conversation ended without settling, by the path of its task."""
        for name, job in self.plan.jobs.items():
            if (seconds := job.task.longest_wait) is not None:
                self.run.deadlines[defined(prefix + name)] = seconds
        self.refused: Denied | None = None
        """Why the crew did not begin: a guardrail refused its inputs."""
        session.ledger.count_on(self.meters)
        self._schedule = self._scheduled()

    def _scheduled(self) -> Schedule:
        schedule = Schedule(self.plan.graph(), self._do, skipped=self._skipped)
        self.values.outcomes = schedule.outcomes
        return schedule

    async def through(self) -> Mapping[str, Outcome]:
        """Run all tasks and return what became of each. May be called again, where some waited for a person."""
        ended = ("completed", "failed", "skipped")
        self._ended = {
            n: outcome for n, outcome in self._schedule.outcomes.items() if outcome.status in ended
        }
        self._schedule = self._scheduled()
        kept_out = await self._kept_out()
        if kept_out is not None:
            self._schedule.outcomes.update(dict.fromkeys(self.plan.jobs, kept_out))
            return self._schedule.outcomes
        self._session.enter(self._schedule)
        try:
            return await self._schedule.run()
        finally:
            self._session.leave(self._schedule)

    async def _kept_out(self) -> Outcome | None:
        """Return what becomes of every task where the crew's inputs are refused, or wait for a person."""
        try:
            await admit_crew(self, self.prefix.removesuffix("/"))
        except Waiting as waiting:
            return Outcome(
                "waiting",
                why=str(waiting),
                approvals=waiting.approvals,
                waits=waiting.waits,
                until=waiting.until,
            )
        except Denied as refused:
            self.refused = refused
            return Outcome("skipped", why=str(refused))
        return None

    async def in_time(self) -> Mapping[str, Outcome]:
        """Run all tasks of a crew inside a task, within the crew's own cap on seconds."""
        cap = self.limits.cap("seconds")
        try:
            async with asyncio.timeout(cap):
                return await self.through()
        except TimeoutError as error:
            raise LimitExceeded(
                f"{self.meters.crew.level}: {cap:g} of {cap:g} seconds used.",
                limit="seconds",
                level=self.meters.crew.level,
            ) from error

    def recorded(self, history: Iterable[Event]) -> Mapping[str, Outcome]:
        """Take what became of the tasks from the journal, and do nothing more: the run is given up."""
        last = {event.path: event.data for event in history if event.type == "task.finished"}
        for name in self.plan.jobs:
            data = last.get(self.prefix + name)
            left = Outcome("skipped", why="The run was given up.")
            self._schedule.outcomes[name] = _replayed(data) if data else left
        return self._schedule.outcomes

    # One task

    async def _do(self, name: str) -> Outcome:
        job, path = self.plan.jobs[name], self.prefix + name
        if name in self._ended:
            return self._ended[name]
        if path in self.run.finished:
            return _replayed(self.run.finished[path])
        part = Part(path, job.kind, digest(self.plan.definitions[job.name]))
        outcome = await self._session.do(part, lambda: self._here(job, path))
        self._wake_for(outcome)
        limit = outcome.error
        if (
            outcome.status == "stopped"
            and isinstance(limit, LimitExceeded)
            and self.meters.crew.under(limit.level)
        ):
            self._drain(limit)
        return outcome

    async def item(self, job: Job) -> tuple[Outcome, Label | None]:
        """Do one item of a map, or answer from the journal; return the label of what it came to as well."""
        path = self.path(job)
        finished = self.run.finished.get(path)
        if finished is None:
            outcome = await self._here(job, path)
            self._wake_for(outcome)
            if outcome.status != "waiting":
                self._forget(job)
            finished = self.run.finished.get(path)
        else:
            outcome = _replayed(finished)
        return outcome, Label.from_data(finished.get("label")) if finished else None

    def only(self, job: Job, items: int) -> range:
        """Return the items of a map to be done here: all, unless what one of them consists of is to be done alone."""
        number, closed, _ = self._session.only.removeprefix(f"{self.path(job)}[").partition("]")
        if closed and number.isdigit() and self._session.only.startswith(f"{self.path(job)}["):
            return range(int(number), int(number) + 1)
        return range(items)

    async def through_items(self, pool: Pool) -> Mapping[int, Outcome]:
        """Do the items of a map; they are woken and halted with the run."""
        self._session.enter(pool)
        try:
            return await pool.run()
        finally:
            self._session.leave(pool)

    def _wake_for(self, outcome: Outcome) -> None:
        """Remember when something that waits can go on by itself."""
        if outcome.status == "waiting" and outcome.until:
            self.run.wake = min(self.run.wake, outcome.until) if self.run.wake else outcome.until

    def _forget(self, job: Job) -> None:
        """Let go of what is known of an item that is over."""
        self.values.forget(job)
        self.meters.forget(job)
        inner = [at for at in self._inner if at == self.path(job) or at.startswith(f"{self.path(job)}#")]
        for at in inner:
            self._inner.pop(at).close()

    def close(self) -> None:
        """Let go of what is known of the tasks: what this crew was in is over."""
        for name in self.plan.jobs:
            self.run.drop(self.prefix + name)

    async def _here(self, job: Job, path: str) -> Outcome:
        """Do a task in this process, and record how it ended."""
        if self.run.held:
            return Outcome("waiting", why=self.run.held)
        begun = self.run.clock.monotonic()
        outcome = await self._tried(job, path)
        if outcome.status in ("completed", "failed"):
            seconds = self.run.clock.monotonic() - begun
            if self._session.episodes and job.kind == "agent":
                used = self.meters.used(job) or {}
                label = self.values.label(job.place)
                await self._session.episodes.write(
                    path, self.values.case(job), job, outcome, label=label, used=used
                )
            self._finish(job, path, outcome, seconds)
        return outcome

    async def _tried(self, job: Job, path: str) -> Outcome:
        """Do a task; where it failed and the run goes on without it, undo what was done for it."""
        given_up = self.run.said(f"{path}/undo", task=path)
        if given_up is None:
            outcome = await self._attempt(job, path)
        else:  # a process died, or a person was asked, in the middle of that
            outcome = self._failed(job, RunError(given_up["why"]))
        contained = job.task.on_failure != "fail" if job.item is None else job.task.min_success is not None
        if outcome.status != "failed" or not contained or isinstance(outcome.error, LimitExceeded):
            return outcome
        try:
            return await take_back(self, path, outcome)
        except Waiting as waiting:
            return Outcome("waiting", why=str(waiting), approvals=waiting.approvals, until=waiting.until)

    async def _attempt(self, job: Job, path: str) -> Outcome:
        """Do a task, or find that it is not to be done; turn whatever is its own trouble into an outcome."""
        try:
            if job.item is None:
                if job.when is not None and (why := await self._unmet(job, job.when, path)):
                    return self._skip(job, path, why, final=True)
                self._started(job, path)
            if job.item is not None or job.each is None:
                await admit(self, job)
            return Outcome("completed", *await self._in_time(job, path))
        except Waiting as waiting:
            return Outcome(
                "waiting",
                why=str(waiting),
                approvals=waiting.approvals,
                waits=waiting.waits,
                until=waiting.until,
            )
        except (JournalError, ReplayError):
            raise
        except LimitExceeded as error:
            if self._stops(job, error):
                return Outcome("stopped", why=str(error), error=error)
            return self._failed(job, error)
        except CrewkitError as error:
            return self._failed(job, error)

    def _started(self, job: Job, path: str) -> None:
        started = {
            "agent": job.worker,
            "needs": list(job.needs),
            "definition": digest(self.plan.definitions[job.name]),
        }
        if job.assigned:
            started["assigned"] = job.assigned
        self.run.record("task.started", path, started, task=path, agent=job.worker)

    def _stops(self, job: Job, limit: LimitExceeded) -> bool:
        """Say whether a cap stops a task, so that it goes on when the cap is raised, or only fails it."""
        if job.item is not None:  # its own trouble counts among the failures of the map
            return (
                limit.limit == "run"
                or self.meters.task(job).under(limit.level)
                or job.task.min_success is None
            )
        return limit.limit == "run" or job.task.on_failure == "fail"

    async def _unmet(self, job: Job, when: Check, path: str) -> str:
        """Return why a task is not to be done; decided once per run."""
        at = f"{path}/when"
        said = await self.run.verdict(
            at,
            lambda: decide(self, job, when, at),
            task=path,
            agent=job.worker,
            type="condition.checked",
        )
        return said["why"]

    async def _in_time(self, job: Job, path: str) -> tuple[Any, str]:
        """Do a task within its seconds; return its output, and what is wrong with it although it counts."""
        cap, seconds = _seconds(job)
        try:
            async with asyncio.timeout(seconds):
                if job.each is not None and job.item is None:
                    return await mapped(self, job)
                if job.until is not None:
                    return await repeated(self, job, job.until, partial(self._output, job))
                return await self._output(job, Iteration(path)), self.left_open.pop(path, "")
        except TimeoutError as error:
            if seconds == cap:
                raise LimitExceeded(
                    f"Task '{job.name}': {cap:g} of {cap:g} seconds used.", limit="seconds"
                ) from error
            waited = _waited_for(self.run.under_way(path)) if job.kind == "agent" else ""
            raise RunError(f"It was not done within its {seconds:g} seconds.{waited}") from error

    def _drain(self, error: LimitExceeded) -> None:
        """Start nothing more. Whether a crew inside a task takes the run with it, that task says."""
        if self.prefix:
            self._schedule.drain(str(error))
        else:
            self._session.drain(error)

    def _failed(self, job: Job, error: CrewkitError) -> Outcome:
        passes = job.task.on_failure == "continue" and job.item is None
        why = self.run.redactor.text(str(error))  # as a resumed run reads it: who goes on without is told
        return Outcome("failed", why=why, error=error, passes=passes)

    def _finish(self, job: Job, path: str, outcome: Outcome, seconds: float) -> None:
        data: Data = {"status": outcome.status, "seconds": round(seconds, 4)}
        if outcome.status == "completed":
            data |= {"output": outcome.output, "label": self.values.label(job.place).to_data()}
            if outcome.why:
                short = job.each is not None and job.item is None
                data |= {"partial" if short else "capped": True, "why": outcome.why}
        if outcome.error:
            data["error"] = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
        if outcome.passes:
            data["passes"] = True
        if (used := self.meters.used(job)) is not None:
            data["usage"] = used
        answered = self.run.answered(path)
        data |= {name: answered[name] for name in ("model", "route") if answered.get(name)}
        self.run.finish(path, data, agent=job.worker, final=outcome.serves or outcome.over)

    def _skipped(self, name: str, why: str) -> Outcome:
        job, path = self.plan.jobs[name], self.prefix + name
        if name in self._ended:
            return self._ended[name]
        if path in self.run.finished:
            return _replayed(self.run.finished[path])
        return self._skip(job, path, why, final=False)

    def _skip(self, job: Job, path: str, why: str, *, final: bool) -> Outcome:
        outcome = Outcome("skipped", why=why, passes=job.task.on_failure == "continue")
        data: Data = {"status": "skipped", "why": why, **({"passes": True} if outcome.passes else {})}
        self.run.finish(path, data, agent=job.worker, final=final or outcome.passes)
        return outcome

    async def _output(self, job: Job, iteration: Iteration) -> Any:
        """Let whoever does a task do it; return the output as JSON data."""
        match job.kind:
            case "agent":
                return await by_agent(self, job, iteration)
            case "function":
                return await by_function(self, job, iteration)
            case "crew":
                return await by_crew(self, job, iteration)
            case "wait":
                return await by_wait(self, job, iteration)
            case "conversation":
                return await by_conversation(self, job, iteration)
            case "plan":
                return await by_plan(self, job, iteration)
            case "conflict":
                return await by_rule(self, job, iteration)

    # What those who do tasks need of the crew

    def path(self, job: Job) -> str:
        """Return a task's path."""
        return self.prefix + job.place

    @property
    def services(self) -> Services:
        """What the tool calls of the run share."""
        return self._session.services

    @property
    def whole(self) -> Crew:
        """The run's crew."""
        return self._session.crew

    @property
    def bus(self) -> Bus:
        """The bus of the run."""
        return self._session.bus

    def argument(
        self, job: Job, source: str, at: str, iteration: Iteration | None = None, label: Label = UNKNOWN
    ) -> Any:
        """Return what fills a parameter: an input, a finished task's output, the context of a call at a path."""
        if not source:
            return self.context(at, self.path(job), job.worker, label, guardrails_of(self, job, job.agent))
        if source == ITEM and job.item is not None:
            return deepcopy(job.item.value)
        if iteration is not None and source == REASON:
            return iteration.reason
        if iteration is not None and source == PREVIOUS:
            return None if iteration.number == 1 else job.output.load(iteration.previous)
        if source == META:
            return facts(self, job)
        if source in self.plan.jobs:
            return self.values.value(source)
        return deepcopy(self.values.inputs[source])  # as after a resume: nobody sees what another did to it

    def context(
        self, at: str, task: str, agent: str, label: Label, guardrails: Guardrails = NONE
    ) -> ToolContext:
        """Return what a tool called at a path with arguments of this label may know of the run."""
        memory = self._session.memory.at(at, task, agent, label)
        context = ToolContext(
            self.run.id,
            task,
            agent,
            at,
            self.run.key(at, task=task),
            memory,
            deepcopy(dict(self.values.inputs)),
            lambda text: self.run.note(at, text, task=task, agent=agent),
        )
        memory.guard = memory_guard(self, guardrails.memory, context)
        return context

    async def earlier(self, job: Job, path: str) -> str:
        """Return what earlier cases have to say to a task, as it stands in its assignment."""
        episodes = self._session.episodes
        return await episodes.recalled(path, self.path(job), self.values.case(job), job) if episodes else ""

    def narrowed(self, scope: Scope) -> Scope:
        """Return a scope within what the crew's caller allows."""
        scope = scope.under(defined(self.prefix))
        return scope if self._ceiling is None else scope & self._ceiling

    def model(self, path: str) -> Model:
        """Return the model of an agent's task."""
        return self._session.models[defined(path)]

    def lend(self, path: str, model: Model) -> None:
        """Say which model a task uses that no definition names: a model planned it."""
        self._session.models.setdefault(defined(path), model)

    def outcomes_inside(self, at: str) -> Mapping[str, Outcome]:
        """Return what became so far of the tasks of a crew inside a task."""
        return self._inner[at]._schedule.outcomes

    def summariser(self, path: str) -> Model | None:
        """Return the model that summarises the long conversation of a task; `None` where none does."""
        return self._session.models.get(f"{defined(path)}@summary")

    def colleague_model(self, role: str, job: Job) -> Model:
        """Return the model of a colleague: its own where it has one, otherwise that of the task it is asked about."""
        return self._session.models.get(defined(f"{self.prefix}@{role}")) or self.model(self.path(job))

    def inside(
        self,
        job: Job,
        at: str,
        crew: Crew,
        inputs: Mapping[str, Any],
        labels: Mapping[str, Label],
        limits: Limits,
    ) -> Walk:
        """Return the walk of a crew that does an iteration of a task: the same whenever that is entered again."""
        if at not in self._inner:
            ceiling = self._ceiling
            for scope, holder in ((self.crew.scope, "crew"), (job.task.scope, f"task {job.name}")):
                held = scope and scope.held_by(holder).under(defined(self.prefix))
                ceiling = held if ceiling is None else ceiling if held is None else ceiling & held
            self._inner[at] = Walk(
                self._session,
                crew,
                inputs,
                labels=labels,
                prefix=f"{at}/",
                limits=limits,
                parents=(self.meters.task(job),),
                ceiling=ceiling,
                guardrails=self.guardrails + as_guardrails(job.task.guardrails, "task").within(),
                depth=self.depth + 1,
            )
        return self._inner[at]


def _waited_for(intents: list[Data]) -> str:
    """Say which models and tools an agent was waiting for when its time was up."""
    names = [f"{each['tool']}()" if "tool" in each else f"the model '{each['model']}'" for each in intents]
    return f" It was waiting for {' and '.join(names)}." if names else ""


def _seconds(job: Job) -> tuple[float | None, float | None]:
    """Return the cap on a task's seconds, and how many it has: a timeout is of one item, a cap of the whole map."""
    cap = job.task.limits.cap("seconds") if job.item is None else None
    timeout = job.task.timeout if job.item is not None or job.each is None else None
    return cap, min((each for each in (cap, timeout) if each is not None), default=None)


def _replayed(data: Data) -> Outcome:
    error = data.get("error")
    why = data.get("why", "") or (error["message"] if error else "")
    status = data["status"]
    return Outcome(
        status, data.get("output"), why, RunError(why) if error else None, bool(data.get("passes"))
    )
