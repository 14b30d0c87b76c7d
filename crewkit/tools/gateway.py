"""The way from a model's wish to a tool's result. Nothing else calls a tool for an agent."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from crewkit.core.label import PERSON, Label
from crewkit.core.messages import ChatMessage, ToolCall, canonical, fingerprint
from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
from crewkit.journal.ask import Decision, Question, ask, seconds
from crewkit.tools.arguments import InvalidArguments, convert_arguments, parse_arguments
from crewkit.tools.call import invoke, unknown_tool
from crewkit.tools.guard import guard
from crewkit.tools.paging import READ_RESULT
from crewkit.tools.result import to_text
from crewkit.tools.running import Running, Wanted
from crewkit.tools.tool import Tool, ToolContext

Data = dict[str, Any]

PREVIEW_SECONDS = 10.0
PREVIEW_CHARS = 4_000

_FAILED = ("error", "timeout", "unavailable")


async def _at_once() -> bool:
    """Say that a call need not wait for others, and that none were before it."""
    return False


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


class Gateway(Running):
    """Calls tools for one agent in one task.

    A call passes stages, each of which may refuse it: known, valid, in scope, past the guardrails, approved. What
    passes is run and recorded. A call that was begun or refused before is not judged again: the journal has the answer.
    """

    async def call(
        self, call: ToolCall, path: str, reason: str, turn: Callable[[], Awaitable[bool]] = _at_once
    ) -> ChatMessage:
        """Return what a call came to, as the model reads it.

        Args:
            call: As the model wrote it.
            path: The step's path, for example `draft/2/tool:0`.
            reason: What the agent said it does this for; whoever approves reads it.
            turn: Returns once it is this call's turn, and says whether there were others before it.

        Raises:
            Waiting: A person has to decide first, on this call or on one before it.
        """
        held = self.run.result(path, task=self.task)
        if held is not None and not held.get("fingerprint"):
            return self._read(call, held)  # it was refused
        try:
            wanted = self._valid(call, self._known(call), path, reason)
            wanted = self._begun(wanted) or await self._cleared(wanted, turn)
        except Refused as no:
            return self.refuse(call, path, no)
        finished = await self.made(wanted)
        if wanted.tool.fallback is not None and finished["outcome"] in _FAILED:
            return await self._instead(wanted, wanted.tool.fallback, finished)
        if "pages" in finished:
            label = Label.from_data(finished["label"])
            self.pages.add(call.id, finished["full"], finished["allowance"], label)
            self.tools.setdefault(READ_RESULT.name, READ_RESULT)
        return await self._shown(wanted, finished)

    def result(self, path: str) -> Data:
        """Return what a call came to in the end, as `tool.finished` says it: where it failed, its fallback."""
        finished = self.run.result(path, task=self.task) or {}
        if self.run.result(f"{path}/fallback", task=self.task) is not None:
            return self.result(f"{path}/fallback")
        return finished

    def refuse(self, call: ToolCall, path: str, no: Refused) -> ChatMessage:
        """Record that nothing was called, and tell the model why."""
        self.run.counted.drop(path)
        why = self.run.redactor.text(no.why)
        self._checked(path, call.name, "deny", no.by, why, call.arguments)
        return self._read(call, self.answer(call, no.outcome, why, path, "", label=no.label))

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
        changed = begun["arguments"] != wanted.arguments
        return replace(
            wanted, arguments=begun["arguments"], approval=begun.get("approval", ""), changed=changed
        )

    async def _cleared(self, wanted: Wanted, turn: Callable[[], Awaitable[bool]]) -> Wanted:
        """Take a call through all that may refuse it, in this order."""
        wanted = await self._approved(await self._past_guardrails(self._in_scope(wanted)))
        if await turn():
            self._in_scope(
                wanted
            )  # what came before it may have changed what the check looked at: links, files
        if not wanted.approval:
            self._checked(wanted.path, wanted.tool.name, "allow", "scope", "")
        return wanted

    def _in_scope(self, wanted: Wanted) -> Wanted:
        if wanted.tool is READ_RESULT:
            return wanted
        match self._verdict(wanted):
            case Deny(why) | Revise(why):
                raise Refused("denied", "scope", why)
            case Ask() as question:
                return replace(wanted, question=question)
            case Allow():
                return wanted

    async def _past_guardrails(self, wanted: Wanted, edits: int = 0) -> Wanted:
        """Put the arguments before their guardrails; each time that a person edits them anew."""
        guardrails = self.over(wanted.tool).arguments
        if not guardrails:
            return wanted
        path = f"{wanted.path}/edit:{edits}" if edits else wanted.path
        question = wanted.question

        async def asked(more: Ask, _path: str) -> str:
            nonlocal question
            question = both(question, more)  # with all else that the person is asked of this call
            return ""

        seen = await guard(
            self.run, guardrails, "arguments", wanted.arguments, self._guarding(wanted, path), asked
        )
        if seen.objection:
            why = f"'{wanted.tool.name}' was not called. {seen.by}: {seen.objection}"
            raise Refused("denied", "guardrail", why)
        return replace(wanted, question=question)

    def _guarding(self, wanted: Wanted, path: str) -> ToolContext:
        return replace(self.context(path, self.label(wanted.arguments)), tool=wanted.tool.name)

    async def _approved(self, wanted: Wanted) -> Wanted:
        """Have a person decide where one must; take edited arguments through the same stages."""
        if wanted.question is None:
            return wanted
        why = wanted.question.question
        self._checked(wanted.path, wanted.tool.name, "ask", "scope", why, wanted.arguments)
        attempt, objection = 1, ""
        while True:
            decision = await self._ask(wanted, wanted.question, attempt, objection)
            if not decision.approved:
                said = f": {decision.note}" if decision.note else "."
                raise Refused("denied", "approval", f"A person denied this call{said}", PERSON)
            approved = replace(wanted, approval=decision.id)
            if decision.arguments is None:
                return approved
            try:
                edited = await self._edited(approved, decision.arguments, attempt)
            except Refused as no:
                attempt, objection = attempt + 1, f"The edited arguments were not accepted: {no.why}"
                self._in_scope(wanted)  # that, again, is what counts
                continue
            # What it counts for is another now, also after a restart.
            self._checked(wanted.path, wanted.tool.name, "allow", "approval", "", key=f"edited:{decision.id}")
            return edited

    async def _edited(self, wanted: Wanted, arguments: Data, attempt: int) -> Wanted:
        """Return a call with the arguments that a person put in; they have to pass what came before."""
        arguments = self._arguments(wanted.tool, json.dumps(arguments))
        changed = replace(wanted, arguments=arguments, changed=True)
        return await self._past_guardrails(self._in_scope(changed), attempt)

    async def _ask(self, wanted: Wanted, asked: Ask, attempt: int, objection: str) -> Decision:
        tool = wanted.tool
        about = {"tool": tool.name, "definition": tool.definition, "arguments": wanted.arguments}
        told = {"reason": wanted.reason, "objection": objection}
        question = Question(
            wanted.path,
            "tool",
            asked.question,
            self.task,
            self.agent,
            about,
            {name: text for name, text in told.items() if text},
            attempt,
            seconds(asked),
        )

        async def tell() -> Data:
            more: Data = {"parameters": tool.parameters}
            if origins := self.origins(tool, wanted.arguments):
                more["origins"] = origins
            if tool.preview is not None:
                more["preview"] = await previewed(tool, tool.preview, wanted.arguments)
            return more

        return await ask(self.run, question, tell)

    def _verdict(self, wanted: Wanted) -> Verdict:
        """Return what the check says; one that breaks denies."""
        try:
            verdict = self.check(wanted)
        except Exception as error:  # noqa: BLE001  a check may be code that we do not own
            return Deny(f"The check failed: {type(error).__name__}: {error}")
        if not isinstance(verdict, Allow | Ask | Deny | Revise):  # pyright: ignore[reportUnnecessaryIsInstance]
            return Deny(f"The check failed: it returned {verdict!r:.100}, which is no verdict.")
        return verdict

    # What came of it

    async def _shown(self, wanted: Wanted, finished: Data) -> ChatMessage:
        """Return a result as the model reads it, once its guardrails saw the whole of it."""
        message = self._read(wanted.call, finished)
        guardrails = self.over(wanted.tool).results
        if not guardrails or finished["outcome"] not in ("ok", *_FAILED):
            return message
        whole = finished.get("full") or message.content
        about = {"tool": wanted.tool.name, "output": whole}

        async def asked(wish: Ask, path: str) -> str:
            question = Question(
                path, "output", wish.question, self.task, self.agent, about, expires=seconds(wish)
            )
            decision = await ask(self.run, question)
            return "" if decision.approved else f"A person said no. {decision.note}"

        context = self._guarding(wanted, wanted.path)
        seen = await guard(self.run, guardrails, "results", whole, context, asked)
        if not seen.objection:
            note = f"{message.note}\n[{seen.note}]".strip() if seen.note else message.note
            return replace(message, note=note)
        why = self.run.redactor.text(seen.objection)
        said = f"'{wanted.tool.name}' was called, and its result is kept from you. {seen.by}: {why}"
        return ChatMessage("tool", said, tool_call_id=wanted.call.id)

    async def _instead(self, wanted: Wanted, fallback: Tool, failed: Data) -> ChatMessage:
        """Make the fallback's call in the place of one that failed: a call of its own, from the first stage on."""
        call = ToolCall(wanted.call.id, fallback.name, json.dumps(wanted.arguments, ensure_ascii=False))
        message = await self.call(call, f"{wanted.path}/fallback", wanted.reason)
        note = f"['{wanted.tool.name}' failed ({_how(failed)}); this is of its fallback '{fallback.name}']"
        return replace(message, note=f"{note}\n{message.note}".strip())

    # The record

    def _checked(
        self,
        path: str,
        tool: str,
        verdict: str,
        by: str,
        why: str,
        arguments: Any = None,
        key: str | None = None,
    ) -> None:
        data: Data = {"tool": tool, "verdict": verdict, "by": by}
        if verdict != "allow":
            data |= {"why": why, "arguments": arguments}
        if counted := self.run.counted.at(path):
            data["counted"] = counted
        self.run.record("tool.checked", path, data, task=self.task, agent=self.agent, key=key)

    def _read(self, call: ToolCall, finished: Data) -> ChatMessage:
        return replace(self.run.message(finished["message"], task=self.task), tool_call_id=call.id)


async def previewed(tool: Tool, preview: Callable[..., Any], arguments: Data) -> str:
    """Return what a call would do, as its tool tells it; one that cannot tell says why, and the question is put."""
    try:
        said = await invoke(preview, convert_arguments(arguments, tool), PREVIEW_SECONDS)
        text = to_text(said)
        return text if len(text) <= PREVIEW_CHARS else f"{text[: PREVIEW_CHARS - 1]}…"
    except Exception as error:  # noqa: BLE001  the preview's own code
        return f"(no preview: {type(error).__name__}: {error!s:.200})"


def both(first: Ask | None, second: Ask) -> Ask:
    """Return the question that asks both, within the shorter time."""
    if first is None:
        return second
    times = [time for time in (first.expires, second.expires) if time is not None]
    return Ask(f"{first.question} {second.question}", min(times, default=None))


def _how(failed: Data) -> str:
    return str(failed.get("error", {}).get("type") or failed["outcome"])
