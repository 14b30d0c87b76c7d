"""The way from a model's wish to a tool's result. Nothing else calls a tool for an agent."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crewkit.core.label import PERSON, UNKNOWN, Label, shown
from crewkit.core.messages import ChatMessage, ToolCall, canonical, fingerprint
from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
from crewkit.journal.ask import Decision, Question, ask
from crewkit.journal.run import LostOutcome, Run, UnknownOutcome
from crewkit.tools.arguments import InvalidArguments, convert_arguments, parse_arguments
from crewkit.tools.call import Outcome, execute, unknown_tool
from crewkit.tools.tool import Tool, ToolContext

Data = dict[str, Any]


class Refused(Exception):
    """A stage of the gateway refuses a call: nothing is called, and the model is told why."""

    def __init__(self, outcome: str, by: str, why: str, label: Label | None = None) -> None:
        super().__init__(why)
        self.outcome = outcome
        """As `tool.finished` says it: unknown_tool, invalid, denied."""
        self.by = by
        """The stage: known, arguments, scope, approval, limit."""
        self.why = why
        self.label = label
        """Of `why`; `None` where it may repeat the model's own words."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call on its way through the gateway."""

    call: ToolCall
    """As the model wrote it."""
    path: str
    """The step's path, for example `draft/2/tool:0`."""
    reason: str
    """What the agent said it does this for."""
    tool: Tool
    arguments: Data
    """As they will be used: a person may have changed them."""
    mark: str
    """Fingerprint of the call as the model made it."""
    question: str = ""
    """What a person has to be asked first; empty: nothing."""
    approval: str = ""
    """Id of the decision that allows it."""
    changed: bool = False
    """A person changed the arguments."""


