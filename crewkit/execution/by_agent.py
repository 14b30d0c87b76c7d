"""A task done by an agent: what lies on its desk, and whom it may ask."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.agents.delegate import COLLEAGUE_STEPS, ask_colleague, for_colleagues
from crewkit.agents.desk import Desk
from crewkit.agents.history import History
from crewkit.agents.lookback import look_back, pin_fact
from crewkit.agents.loop import work
from crewkit.agents.prompt import UPSTREAM_CHARS, assignment_text, question_text, shorten
from crewkit.checks.call import CallContext, judge, pays, used_up
from crewkit.checks.scope import Scope, granted
from crewkit.checks.taint import Proof, landing, origins
from crewkit.core.label import CREW, NOTHING, UNKNOWN, USER, Label, label_of, shown
from crewkit.core.limits import AGENT_LIMITS, TASK_LIMITS, Meter
from crewkit.core.messages import COORDINATOR, Message
from crewkit.core.verdict import Allow, Ask, Deny, Verdict
from crewkit.crew.compile import Job
from crewkit.crew.iteration import Iteration
from crewkit.errors import Denied, LimitExceeded, ModelError, RunError
from crewkit.execution.exchange import give
from crewkit.execution.guarded import guardrails_of
from crewkit.execution.ladder import climb, entered, person, told
from crewkit.journal.ask import Question, ask, seconds
from crewkit.journal.counted import call_mark
from crewkit.models.base import Model
from crewkit.models.tokens import TokenCounter
from crewkit.tools.gateway import Gateway
from crewkit.tools.guard import guard
from crewkit.tools.running import Wanted
from crewkit.tools.tool import Tool

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

SAME_QUESTIONS = 2
"""How often people are asked about one call that they do not agree to: a no may come with what to do before."""

COORDINATING = Agent(
    COORDINATOR, "Keep the crew's work together, and answer its agents from what you know of the run."
)


@dataclass(frozen=True)
class Worker:
    """Who works, on what: an agent at a task or at a colleague's question about it."""

    walk: Walk
    agent: Agent
    job: Job
    path: str
    """The work's path: the task's, or that of the call that asks."""
    scope: Scope
    depth: int

    @property
    def task(self) -> str:
        """The task's path."""
        return self.walk.path(self.job)

    def cap(self, name: str) -> float | None:
        """Return the tightest cap of this name: the crew's, the task's or the agent's own."""
        levels = (self.walk.limits, self.job.task.limits, self.agent.limits)
        return min((cap for limits in levels if (cap := limits.cap(name)) is not None), default=None)

    def desk(self, model: Model, tools: tuple[Tool, ...]) -> Desk:
        """Lay out what the agent works with: the tools that its scope grants, a gateway to them, a meter."""
        walk, agent, task = self.walk, self.agent, self.task
        depth = self.cap("depth")
        offered: dict[str, Tool] = {}
        withheld: list[Data] = []
        for tool in tools:
            if self.scope.grant(tool.name) is None:
                withheld.append({"tool": tool.name, "by": "scope", "why": "not granted"})
            elif tool.name == ask_colleague.name and depth is not None and self.depth >= depth:
                withheld.append({"tool": tool.name, "by": "limit", "why": f"depth {self.depth} reached"})
            else:
                offered[tool.name] = self._bound(tool)
        counter = TokenCounter(model)
        history = History(walk.run, task, agent.role, f"{self.path}/0", agent.window, counter)
        guardrails = guardrails_of(walk, self.job, agent)
        gateway = Gateway(
            walk.run,
            task,
            agent.role,
            offered,
            lambda wanted: self._judge(wanted, history),
            lambda at, label: walk.context(at, task, agent.role, label, guardrails),
            {
                ask_colleague.name: lambda data, at: self._ask(history, data, at),
                look_back.name: lambda data, at: history.look_back(data["query"]),
                pin_fact.name: lambda data, at: history.pin(),
            },
            lambda arguments: _label(arguments, history),
            lambda tool, arguments: origins(tool, arguments, history.texts()),
            walk.services,
            guardrails,
            self._spent,
        )
        meter = Meter("", AGENT_LIMITS, (walk.meters.task(self.job), walk.meters.agent(agent)))
        return Desk(walk.run, self.path, task, agent, model, meter, gateway, history, tuple(withheld))

    def _judge(self, wanted: Wanted, history: History) -> Verdict:
        """Say whether a call is within the scope, and let it count where calls are counted."""
        tool, counted = wanted.tool, self.walk.run.counted
        if tool is look_back:
            return Allow()
        counters = self._counters(tool)
        made = {holder: counted.others(counter, wanted.path) for holder, counter in counters.items()}
        if pays(tool):
            counters["paid"] = f"paid: {landing(tool, wanted.arguments)}"
        repeated = pays(tool) and counted.others(counters["paid"], wanted.path) > 0
        verdict = judge(self.scope, tool, wanted.arguments, CallContext(history.trusted, made, repeated))
        if isinstance(verdict, Ask) and (why := self._asked_enough(wanted)):
            return Deny(f"'{tool.name}' was not called: {why}")
        if isinstance(verdict, Allow | Ask):
            counted.take(counters.values(), wanted.path)
        return verdict

    def _asked_enough(self, wanted: Wanted) -> str:
        """Say why no person may be asked about a call; empty where one may, or was."""
        walk, counted, task = self.walk, self.walk.run.counted, self.job.task
        if counted.asked(f"{wanted.path}/ask"):
            return ""
        call = call_mark({"tool": wanted.tool.name, "arguments": wanted.arguments})
        if counted.unapproved(self.task, call) >= SAME_QUESTIONS:
            return f"a person was asked about exactly this call {SAME_QUESTIONS} times and did not agree."
        put = (
            ("in this task", task.limits.over(TASK_LIMITS), counted.questions(task=self.task)),
            ("by this agent", self.agent.limits, counted.questions(agent=self.agent.role)),
            (
                "in this crew" if walk.prefix else "in this run",
                walk.limits,
                counted.questions(within=walk.prefix),
            ),
        )
        for where, limits, asked in put:
            cap = limits.cap("questions")
            if cap is not None and asked >= cap:
                return f"a person is asked about {cap:g} calls {where} at most, and was. Go on without it, and say so."
        return ""

    def _counters(self, tool: Tool) -> dict[str, str]:
        """Return under which names the calls of a tool count, by whose cap it is."""
        grant = self.scope.grant(tool.name)
        return {holder: f"{holder}: {tool.name}" for holder in grant.caps} if grant else {}

    def _spent(self, tool: Tool) -> str:
        """Say why a tool may be called no more in this run; empty where it may."""
        made = {name: self.walk.run.counted.others(by, "") for name, by in self._counters(tool).items()}
        return used_up(self.scope, tool, made)

    def _bound(self, tool: Tool) -> Tool:
        if tool.name != ask_colleague.name:
            return tool
        colleagues = [role for role in self.walk.plan.agents if role != self.agent.role]
        return for_colleagues([*colleagues, COORDINATOR])

    async def _ask(self, history: History, arguments: Data, at: str) -> tuple[str, Label]:
        """Put a question to a colleague and return the answer: one round of the thread between the two."""
        to, asked = str(arguments["to"]), shown(str(arguments["question"]), history.label)
        role = self.agent.role
        thread = f"{self.path} {role} and {to}"
        earlier = [
            (shown(str(said["question"]), history.label), shown(answer, history.label))
            for call, answer in history.questions_before(at)
            if (said := _arguments(call.arguments)).get("to") == to and said.get("question")
        ]
        cap = self.cap("rounds")
        round = len(earlier) + 1
        if cap is not None and round > cap:
            why = f"The {cap:g} rounds between {role} and {to} are used up."
            data = {"thread": thread, "rounds": len(earlier), "cap": cap, "why": why}
            self.walk.run.record("round.closed", at, data, task=self.task, agent=role)
            why = f"{why} Your question was not passed on. Give your best answer with what you have."
            return why, CREW
        if why := await self._kept_back(str(arguments["question"]), f"{at}/question"):
            return f"Your question was not passed on. {why}", history.label
        last = cap is not None and round == cap
        known = self.walk.values.known(self.job, to)
        text = question_text(role, asked, earlier, self.walk.values.told_of(self.job), known, last=last)
        label = label_of(text, CREW | USER)
        message = Message("question", role, to, thread, round, text, {"task": self.task, "at": at}, label)
        reply = await self.walk.bus.exchange(message, self._colleague(to, at).answer)
        if why := await self._kept_back(reply.content, f"{at}/answer"):
            return f"The answer of {to} is kept from you. {why}", reply.label
        return reply.content, reply.label

    async def _kept_back(self, text: str, path: str) -> str:
        """Return why a message between agents is not delivered; empty where it is."""
        walk, task, role = self.walk, self.task, self.agent.role
        guardrails = guardrails_of(walk, self.job, self.agent).messages

        async def asked(wish: Ask, at: str) -> str:
            about = {"output": text}
            question = Question(at, "output", wish.question, task, role, about, expires=seconds(wish))
            decision = await ask(walk.run, question)
            return "" if decision.approved else f"A person said no. {decision.note}".strip()

        context = walk.context(path, task, role, UNKNOWN)
        seen = await guard(walk.run, guardrails, "messages", text, context, asked)
        return f"{seen.by}: {seen.objection}" if seen.objection else ""

    def _colleague(self, role: str, at: str) -> Worker:
        """Return a colleague at a question of this worker: it gets no tool that the asker may not use."""
        agent = self.walk.plan.agents.get(role, COORDINATING)
        own = agent.scope and agent.scope.held_by(f"agent {agent.role}")
        scope = self.walk.narrowed(granted(agent.tools, own)) & self.scope
        return Worker(self.walk, agent, self.job, f"{at}/{role}", scope, self.depth + 1)

    async def answer(self, question: Message) -> Message:
        """Answer a colleague's question."""
        model = self.walk.colleague_model(self.agent.role, self.job)
        desk = replace(self.desk(model, tuple(self.agent.tools)), steps=COLLEAGUE_STEPS)
        try:
            said = await work(desk, question.content, self.walk.values.fill)
        except LimitExceeded as error:
            if error.limit != "steps":
                raise
            said = f"{self.agent.role} could not answer: {error}"
        except (ModelError, Denied, RunError) as error:
            said = f"{self.agent.role} could not answer: {error}"
        data, label = {"task": self.task, "at": question.data["at"]}, desk.history.label
        return Message(
            "answer", question.to, question.sender, question.thread, question.round, str(said), data, label
        )


