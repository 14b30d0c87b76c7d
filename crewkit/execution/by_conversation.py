"""A task done by a conversation: each member works from what reached its mailbox, and is heard by what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crewkit.agents.agent import Agent
from crewkit.agents.loop import work
from crewkit.agents.output import Output
from crewkit.agents.prompt import assignment_text
from crewkit.coordinator.bus import assignment
from crewkit.coordinator.conversation import END, EVERYONE, Ended, Rules, Said, converse
from crewkit.core.label import Label, join
from crewkit.core.messages import COORDINATOR, Message
from crewkit.core.verdict import Allow, Deny, Revise
from crewkit.crew.compile import Job
from crewkit.crew.conversation import Conversation, name_of, rounds_of
from crewkit.crew.iteration import Iteration
from crewkit.crew.several import arguments_of
from crewkit.errors import Denied, RunError
from crewkit.execution.by_agent import again, member_desk
from crewkit.execution.by_member import by_member
from crewkit.execution.conditions import brief
from crewkit.execution.exchange import accept, answered_by, raised
from crewkit.execution.guarded import guardrails_of
from crewkit.execution.turn import (
    NOBODY,
    allowed,
    choice_form,
    form_of,
    hand_form,
    in_form,
    said_by,
    thread_text,
    turn_text,
)
from crewkit.journal.waiting import Waiting
from crewkit.tools.call import invoke

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

Data = dict[str, Any]

LAST_WORD = (
    "This conversation is at its end: {why} Give your best closing answer to the task now, from what was said. It is "
    "the last thing that you say."
)
RAISE = (
    "How much do you have to say now that was not said yet: 0 (nothing), 1, 2 or 3 (it is needed)? Only raise your "
    "hand; you speak when it is your turn."
)


async def by_conversation(walk: Walk, job: Job, iteration: Iteration) -> Any:
    """Let the members of a conversation do a task; return the output as JSON data."""
    conversation = job.task.do
    assert isinstance(conversation, Conversation)
    talk = _Talk(walk, job, iteration, conversation)
    text = assignment_text(
        job.name,
        walk.values.fill(job.task.description, job),
        walk.values.fill(job.task.expected_output, job),
        walk.values.told_of(job),
        walk.values.upstream(job),
        None,
        None if iteration.number == 1 else again(job, iteration),
    )
    given = assignment(EVERYONE, iteration.path, text, iteration.task)
    walk.bus.send(given, among=conversation.names)
    walk.bus.send(await answered_by(job.worker, given, talk.through, job.output.text))
    reply = walk.bus.take(COORDINATOR, iteration.path)
    if reply is None:
        raise RunError(f"The conversation ended without a word to '{COORDINATOR}'.", task=iteration.task)
    if reply.kind != "report":
        raise raised(reply)
    walk.values.hold(job, reply.label)
    output = reply.data["output"]
    return output if conversation.closing else await accept(walk, job, iteration, output)


@dataclass
class _Talk:
    """One conversation, while it is held. What it knows comes again from the journal when it is entered again."""

    walk: Walk
    job: Job
    iteration: Iteration
    conversation: Conversation
    read: dict[str, list[Message]] = field(default_factory=dict[str, list[Message]])
    """What each member has taken out of its mailbox, the assignment first."""
    sent: list[Message] = field(default_factory=list[Message])
    """All that was said, in its order."""

    @property
    def path(self) -> str:
        """The iteration's, and the name of the thread."""
        return self.iteration.path

    @property
    def cap(self) -> float | None:
        """Messages at most."""
        return rounds_of(self.conversation, self.job.task.limits, self.walk.crew.limits, self.walk.limits)

    def arguments(self, name: str) -> Mapping[str, str]:
        """Return what fills the parameters of a function that is a member; of the check under the empty name."""
        return arguments_of(self.job, self.walk.plan.inputs)[name]

    async def through(self) -> tuple[Any, Label]:
        """Hold it to its end; return the output as JSON data, and its label."""
        conversation = self.conversation
        rules = Rules(conversation.names, conversation.transitions, self.cap, conversation.pair)
        ended = await converse(rules, self._speak, self._choose, self._content)
        if ended.open:
            left = f"{ended.why} Still open: {brief(ended.open)}"
            self.walk.left_open[self.iteration.task] = self.walk.run.redactor.text(left)
        closings = await self._close(ended) if ended.early else []
        if conversation.closing is not None:
            return await self._written(conversation.closing, ended, closings)
        label = join([message.label for message in self.sent])
        if closings:
            return "\n\n".join(f"{each.sender}: {each.content}" for each in closings), label
        return ended.said[-1].text, label

    # A member's turn

    async def _speak(self, name: str, number: int, missing: str) -> Said:
        member = next(each for each in self.conversation.members if name_of(each) == name)
        known = self._known(name)
        if isinstance(member, Agent):
            at = f"{self.path}/{number}/{name}/1/model"
            answer, label = await self._spoken(member, number, missing)
        else:
            at = f"{self.path}/{number}/{name}/tool:0"
            sources = self.arguments(name)
            answer, label = await by_member(self.walk, self.job, self.iteration, member, known, sources, at)
        said = said_by(self.conversation, name, number, answer)
        if self.conversation.transitions and (why := self.conversation.transitions.refusal(said)):
            raise RunError(why, task=self.iteration.task)
        self._send(said, label, at)
        return said

    async def _spoken(self, agent: Agent, number: int, missing: str) -> tuple[Any, Label]:
        """Let an agent speak; what it may not say to whom goes back to it, with what it may."""
        form, name = form_of(self.conversation, agent.role), agent.role
        output = Output(form, f"What {name} says")
        turn = turn_text(self.conversation, name, number, self.cap, output, missing)
        checks = () if form is str else (allowed(self.conversation, name, number),)
        desk = replace(
            member_desk(self.walk, self.job, agent, f"{self.path}/{number}/{name}"),
            output=output,
            guardrails=checks,
        )
        answer = await work(desk, "\n\n".join([*self._thread(name), turn]), self.walk.values.fill)
        return answer, desk.history.label

    def _heard(self, name: str) -> list[Message]:
        """Take what has arrived out of a member's mailbox; return all that it was sent, but for the assignment."""
        box = self.read.setdefault(name, [])
        while (message := self.walk.bus.take(name, self.path)) is not None:
            box.append(message)
        if not box or box[0].kind != "assignment":
            raise RunError(
                f"The assignment never reached '{name}', so it did nothing.", task=self.iteration.task
            )
        return box[1:]

    def _known(self, name: str) -> list[Message]:
        """Return what a member was sent and what it said itself, the newest last."""
        heard = self._heard(name)
        mine = [each for each in self.sent if each.sender == name and each.kind != "answer"]
        return sorted([*heard, *mine], key=lambda message: message.round)

    def _thread(self, name: str) -> list[str]:
        """Return the thread as a member reads it."""
        known = self._known(name)
        return thread_text(self.conversation, self.read[name][0].content, known, self.walk.values.fill)

    def _overheard(self, *, whole: bool = False) -> list[str]:
        """Return the thread as one reads it who is no member: of what was for one alone, only that it was said."""
        names = self.conversation.names
        self._heard(names[0])
        given = self.read[names[0]][0].content

        def hidden(message: Message) -> bool:
            return self.conversation.direct and message.to in names and not whole

        return thread_text(self.conversation, given, self.sent, self.walk.values.fill, hidden)

    def _send(self, said: Said, label: Label, at: str) -> None:
        conversation = self.conversation
        kind = "handoff" if conversation.transitions and said.kind == "message" else said.kind
        to = COORDINATOR if said.to == END else said.to
        data = {"task": self.iteration.task, "at": at}
        message = Message(kind, said.speaker, to, self.path, said.round, said.text, data, label)
        self.sent.append(message)
        among = [to] if conversation.direct and to in conversation.names else conversation.names
        self.walk.bus.send(message, among=[name for name in among if name != said.speaker])

    # Who speaks, and when it is enough

    async def _choose(self, candidates: Sequence[str], number: int) -> str:
        match self.conversation.speaker:
            case "by hand":
                return await self._by_hand(candidates, number)
            case Agent() as moderator:
                return await self._moderated(moderator, candidates, number)
            case _:
                return candidates[0]

    async def _moderated(self, moderator: Agent, candidates: Sequence[str], number: int) -> str:
        """Have an agent choose among those who may speak, or say that nobody has to."""
        choices = (*candidates, NOBODY) if self.sent else tuple(candidates)
        asked = f"Who speaks next: {', '.join(choices)}? Choose who can bring the task forward most"
        asked += f", or '{NOBODY}' where it is done." if self.sent else "."
        at = f"{self.path}/{number}/speaker/{moderator.role}"
        answer = await self._aside(moderator, at, choice_form(choices), asked)
        return "" if answer["next"] == NOBODY else answer["next"]

    async def _by_hand(self, candidates: Sequence[str], number: int) -> str:
        """Ask all agents how much they have to say: whoever has most speaks, among equals the one whose turn it is."""
        members = {name_of(each): each for each in self.conversation.members}
        agents = [each for name in candidates if isinstance(each := members[name], Agent)]

        async def hand(agent: Agent) -> int:
            at = f"{self.path}/{number}/hand/{agent.role}"
            return (await self._aside(agent, at, hand_form(), RAISE))["urgency"]

        hands = await _together([hand(agent) for agent in agents])
        if not any(hands):
            return "" if self.sent else candidates[0]
        return agents[hands.index(max(hands))].role

    async def _aside(self, agent: Agent, path: str, form: Any, question: str) -> Data:
        """Ask an agent something that is no part of the conversation."""
        parts = self._thread(agent.role) if agent.role in self.conversation.names else self._overheard()
        output = Output(form, f"What {agent.role} says")
        desk = replace(member_desk(self.walk, self.job, agent, path), output=output)
        text = "\n\n".join([*parts, "\n".join([f"## Your part\n{question}", *in_form(output)])])
        return await work(desk, text, self.walk.values.fill)

    async def _content(self, said: Sequence[Said]) -> str | None:
        """Return what is still missing; `None` where there is enough. Asked once per run."""
        until = self.conversation.until
        if until is None:
            return ""
        at = f"{self.path}/{len(said)}/until"
        name = getattr(until, "__name__", type(until).__name__)

        async def check() -> Data:
            sources = self.arguments("").items()
            arguments = {parameter: self.walk.argument(self.job, source, at) for parameter, source in sources}
            try:
                found = await invoke(partial(until, list(said)), arguments)
            except Exception as error:
                raise RunError(f"Its check {name}() failed with {type(error).__name__}: {error}") from error
            verdict, why = _enough(name, found)
            return {"condition": f"{name}()", "verdict": verdict, "why": why}

        seen = await self.walk.run.verdict(
            at, check, task=self.iteration.task, agent=self.job.worker, type="condition.checked"
        )
        if seen["verdict"] == "deny":
            raise Denied(f"{name}() gave the conversation up: {seen['why']}")
        return None if seen["verdict"] == "allow" else seen["why"]

    # The end

    async def _close(self, ended: Ended) -> list[Message]:
        """Ask the agents once for their best closing answer; what else they had to say is dropped."""
        number = len(ended.said) + 1
        data = {"thread": self.path, "rounds": len(ended.said), "cap": self.cap, "why": ended.why}
        at = f"{self.path}/{number}"
        self.walk.run.record("round.closed", at, data, task=self.iteration.task, agent=self.job.worker)
        agents = [each for each in self.conversation.members if isinstance(each, Agent)]
        asked = f"## Your last word\n{LAST_WORD.format(why=ended.why)}"

        async def last(agent: Agent, thread: Sequence[str]) -> tuple[str, Label]:
            desk = member_desk(self.walk, self.job, agent, f"{at}/{agent.role}")
            return await work(desk, "\n\n".join([*thread, asked]), self.walk.values.fill), desk.history.label

        words = await _together([last(agent, self._thread(agent.role)) for agent in agents])
        closings: list[Message] = []
        for agent, (text, label) in zip(agents, words, strict=True):
            step = {"task": self.iteration.task, "at": f"{at}/{agent.role}/1/model"}
            self.walk.bus.send(
                Message("answer", agent.role, COORDINATOR, self.path, number, text, step, label)
            )
            answer = self.walk.bus.take(COORDINATOR, self.path)
            closings += [answer] if answer else []  # one that is lost is no answer
        self.sent += closings
        return closings

    async def _written(self, closer: Agent, ended: Ended, closings: Sequence[Message]) -> tuple[Any, Label]:
        """Have an agent write the result from all that was said."""
        job, number = self.job, len(ended.said) + (2 if closings else 1)
        wanted = f"The conversation is over. {ended.why} Write its result: what the task asks for."
        parts = [*self._overheard(whole=True), "\n".join([f"## Your part\n{wanted}", *in_form(job.output)])]
        desk = replace(
            member_desk(self.walk, job, closer, f"{self.path}/{number}/{closer.role}"),
            output=job.output,
            guardrails=guardrails_of(self.walk, job, closer).output,
            review=job.task.question,
        )
        output = await work(desk, "\n\n".join(parts), self.walk.values.fill)
        return output, join([desk.history.label, *(message.label for message in self.sent)])


def _enough(name: str, found: Any) -> tuple[str, str]:
    """Return the verdict that a check means, and why."""
    match found:
        case None | True | Allow():
            return "allow", ""
        case Deny(why):
            return "deny", why
        case False:
            return "revise", ""
        case Revise(why) | str(why):
            return "revise", why
        case _:
            raise RunError(f"Its check {name}() returned {found!r:.80}: return None, or what is missing.")


async def _together(doing: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Do several things at once; return what they came to. What fails or waits does so when all have ended."""
    results = await asyncio.gather(*doing, return_exceptions=True)
    waits = [result for result in results if isinstance(result, Waiting)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Waiting):
            raise result
    if waits:
        raise Waiting.joined(waits)
    return list(results)