@dataclass(frozen=True)
class Gateway:
    """Calls tools for one agent in one task.

    A call passes stages, each of which may refuse it: known, valid, in scope, approved. What passes is run and
    recorded. A call that was begun or refused before is not judged again: the journal has the answer.
    """

    run: Run
    task: str
    """The task's path."""
    agent: str
    tools: dict[str, Tool]
    """What the agent is offered, by exact name."""
    check: Callable[[Wanted], Verdict]
    """The scope, and whatever else has a say."""
    context: Callable[[str, Label], ToolContext]
    """From the path of a call and the label of what goes into it to what the tool may know."""
    inner: Mapping[str, Callable[[Data, str], Awaitable[tuple[str, Label]]]] = field(
        default_factory=dict[str, Any]
    )
    """Tools that the crew itself answers, with a label: what they do consists of steps of its own, under the call's
    path."""
    label: Callable[[Data], Label] = lambda arguments: UNKNOWN
    """From arguments to where they are from, and whether they are trusted."""

    async def call(self, call: ToolCall, path: str, reason: str) -> ChatMessage:
        """Return what a call came to, as the model reads it.

        Args:
            call: As the model wrote it.
            path: The step's path, for example `draft/2/tool:0`.
            reason: What the agent said it does this for; whoever approves reads it.

        Raises:
            Waiting: A person has to decide first.
        """
        held = self.run.result(path, task=self.task)
        if held is not None and not held.get("fingerprint"):
            return self._read(call, held)  # it was refused
        try:
            wanted = self._valid(call, self._known(call), path, reason)
            wanted = self._begun(wanted) or await self._cleared(wanted)
        except Refused as no:
            return self.refuse(call, path, no)
        return self._read(call, await self._run(wanted))

    def refuse(self, call: ToolCall, path: str, no: Refused) -> ChatMessage:
        """Record that nothing was called, and tell the model why."""
        why = self.run.redactor.text(no.why)
        self._checked(path, call.name, "deny", no.by, why, call.arguments)
        return self._read(call, self._record(call, no.outcome, why, path, "", label=no.label))

    # The stages

    def _known(self, call: ToolCall) -> Tool:
        tool = self.tools.get(call.name)
        if tool is None:
            raise Refused("unknown_tool", "known", unknown_tool(call.name, list(self.tools)))
        return tool

    def _valid(self, call: ToolCall, tool: Tool, path: str, reason: str) -> Wanted:
        arguments = self._arguments(tool, call.arguments)
        return Wanted(call, path, reason, tool, arguments, fingerprint(tool.name, canonical(arguments)))

    def _arguments(self, tool: Tool, raw: str) -> Data:
        try:
            arguments = self.run.redactor.data(parse_arguments(raw, tool))
            # Without the secrets in them they may no longer be what the tool takes.
            return parse_arguments(json.dumps(arguments), tool)
        except InvalidArguments as error:
            raise Refused("invalid", "arguments", str(error)) from error

    def _begun(self, wanted: Wanted) -> Wanted | None:
        """Return a call as it was begun in this process or an earlier one; `None` where it was not."""
        begun = self.run.begun(wanted.path, task=self.task)
        if begun is None:
            return None
        return replace(wanted, arguments=begun["arguments"], approval=begun.get("approval", ""))

    async def _cleared(self, wanted: Wanted) -> Wanted:
        """Take a call through all that may refuse it, in this order."""
        return await self._approved(self._in_scope(wanted))

    def _in_scope(self, wanted: Wanted) -> Wanted:
        match self._verdict(wanted):
            case Deny(why) | Revise(why):
                raise Refused("denied", "scope", why)
            case Ask(question):
                return replace(wanted, question=question)
            case Allow():
                return wanted

    async def _approved(self, wanted: Wanted) -> Wanted:
        """Have a person decide where one must; take edited arguments through the same stages."""
        if not wanted.question:
            self._checked(wanted.path, wanted.tool.name, "allow", "scope", "")
            return wanted
        self._checked(wanted.path, wanted.tool.name, "ask", "scope", wanted.question, wanted.arguments)
        attempt, objection = 1, ""
        while True:
            decision = await self._ask(wanted, attempt, objection)
            if not decision.approved:
                said = f": {decision.note}" if decision.note else "."
                raise Refused("denied", "approval", f"A person denied this call{said}", PERSON)
            approved = replace(wanted, approval=decision.id)
            if decision.arguments is None:
                return approved
            try:
                return self._edited(approved, decision.arguments)
            except Refused as no:
                attempt, objection = attempt + 1, f"The edited arguments were not accepted: {no.why}"

    def _edited(self, wanted: Wanted, arguments: Data) -> Wanted:
        """Return a call with the arguments that a person put in; they have to pass what came before."""
        arguments = self._arguments(wanted.tool, json.dumps(arguments))
        return self._in_scope(replace(wanted, arguments=arguments, changed=True))

    async def _ask(self, wanted: Wanted, attempt: int, objection: str) -> Decision:
        tool = wanted.tool
        about = {"tool": tool.name, "definition": tool.definition, "arguments": wanted.arguments}
        told = {"reason": wanted.reason, "objection": objection}
        question = Question(
            wanted.path,
            "tool",
            wanted.question,
            self.task,
            self.agent,
            about,
            {name: text for name, text in told.items() if text},
            attempt,
        )
        return await ask(self.run, question)

    def _verdict(self, wanted: Wanted) -> Verdict:
        """Return what the check says; one that breaks denies."""
        try:
            verdict = self.check(wanted)
        except Exception as error:  # noqa: BLE001  a check may be code that we do not own
            return Deny(f"The check failed: {type(error).__name__}: {error}")
        if not isinstance(verdict, Allow | Ask | Deny | Revise):  # pyright: ignore[reportUnnecessaryIsInstance]
            return Deny(f"The check failed: it returned {verdict!r:.100}, which is no verdict.")
        return verdict

    # What passed them

    async def _run(self, wanted: Wanted) -> Data:
        """Run a tool once per run; where it may have happened already, ask a person."""
        while True:
            try:
                return await self._step(wanted)
            except UnknownOutcome as unknown:
                attempt = unknown.attempt + 1
            decision = await self._ask_again(wanted, attempt)
            if not decision.approved:
                break
            self.run.settle(wanted.path, task=self.task)
            wanted = replace(wanted, approval=decision.id)
        said = f" A person says: {decision.note}" if decision.note else ""
        text = f"'{wanted.tool.name}' was begun and it is not known whether it happened. It must not be repeated.{said}"
        return self._record(wanted.call, "unknown", text, wanted.path, wanted.mark, attempt, PERSON)

    async def _step(self, wanted: Wanted) -> Data:
        tool, path = wanted.tool, wanted.path
        repeatable = tool.reads_only or tool.idempotent
        intent = {
            "tool": tool.name,
            "arguments": wanted.arguments,
            "effects": list(tool.effects),
            "idempotent": tool.idempotent,
            "key": self.run.key(path, task=self.task),
            "fingerprint": wanted.mark,
        }

        async def do(_attempt: int) -> Data:
            if tool.name in self.inner:
                text, label = await self.inner[tool.name](wanted.arguments, path)
                outcome = Outcome("ok", text, received=len(text), selected=len(text))
                return self._result(wanted, outcome, label)
            label = tool.label | self.label(wanted.arguments)
            context = self.context(path, label)
            outcome = await execute(tool, convert_arguments(wanted.arguments, tool), context)
            label = label | context.memory.label
            if outcome.outcome == "timeout" and not repeatable:
                raise LostOutcome(outcome.text)
            return self._result(wanted, outcome, label)

        return await self.run.step(
            path,
            "tool",
            intent,
            do,
            task=self.task,
            agent=self.agent,
            repeatable=repeatable,
            approval=wanted.approval,
        )

    async def _ask_again(self, wanted: Wanted, attempt: int) -> Decision:
        """Ask whether to run once more what may have happened."""
        tool = wanted.tool
        about = {"tool": tool.name, "definition": tool.definition, "arguments": wanted.arguments}
        text = f"'{tool.name}' was begun and nobody knows whether it happened. Run it again?"
        question = Question(wanted.path, "unknown", text, self.task, self.agent, about, attempt=attempt)
        return await ask(self.run, question)

    def _result(self, wanted: Wanted, outcome: Outcome, label: Label) -> Data:
        details: Data = {
            "received": outcome.received,
            "selected": outcome.selected,
            "seconds": round(outcome.seconds, 4),
        }
        if outcome.full is not None:
            details["full"] = outcome.full
        if outcome.error:
            details["error"] = outcome.error
        text = self.run.redactor.text(outcome.text)
        if wanted.changed:
            text = f"A person changed the arguments to {canonical(wanted.arguments)}. The result:\n{shown(text, label)}"
        return {
            "tool": wanted.tool.name,
            "outcome": outcome.outcome,
            "message": self._say(wanted.call, text, wanted.path, PERSON if wanted.changed else label),
            "fingerprint": wanted.mark,
            "label": label.to_data(),
            **details,
        }

    # The record

    def _checked(self, path: str, tool: str, verdict: str, by: str, why: str, arguments: Any = None) -> None:
        data = {"tool": tool, "verdict": verdict, "by": by}
        if verdict != "allow":
            data |= {"why": why, "arguments": arguments}
        self.run.record("tool.checked", path, data, task=self.task, agent=self.agent)

    def _record(
        self,
        call: ToolCall,
        outcome: str,
        text: str,
        path: str,
        mark: str,
        attempt: int | None = None,
        label: Label | None = None,
    ) -> Data:
        """Record what a call came to that was not made, or not made again."""
        data = {
            "tool": call.name,
            "outcome": outcome,
            "message": self._say(call, text, path, label),
            "fingerprint": mark,
            "selected": len(text),
        }
        self.run.answer(path, "tool", data, task=self.task, agent=self.agent, attempt=attempt)
        return data

    def _say(self, call: ToolCall, text: str, path: str, label: Label | None) -> str:
        message = ChatMessage("tool", text, tool_call_id=call.id, label=label)
        return self.run.say(message, path, task=self.task, agent=self.agent)

    def _read(self, call: ToolCall, finished: Data) -> ChatMessage:
        return replace(self.run.message(finished["message"], task=self.task), tool_call_id=call.id)