async def by_agent(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Let an agent do a task, or whoever is next on its ladder; return the output as JSON data."""
    text = assignment_text(
        job.name,
        walk.values.fill(job.task.description, job),
        walk.values.fill(job.task.expected_output, job),
        walk.values.told_of(job),
        walk.values.upstream(job),
        job.output.schema,
        None if iteration.number == 1 else again(job, iteration),
        await walk.earlier(job, iteration.path),
    )
    number, said = entered(walk, job, iteration.path)
    while True:
        try:
            return await _try(walk, job, iteration, text, number, said)
        except RunError as error:
            number += 1
            said = await climb(walk, job, iteration.path, number, error)


async def _try(walk: Walk, job: Job, iteration: Iteration, text: str, number: int, said: Data) -> Any:
    """Let the agent of a task, or who is on a rung of its ladder, do it."""
    if not number:
        desk = _desk_for(walk, job, iteration.path, job.agent or COORDINATING, job.tools, job.scope)
        return await give(walk, job, iteration, text, lambda content: _work(walk, desk, content))
    rung, path = job.ladder[number - 1], f"{iteration.path}/fallback:{number}"
    if rung.agent is None:
        output, label = await person(walk, job, path, rung, said)
        walk.values.hold(job, label)
        return output
    desk = _desk_for(walk, job, path, rung.agent, rung.tools, rung.scope)
    assigned = told(text, said)
    role = rung.agent.role
    return await give(
        walk, job, iteration, assigned, lambda content: _work(walk, desk, content), to=role, thread=path
    )


def _desk_for(walk: Walk, job: Job, path: str, agent: Agent, tools: tuple[Tool, ...], scope: Scope) -> Desk:
    """Lay out what an agent does a task with."""
    task = job.task
    worker = Worker(walk, agent, job, path, walk.narrowed(scope), walk.depth)
    steps = task.limits.over(TASK_LIMITS).cap("steps")
    return replace(
        worker.desk(walk.model(path), tools),
        steps=None if steps is None else int(steps),
        output=job.output,
        guardrails=guardrails_of(walk, job, agent).output,
        requires=task.requires_tools,
        review=task.question,
        revisions=task.revisions,
        summariser=walk.summariser(walk.path(job)),
    )


def member_desk(walk: Walk, job: Job, agent: Agent, path: str) -> Desk:
    """Lay out what one of several agents who do a task together works with: its own tools, as far as the task goes."""
    task, own = job.task, agent.scope and agent.scope.held_by(f"agent {agent.role}")
    held = ((task.scope, f"task {job.name}"), (walk.crew.scope, "crew"))
    scope = granted(agent.tools, own, *(scope and scope.held_by(holder) for scope, holder in held))
    worker = Worker(walk, agent, job, path, walk.narrowed(scope), walk.depth)
    model = walk.model(walk.path(job)) if task.model else walk.colleague_model(agent.role, job)
    steps = task.limits.over(TASK_LIMITS).cap("steps")
    return replace(
        worker.desk(model, tuple(agent.tools)),
        steps=None if steps is None else int(steps),
        revisions=task.revisions,
    )


async def _work(walk: Walk, desk: Desk, content: str) -> tuple[Any, Label]:
    return await work(desk, content, walk.values.fill), desk.history.label


def _label(arguments: Data, history: History) -> Label:
    """Return the label of a call's arguments: those that stand in trusted text are trusted, whatever else was read."""
    if not arguments:
        return NOTHING
    if history.label.trusted or not Proof(history.trusted).of(list(arguments.values())):
        return history.label
    return CREW | USER


def again(job: Job, iteration: Iteration) -> tuple[str, str]:
    """Return the version before and why it is not good enough, as they stand in a prompt."""
    previous = shorten(job.output.text(iteration.previous), UPSTREAM_CHARS)
    return shown(previous, iteration.label), shown(iteration.reason, iteration.label)


def _arguments(raw: str) -> Data:
    try:
        data = json.loads(raw)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}  # pyright: ignore[reportUnknownVariableType]
