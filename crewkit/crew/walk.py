"""One crew's tasks in a run: each turned into a node, assigned over the bus, its outcome recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.agents.conversation import Conversation
from crewkit.agents.delegate import ask_colleague, for_colleagues
from crewkit.agents.loop import Desk, look, work
from crewkit.agents.output import WrongAnswer, as_json
from crewkit.agents.prompt import assignment_text, inline, question_text, shorten
from crewkit.checks.scope import Scope, granted
from crewkit.coordinator.bus import assignment
from crewkit.coordinator.schedule import Outcome, Schedule
from crewkit.core.limits import AGENT_LIMITS, CREW_LIMITS, TASK_LIMITS, Limits, Meter
from crewkit.core.messages import COORDINATOR, Message, canonical, fingerprint
from crewkit.crew.compile import Job, Plan, fill
from crewkit.crew.crew import Crew
from crewkit.crew.session import Session
from crewkit.errors import (
    CrewkitError,
    Denied,
    JournalError,
    LimitExceeded,
    ModelError,
    ReplayError,
    RunError,
    ToolError,
)
from crewkit.journal.ask import ask
from crewkit.journal.run import LostOutcome, UnknownOutcome, Waiting
from crewkit.tools.call import invoke, raised_at
from crewkit.tools.gateway import Gateway
from crewkit.tools.tool import UNDECLARED, Tool, ToolContext

Data = dict[str, Any]

COORDINATING = Agent(
    COORDINATOR, "Keep the crew's work together, and answer its agents from what you know of the run."
)


@dataclass(frozen=True)
class Asker:
    """Who works, on what: an agent at a task or at a question."""

    agent: Agent
    job: Job
    path: str
    scope: Scope
    depth: int


class Walk:
    """A crew being run, at the top or inside another's task."""

    def __init__(
        self,
        session: Session,
        crew: Crew,
        inputs: Mapping[str, Any],
        *,
        prefix: str = "",
        limits: Limits,
        parents: tuple[Meter, ...] = (),
        ceiling: Scope | None = None,
        depth: int = 1,
    ) -> None:
        self.plan: Plan = crew.plan
        self.crew = crew
        self.inputs = inputs
        self._shown = {name: as_json(value, f"Input '{name}'") for name, value in inputs.items()}
        self.limits = limits.over(CREW_LIMITS)
        self._session = session
        self._run = session.run
        self._prefix = prefix
        self._ceiling = ceiling
        self._depth = depth
        level = f"crew '{crew.name}'" if prefix else "the run"
        self.meter = Meter(level, replace(self.limits, seconds=None), parents)
        self._agent_meters: dict[str, Meter] = {}
        self._task_meters: dict[str, Meter] = {}
        self._inner: dict[str, Walk] = {}
        """The crews inside tasks: a task that is entered again goes on with the same, which knows what it used."""
        self._ended: dict[str, Outcome] = {}
        """What became of tasks the last time round, for a crew that is entered again."""
        self._restore()
        self._schedule = Schedule(self.plan.graph(), self._do, skipped=self._skipped)

    async def run(self) -> Mapping[str, Outcome]:
        """Run all tasks and return what became of each. May be called again, where some waited for a person."""
        ended = ("completed", "failed", "skipped")
        self._ended = {
            n: outcome for n, outcome in self._schedule.outcomes.items() if outcome.status in ended
        }
        self._schedule = Schedule(self.plan.graph(), self._do, skipped=self._skipped)
        self._session.enter(self._schedule)
        try:
            return await self._schedule.run()
        finally:
            self._session.leave(self._schedule)

    async def in_time(self) -> Mapping[str, Outcome]:
        """Run all tasks of a crew inside a task, within the crew's own cap on seconds."""
        cap = self.limits.cap("seconds")
        try:
            async with asyncio.timeout(cap):
                return await self.run()
        except TimeoutError as error:
            raise LimitExceeded(
                f"{self.meter.level}: {cap:g} of {cap:g} seconds used.", limit="seconds"
            ) from error

    def outputs(self) -> dict[str, Any]:
        """Return the typed outputs of the tasks that completed."""
        outcomes = self._schedule.outcomes
        return {name: self._value(name) for name in self.plan.jobs if outcomes[name].status == "completed"}

    # One task

    async def _do(self, name: str) -> Outcome:
        job, path = self.plan.jobs[name], self._prefix + name
        if name in self._ended:
            return self._ended[name]
        if path in self._run.finished:
            return _replayed(self._run.finished[path])
        begun = self._run.clock.monotonic()
        started = {"agent": job.worker, "needs": list(job.needs), "definition": job.definition}
        if job.assigned:
            started["assigned"] = job.assigned
        self._run.record("task.started", path, started, task=path, agent=job.worker)
        outcome = await self._attempt(job, path)
        if outcome.status in ("completed", "failed"):
            self._finish(job, path, outcome, self._run.clock.monotonic() - begun)
        return outcome

    async def _attempt(self, job: Job, path: str) -> Outcome:
        """Do a task; turn whatever is its own trouble into an outcome."""
        try:
            return Outcome("completed", await self._in_time(job, path))
        except Waiting as waiting:
            return Outcome("waiting", why="A person must decide.", approvals=tuple(waiting.approvals))
        except (JournalError, ReplayError):
            raise
        except LimitExceeded as error:
            if job.task.on_failure == "fail":
                self._drain(error)
                return Outcome("stopped", why=str(error), error=error)
            return self._failed(job, error)
        except CrewkitError as error:
            return self._failed(job, error)

    async def _in_time(self, job: Job, path: str) -> Any:
        cap, seconds = job.task.limits.cap("seconds"), _seconds(job)
        try:
            async with asyncio.timeout(seconds):
                return await self._output(job, path)
        except TimeoutError as error:
            if seconds == cap:
                raise LimitExceeded(
                    f"Task '{job.name}': {cap:g} of {cap:g} seconds used.", limit="seconds"
                ) from error
            waited = _waited_for(self._run.under_way(path)) if job.kind == "agent" else ""
            raise RunError(f"It was not done within its {seconds:g} seconds.{waited}") from error

    def _drain(self, error: LimitExceeded) -> None:
        """Start nothing more. Whether a crew inside a task takes the run with it, that task says."""
        if self._prefix:
            self._schedule.drain(str(error))
        else:
            self._session.drain(error)

    def _failed(self, job: Job, error: CrewkitError) -> Outcome:
        passes = job.task.on_failure == "continue"
        why = self._run.redactor.text(str(error))  # as a resumed run reads it: who goes on without is told
        return Outcome("failed", why=why, error=error, passes=passes)

    def _finish(self, job: Job, path: str, outcome: Outcome, seconds: float) -> None:
        meter = self._task_meters.get(job.name)
        data: Data = {"status": outcome.status, "seconds": round(seconds, 4)}
        if outcome.status == "completed":
            data["output"] = outcome.output
        if outcome.error:
            data["error"] = {"type": type(outcome.error).__name__, "message": str(outcome.error)}
        if outcome.passes:
            data["passes"] = True
        if meter:
            data["usage"] = meter.used()
        self._run.finish(path, data, agent=job.worker, final=outcome.serves)

    def _skipped(self, name: str, why: str) -> Outcome:
        job, path = self.plan.jobs[name], self._prefix + name
        if name in self._ended:
            return self._ended[name]
        if path in self._run.finished:
            return _replayed(self._run.finished[path])
        outcome = Outcome("skipped", why=why, passes=job.task.on_failure == "continue")
        data: Data = {"status": "skipped", "why": why, **({"passes": True} if outcome.passes else {})}
        self._run.finish(path, data, agent=job.worker, final=outcome.passes)
        return outcome

    async def _output(self, job: Job, path: str) -> Any:
        """Give a task to whoever does it and return the output as JSON data."""
        match job.kind:
            case "agent":
                return await self._by_agent(job, path)
            case "function":
                return await self._by_function(job, path)
            case "crew":
                return await self._by_crew(job, path)

    def _value(self, name: str) -> Any:
        """Return a finished task's output as its type; `None` where it did not complete."""
        outcome = self._schedule.outcomes[name]
        if outcome.status != "completed":
            return None
        try:
            return self.plan.jobs[name].output.load(outcome.output)
        except WrongAnswer as error:
            raise ReplayError(
                f"The recorded output of '{self._prefix}{name}' is no longer of its type: {error}"
            ) from error

    # By an agent

    async def _by_agent(self, job: Job, path: str) -> Any:
        agent = job.agent or COORDINATING
        scope = job.scope if self._ceiling is None else job.scope & self._ceiling
        worker = Asker(agent, job, path, scope, self._depth)
        steps = job.task.limits.over(TASK_LIMITS).cap("steps")
        review = job.task.human_input
        desk = replace(
            self._desk(worker, self._model(path), job.tools),
            steps=None if steps is None else int(steps),
            output=job.output,
            guardrails=job.task.guardrails,
            review=review if isinstance(review, str) else "Is this result good?" if review else "",
            revisions=job.task.revisions,
        )
        text = assignment_text(
            job.name,
            self._fill(job.task.description),
            self._fill(job.task.expected_output),
            self._shown,
            self._upstream(job),
            job.output.schema,
        )
        return await self._give(job, path, text, lambda content: work(desk, content, self._fill))

    async def _give(self, job: Job, path: str, text: str, do: Callable[[str], Awaitable[Any]]) -> Any:
        """Assign a task over the bus; return the output that the report brings.

        Args:
            job: The task.
            path: Its path, which is the thread.
            text: The assignment.
            do: Does what the assignment that arrived says, and returns the output as JSON data.
        """

        async def answering(received: Message) -> Message:
            try:
                output = await do(received.content)
            except (JournalError, ReplayError):
                raise
            except CrewkitError as error:
                return _failure(job.worker, received, error)
            said = shorten(job.output.text(output), 2_000)
            return Message(
                "report", job.worker, received.sender, path, received.round, said, {"output": output}
            )

        reply = await self._session.bus.exchange(assignment(job.worker, path, text), answering)
        if reply.kind != "report":
            raise _raised(reply)
        return reply.data["output"]

    def _desk(self, worker: Asker, model: Any, tools: tuple[Tool, ...]) -> Desk:
        """Lay out what an agent works with: the tools that its scope grants, a gateway to them, a meter."""
        agent, job = worker.agent, worker.job
        path = self._prefix + job.name
        depth = self._cap("depth", worker)
        offered: dict[str, Tool] = {}
        withheld: list[Data] = []
        for tool in tools:
            if worker.scope.grant(tool.name) is None:
                withheld.append({"tool": tool.name, "by": "scope", "why": "not granted"})
            elif tool.name == ask_colleague.name and depth is not None and worker.depth >= depth:
                withheld.append({"tool": tool.name, "by": "limit", "why": f"depth {worker.depth} reached"})
            else:
                offered[tool.name] = self._bound(tool, agent)
        conversation = Conversation(self._run, path, agent.role, f"{worker.path}/0")
        gateway = Gateway(
            self._run,
            path,
            agent.role,
            offered,
            lambda tool, _arguments: worker.scope.check(tool),
            lambda at: self._context(at, path, agent.role),
            {ask_colleague.name: lambda data, at: self._ask(worker, conversation, data, at)},
        )
        meter = Meter("", AGENT_LIMITS, (self._task_meter(job), self._agent_meter(agent)))
        return Desk(self._run, worker.path, path, agent, model, meter, gateway, conversation, tuple(withheld))

    def _cap(self, name: str, worker: Asker) -> float | None:
        """Return the tightest cap of this name over a worker: the crew's, the task's or the agent's own."""
        levels = (self.limits, worker.job.task.limits, worker.agent.limits)
        return min((cap for limits in levels if (cap := limits.cap(name)) is not None), default=None)

    def _bound(self, tool: Tool, agent: Agent) -> Tool:
        if tool.name != ask_colleague.name:
            return tool
        return for_colleagues([*(role for role in self.plan.agents if role != agent.role), COORDINATOR])

    def _context(self, at: str, task: str, agent: str) -> ToolContext:
        return ToolContext(
            self._run.id,
            task,
            agent,
            at,
            fingerprint(self._run.id, at),
            self._session.memory(at, task, agent),
            deepcopy(dict(self.inputs)),
            lambda text: self._run.note(at, text, task=task, agent=agent),
        )

    def _upstream(self, job: Job) -> dict[str, str]:
        """Return the earlier outputs that are put before the agent, as text."""
        outcomes = self._schedule.outcomes
        return {
            name: self.plan.jobs[name].output.text(outcomes[name].output)
            if outcomes[name].status == "completed"
            else f"(There is no result: {outcomes[name].why})"
            for name in job.context
        }

    # Questions between agents

    async def _ask(self, asker: Asker, conversation: Conversation, arguments: Data, at: str) -> str:
        """Put a question to a colleague and return the answer: one round of the thread between the two."""
        to, question = str(arguments["to"]), str(arguments["question"])
        role, path = asker.agent.role, self._prefix + asker.job.name
        thread = f"{asker.path} {role} and {to}"
        earlier = [
            (str(said["question"]), answer)
            for call, answer in conversation.before(at, ask_colleague.name)
            if (said := _arguments(call.arguments)).get("to") == to and said.get("question")
        ]
        cap = self._cap("rounds", asker)
        round = len(earlier) + 1
        if cap is not None and round > cap:
            why = f"The {cap:g} rounds between {role} and {to} are used up."
            data = {"thread": thread, "rounds": len(earlier), "cap": cap, "why": why}
            self._run.record("round.closed", at, data, task=path, agent=role)
            return f"{why} Your question was not passed on. Give your best answer with what you have."
        colleague = self.plan.agents.get(to, COORDINATING)
        scope = granted(colleague.tools, colleague.scope) & asker.scope
        helper = Asker(colleague, asker.job, f"{at}/{to}", scope, asker.depth + 1)
        desk = replace(
            self._desk(helper, self._colleague_model(to, asker.job), tuple(colleague.tools)), steps=5
        )
        last = cap is not None and round == cap
        text = question_text(role, question, earlier, self._shown, self._known(asker.job, to), last=last)

        async def answering(received: Message) -> Message:
            try:
                answer = await work(desk, received.content, self._fill)
            except LimitExceeded as error:
                if error.limit != "steps":
                    raise
                answer = f"{to} could not answer: {error}"
            except (ModelError, Denied, RunError) as error:
                answer = f"{to} could not answer: {error}"
            return Message("answer", to, role, thread, round, str(answer), {"task": path})

        message = Message("question", role, to, thread, round, text, {"task": path})
        reply = await self._session.bus.exchange(message, answering)
        return reply.content

    def _known(self, job: Job, colleague: str) -> dict[str, str]:
        """Return the results that a colleague may build on.

        Its own among what the task builds on; all of them for the coordinator. Only what the graph settles, so that
        it is the same after a resume.
        """
        ancestors: dict[str, None] = {}
        queue = list(job.needs)
        while queue:
            name = queue.pop()
            if name not in ancestors:
                ancestors[name] = None
                queue += self.plan.jobs[name].needs
        outcomes = self._schedule.outcomes
        return {
            name: each.output.text(outcomes[name].output)
            for name, each in self.plan.jobs.items()
            if name in ancestors
            and outcomes[name].status == "completed"
            and colleague in (COORDINATOR, each.worker)
        }

    def _colleague_model(self, role: str, job: Job) -> Any:
        """Return the model of a colleague: its own where it has one, otherwise the asker's."""
        return self._session.models.get(f"{self._prefix}@{role}") or self._model(self._prefix + job.name)

    # By a function

    async def _by_function(self, job: Job, path: str) -> Any:
        task = job.task
        tool = task.do if isinstance(task.do, Tool) else None
        function = tool.function if tool else task.do
        effects = tool.effects if tool else UNDECLARED
        repeatable = bool(tool and (tool.reads_only or tool.idempotent))
        at = f"{path}/1/tool:0"
        arguments = {name: self._argument(job, source, at) for name, source in job.arguments.items()}
        shown = {
            name: f"the result of '{source}'" if source in self.plan.jobs else f"the input '{source}'"
            for name, source in job.arguments.items()
            if source
        }
        name = tool.name if tool else getattr(function, "__name__", task.name)

        async def do(_attempt: int) -> Data:
            begun = self._run.clock.monotonic()
            try:
                value = await invoke(function, arguments, tool.timeout if tool else None)  # pyright: ignore[reportArgumentType]
            except TimeoutError as error:
                if not repeatable:
                    raise LostOutcome(str(error)) from error
                raise ToolError(
                    f"{name}() did not return within {tool.timeout if tool else 0:g} seconds."
                ) from error
            except Exception as error:
                raised = ToolError(f"{name}() raised {type(error).__name__}: {error}")
                raised.add_note(raised_at(error, function))  # pyright: ignore[reportArgumentType]
                raise raised from error
            ended: Data
            try:
                ended = {"outcome": "ok", "output": self._run.redactor.data(job.output.dump(value))}
            except CrewkitError as error:
                if repeatable:
                    raise
                ended = {"outcome": "error", "error": {"type": type(error).__name__, "message": str(error)}}
            seconds = round(self._run.clock.monotonic() - begun, 4)
            return {"tool": name, **ended, "fingerprint": mark, "seconds": seconds}

        async def call(_content: str) -> Any:
            finished = await self._once(at, intent, do, path, job.worker, repeatable)
            if "error" in finished:
                raise RunError(finished["error"]["message"])  # it ran to its end: only its result is lost
            return finished["output"]

        mark = fingerprint(name, canonical(shown))
        intent: Data = {
            "tool": name,
            "arguments": shown,
            "effects": list(effects),
            "idempotent": repeatable,
            "key": fingerprint(self._run.id, at),
            "fingerprint": mark,
        }
        said = f"Call {name}({', '.join(f'{parameter}: {source}' for parameter, source in shown.items())})."
        output = await self._give(job, path, said, call)
        await self._accept(job, path, output)
        return output

    def _argument(self, job: Job, source: str, at: str) -> Any:
        if not source:
            return self._context(at, self._prefix + job.name, job.worker)
        if source in self.plan.jobs:
            return self._value(source)
        return deepcopy(self.inputs[source])  # as after a resume: nobody sees what another did to it

    async def _once(self, at: str, intent: Data, do: Any, task: str, agent: str, repeatable: bool) -> Data:  # noqa: FBT001
        """Run a function's step once; where it may have happened already, ask a person."""
        while True:
            try:
                return await self._run.step(
                    at, "tool", intent, do, task=task, agent=agent, repeatable=repeatable
                )
            except UnknownOutcome as unknown:
                decision = ask(
                    self._run,
                    at,
                    "unknown",
                    f"'{intent['tool']}' was begun and nobody knows whether it happened. Run it again?",
                    task=task,
                    agent=agent,
                    attempt=unknown.attempt + 1,
                    tool=intent["tool"],
                    arguments=intent["arguments"],
                )
                if not decision.approved:
                    said = f": {decision.note}" if decision.note else "."
                    why = f"'{intent['tool']}' may have happened, and a person said not to run it again{said}"
                    raise Denied(why) from None
                self._run.settle(at, task=task)

    async def _accept(self, job: Job, path: str, output: Any) -> None:
        """Put a function's or crew's output before the guardrails and the person: nobody is told to do it better."""
        for i, guardrail in enumerate(job.task.guardrails):
            name = getattr(guardrail, "__name__", type(guardrail).__name__)
            said = await self._run.verdict(
                f"{path}/1/guardrail:{i}",
                lambda guardrail=guardrail: look(guardrail, job.output.load(output)),
                task=path,
                agent=job.worker,
            )
            if said["verdict"] == "ask":
                self._review(job, f"{path}/1/guardrail:{i}", said["why"], output)
            elif said["verdict"] != "allow":
                raise Denied(f"The guardrail '{name}' refused the result: {said['why']}")
        if job.task.human_input:
            asked = job.task.human_input
            self._review(
                job, f"{path}/1", asked if isinstance(asked, str) else "Is this result good?", output
            )

    def _review(self, job: Job, path: str, question: str, output: Any) -> None:
        task = self._prefix + job.name
        decision = ask(self._run, path, "output", question, task=task, agent=job.worker, output=output)
        if not decision.approved:
            raise Denied(
                f"A person did not accept the result of '{job.name}': {decision.note or 'no reason given'}"
            )

    # By a crew

    async def _by_crew(self, job: Job, path: str) -> Any:
        crew = job.task.do
        assert isinstance(crew, Crew)
        caps = (self.limits.cap("depth"), job.task.limits.cap("depth"))
        depth = min((cap for cap in caps if cap is not None), default=None)
        if depth is not None and self._depth >= depth:
            raise LimitExceeded(
                f"Crew '{crew.name}' would be {self._depth + 1} deep; the cap is {depth:g}.", limit="depth"
            )
        scopes = [s for s in (self._ceiling, self.crew.scope, job.task.scope) if s is not None]
        ceiling = scopes[0] if scopes else None
        for scope in scopes[1:]:
            ceiling = ceiling & scope if ceiling is not None else scope
        inputs = {
            **{n: given.default for n, given in crew.plan.inputs.items() if n not in job.arguments},
            **{
                n: self._value(s) if s in self.plan.jobs else self.inputs[s] for n, s in job.arguments.items()
            },
        }
        if job.name not in self._inner:
            self._inner[job.name] = Walk(
                self._session,
                crew,
                inputs,
                prefix=f"{path}/",
                limits=_inside(crew.limits, self.limits, depth),
                parents=(self._task_meter(job),),
                ceiling=ceiling,
                depth=self._depth + 1,
            )
        walk = self._inner[job.name]

        async def run(_content: str) -> Any:
            outcomes = await walk.in_time()
            waits = [id for outcome in outcomes.values() for id in outcome.approvals]
            if waits:
                raise Waiting(waits)
            for name, outcome in outcomes.items():
                if isinstance(outcome.error, LimitExceeded) and outcome.status == "stopped":
                    raise outcome.error
                if outcome.status == "stopped":
                    raise LimitExceeded(outcome.why, limit="run")
                if outcome.status == "failed" and crew.plan.jobs[name].task.on_failure == "fail":
                    kind = Denied if isinstance(outcome.error, Denied) else RunError
                    raise kind(f"Task '{name}' of crew '{crew.name}' failed: {outcome.why}")
            done = {
                name: outcomes[name].output
                for name in crew.plan.final
                if outcomes[name].status == "completed"
            }
            output = next(iter(done.values()), None) if len(crew.plan.final) == 1 else done
            try:
                return job.output.dump(job.output.load(output))
            except WrongAnswer as error:
                raise RunError(
                    f"The output of crew '{crew.name}' is not what the task promises. {error}"
                ) from error

        said = f"Run crew '{crew.name}' with {canonical({k: str(v)[:80] for k, v in inputs.items()})}."
        output = await self._give(job, path, said, run)
        await self._accept(job, path, output)
        return output

    # Meters and models

    def _task_meter(self, job: Job) -> Meter:
        if job.name not in self._task_meters:
            limits = job.task.limits.over(TASK_LIMITS)
            steps = (
                job.task.limits.cap("steps") if job.kind == "crew" else None
            )  # an agent's loop counts its own
            limits = replace(limits, steps=None if steps is None else int(steps), seconds=None)
            self._task_meters[job.name] = Meter(f"Task '{job.name}'", limits, (self.meter,))
        return self._task_meters[job.name]

    def _agent_meter(self, agent: Agent) -> Meter:
        if agent.role not in self._agent_meters:
            limits = agent.limits.over(AGENT_LIMITS)
            self._agent_meters[agent.role] = Meter(f"Agent '{agent.role}'", limits, (self.meter,))
        return self._agent_meters[agent.role]

    def _restore(self) -> None:
        """Count what earlier processes used; a crew inside an unfinished task counts its own."""
        for spent in self._session.spent:
            if not spent.task.startswith(self._prefix):
                continue
            name = spent.task[len(self._prefix) :].partition("/")[0]
            job = self.plan.jobs.get(name)
            if job is None or (job.kind == "crew" and self._prefix + name not in self._run.finished):
                continue
            parents = [self._task_meter(job)]
            if spent.agent in self.plan.agents:
                parents.append(self._agent_meter(self.plan.agents[spent.agent]))
            Meter("", AGENT_LIMITS, tuple(parents)).restore(spent.tokens, spent.usd, spent.seconds)

    def _model(self, path: str) -> Any:
        return self._session.models[path]

    def _fill(self, text: str) -> str:
        return fill(text, {name: inline(value) for name, value in self._shown.items()})


