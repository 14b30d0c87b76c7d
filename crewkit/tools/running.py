"""What becomes of a call that may be made: a kept answer, or a place, attempts under a timeout, and a result cut."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from crewkit.core.clock import SystemClock
from crewkit.core.guardrails import NONE, Guardrails, as_guardrails
from crewkit.core.label import PERSON, UNKNOWN, Label, shown
from crewkit.core.messages import ChatMessage, ToolCall, canonical
from crewkit.core.verdict import Ask, Verdict
from crewkit.journal.ask import Decision, Question, ask
from crewkit.journal.edit import put_in
from crewkit.journal.run import Run
from crewkit.journal.waiting import LostOutcome, UnknownOutcome
from crewkit.resilience.breaker import CircuitOpen
from crewkit.tools.arguments import convert_arguments
from crewkit.tools.call import Outcome, execute
from crewkit.tools.cut import cut
from crewkit.tools.paging import READ_RESULT, Pages
from crewkit.tools.services import Answer, Failing, Services
from crewkit.tools.tool import Tool, ToolContext

Data = dict[str, Any]


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
    question: Ask | None = None
    """What a person has to be asked first."""
    approval: str = ""
    """Id of the decision that allows it."""
    changed: bool = False
    """A person changed the arguments."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What running a tool came to."""

    outcome: Outcome
    label: Label
    note: str = ""
    """What the model should know of it."""
    keeps: str = ""
    """Under which key the answer is kept."""
    cached: Data = field(default_factory=dict[str, Any])
    """Where a kept answer is from: `path` of the call, `age` in seconds, `stale`."""