def _inside(own: Limits, outer: Limits, depth: float | None) -> Limits:
    """Return the limits of a crew inside a task: what it leaves out is the outer crew's; depth never grows."""
    limits = own.over(replace(outer, tokens=None, usd=None, seconds=None, steps=None))
    caps = [cap for cap in (depth, limits.cap("depth")) if cap is not None]
    return replace(limits, depth=int(min(caps)) if caps else None)


def _waited_for(intents: list[Data]) -> str:
    """Say which models and tools an agent was waiting for when its time was up."""
    names = [f"{each['tool']}()" if "tool" in each else f"the model '{each['model']}'" for each in intents]
    return f" It was waiting for {' and '.join(names)}." if names else ""


def _seconds(job: Job) -> float | None:
    caps = [cap for cap in (job.task.timeout, job.task.limits.cap("seconds")) if cap is not None]
    return min(caps) if caps else None


def _replayed(data: Data) -> Outcome:
    error = data.get("error")
    why = data.get("why", "") or (error["message"] if error else "")
    status = data["status"]
    return Outcome(
        status, data.get("output"), why, RunError(why) if error else None, bool(data.get("passes"))
    )


def _failure(sender: str, received: Message, error: CrewkitError) -> Message:
    data = {"type": type(error).__name__, "message": str(error), "limit": getattr(error, "limit", "")}
    return Message(
        "failure", sender, received.sender, received.thread, received.round, str(error), {"error": data}
    )


def _raised(failure: Message) -> CrewkitError:
    """Turn a failure message back into the error that it tells of."""
    data = failure.data["error"]
    if data["type"] == "LimitExceeded":
        return LimitExceeded(data["message"], limit=data["limit"])
    kinds: dict[str, type[CrewkitError]] = {
        "ModelError": ModelError,
        "ToolError": ToolError,
        "Denied": Denied,
    }
    return kinds.get(data["type"], RunError)(data["message"])


def _arguments(raw: str) -> Data:
    import json

    try:
        data = json.loads(raw)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}  # pyright: ignore[reportUnknownVariableType]