@dataclass(frozen=True)
class Running:
    """The half of the gateway behind the approval."""

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
    origins: Callable[[Tool, Data], Data] = lambda tool, arguments: {}
    """From a call to where the values of its control arguments are from, for whoever decides."""
    services: Services = field(default_factory=lambda: Services(SystemClock()))
    """What the calls of a run share."""
    guardrails: Guardrails = NONE
    """Those over the agent; a tool's own come after them."""
    spent: Callable[[Tool], str] = lambda tool: ""
    """Why a tool may be called no more in this run; empty where it may."""
    pages: Pages = field(default_factory=Pages)
    """The long results of the conversation."""

    def over(self, tool: Tool) -> Guardrails:
        """Return all guardrails of a tool's calls."""
        return self.guardrails + as_guardrails(tool.guardrails, tool.name)

    async def made(self, wanted: Wanted) -> Data:
        """Make a call once per run and return its result; where it may have been made already, ask a person."""
        while True:
            try:
                async with self._place(wanted):
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
        return self.answer(wanted.call, "unknown", text, wanted.path, wanted.mark, attempt, PERSON)

    def _place(self, wanted: Wanted) -> AbstractAsyncContextManager[None]:
        """Hold a place for an effect before its intent is recorded: waiting for one is no part of it."""
        if wanted.tool.repeatable or self.run.begun(wanted.path, task=self.task) is not None:
            return nullcontext()
        return self.services.place(wanted.tool)

    async def _step(self, wanted: Wanted) -> Data:
        tool, path = wanted.tool, wanted.path
        intent = {
            "tool": tool.name,
            "arguments": wanted.arguments,
            "effects": list(tool.effects),
            "idempotent": tool.idempotent,
            "key": self.run.key(path, task=self.task),
            "fingerprint": wanted.mark,
        }

        async def do(_attempt: int) -> Data:
            ran = await self._ran(wanted)
            if ran.outcome.outcome == "timeout" and not tool.repeatable:
                raise LostOutcome(ran.outcome.text)
            return self._result(wanted, ran)

        return await self.run.step(
            path,
            "tool",
            intent,
            do,
            task=self.task,
            agent=self.agent,
            repeatable=tool.repeatable,
            approval=wanted.approval,
        )

    async def _ran(self, wanted: Wanted) -> Ran:
        """Answer a call: by the crew itself, from what is kept, or by calling the tool."""
        tool = wanted.tool
        if tool is READ_RESULT:
            text, label, note = self.pages.read(wanted.arguments)
            return Ran(Outcome("ok", text, received=len(text)), label, note)
        if tool.name in self.inner:
            text, label = await self.inner[tool.name](wanted.arguments, wanted.path)
            return Ran(Outcome("ok", text, received=len(text)), label)
        label = tool.label | self.label(wanted.arguments)
        context = self.context(wanted.path, label)
        key = self.services.key(tool, wanted.arguments, context)
        fresh = self._kept(key, label, tool.cache_ttl)
        if fresh is not None:
            return fresh
        outcome = await self._attempts(wanted, context)
        label = label | context.memory.label
        if outcome.outcome == "ok":
            return Ran(outcome, label, keeps="" if wanted.changed else key)
        stale = self._kept(key, label, None) if tool.stale_on_failure else None
        return stale or Ran(outcome, label)

    def _kept(self, key: str, label: Label, ttl: float | None) -> Ran | None:
        """Return a kept answer, marked as stale where nothing says how old it may be."""
        held = self.services.kept(key, ttl)
        if held is None:
            return None
        kept, age = held
        stale = ttl is None
        note = f"[stale: calling it failed just now; this is its answer of {_ago(age)} ago]" if stale else ""
        outcome = Outcome("ok", kept.text, received=len(kept.text))
        cached = {"path": kept.path, "age": round(age, 3), "stale": stale}
        return Ran(outcome, label | kept.label, note, cached=cached)

    async def _attempts(self, wanted: Wanted, context: ToolContext) -> Outcome:
        """Call a tool as often as it says; whatever happens, there is an outcome."""
        tool, tries = wanted.tool, 1

        async def attempt() -> Outcome:
            async with self.services.place(tool) if tool.repeatable else nullcontext():
                outcome = await execute(tool, convert_arguments(wanted.arguments, tool), context)
            if outcome.may_pass:
                raise Failing((outcome.error or {}).get("type", ""), outcome, retry_after=outcome.retry_after)
            return outcome

        def told(number: int, seconds: float, error: BaseException) -> None:
            nonlocal tries
            tries = number
            data = {"attempt": number, "seconds": round(seconds, 3), "why": str(error)}
            self.run.record(
                "retry.scheduled", wanted.path, data, task=self.task, agent=self.agent, once=False
            )

        try:
            return await self.services.call(tool, attempt, told)
        except Failing as failing:
            outcome: Outcome = failing.outcome
            return replace(outcome, text=f"{outcome.text} (tried {tries} times)") if tries > 1 else outcome
        except CircuitOpen as no:
            again = " again" if tries > 1 else ""
            return Outcome("unavailable", f"'{tool.name}' was not called{again}: {no}.")

    async def _ask_again(self, wanted: Wanted, attempt: int) -> Decision:
        """Ask whether to run once more what may have happened."""
        tool = wanted.tool
        about = {"tool": tool.name, "definition": tool.definition, "arguments": wanted.arguments}
        text = f"'{tool.name}' was begun and nobody knows whether it happened. Run it again?"
        question = Question(wanted.path, "unknown", text, self.task, self.agent, about, attempt=attempt)
        return await ask(self.run, question)

    # The record

    def _result(self, wanted: Wanted, ran: Ran) -> Data:
        """Cut a result to its allowance, and return what is recorded of it."""
        tool, outcome = wanted.tool, ran.outcome
        whole = self.run.redactor.text(outcome.text)
        selected = cut(whole, tool.max_tokens)
        if ran.keeps:
            self.services.keep(ran.keeps, Answer(wanted.path, whole, ran.label))
        details: Data = {"received": outcome.received, "selected": len(selected.text)}
        if selected.left_out:
            details |= {"full": whole, "pages": selected.pages, "allowance": tool.max_tokens}
        if tool.undo is not None and outcome.outcome == "ok":
            details["output"] = whole  # the message may say more than the result
        for name, value in (("error", outcome.error), ("keeps", ran.keeps), ("cached", ran.cached)):
            details |= {name: value} if value else {}
        text, label = selected.text, ran.label
        notes = [ran.note, self._left_out(wanted.call, selected.left_out, selected.page, selected.pages)]
        if wanted.changed:
            notes = [f"[A person changed the arguments to {canonical(wanted.arguments)}]", *notes]
            text, label = self._with_edits(wanted, shown(text, label)), PERSON
        return {
            "tool": tool.name,
            "outcome": outcome.outcome,
            "message": self._say(wanted.call, text, wanted.path, label, "\n".join(filter(None, notes))),
            "fingerprint": wanted.mark,
            "label": ran.label.to_data(),
            "seconds": round(outcome.seconds, 4),
            **details,
        }

    def _with_edits(self, wanted: Wanted, text: str) -> str:
        """Put what a person changed in a call before its result: that alone may be taken at its word."""
        before = self.run.redactor.data(json.loads(wanted.call.arguments or "{}"))
        theirs, _ = put_in(wanted.arguments, before)
        return f"Theirs is {json.dumps(theirs, ensure_ascii=False)}. The result:\n{text}"

    def _left_out(self, call: ToolCall, left_out: str, page: int, pages: int) -> str:
        if not left_out:
            return ""
        if self.tools.get(READ_RESULT.name, READ_RESULT) is not READ_RESULT:  # one of the user's own
            return f"[{left_out}]"
        hint = f"{READ_RESULT.name}(call={json.dumps(call.id)}, page={page})"
        return f"[{left_out}; {hint} shows page {page} of {pages}]"

    def answer(
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

    def _say(self, call: ToolCall, text: str, path: str, label: Label | None, note: str = "") -> str:
        message = ChatMessage("tool", text, tool_call_id=call.id, label=label, note=note)
        return self.run.say(message, path, task=self.task, agent=self.agent)


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
