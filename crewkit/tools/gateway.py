"""The way from a model's wish to a tool's result. Nothing else calls a tool for an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crewkit.core.messages import ChatMessage, ToolCall, canonical, fingerprint
from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
from crewkit.journal.ask import ask
from crewkit.journal.run import LostOutcome, Run, UnknownOutcome
from crewkit.tools.arguments import InvalidArguments, convert_arguments, parse_arguments
from crewkit.tools.call import Outcome, execute, unknown_tool
from crewkit.tools.tool import Tool, ToolContext

Data = dict[str, Any]


@dataclass(frozen=True)
class Gateway:
    """Calls tools for one agent in one task: known, valid, allowed, approved, then run and recorded, in this order."""

    run: Run
    task: str
    """The task's path."""
    agent: str
    tools: Mapping[str, Tool]
    """What the agent was offered, by exact name."""
    check: Callable[[Tool, Data], Verdict]
    """The scope, and whatever else has a say."""
    context: Callable[[str], ToolContext]
    """From the path of a call to what the tool may know."""
    inner: Mapping[str, Callable[[Data, str], Awaitable[str]]] = field(default_factory=dict[str, Any])
    """Tools that the crew itself answers: what they do consists of steps of its own, under the call's path."""

    async def call(self, call: ToolCall, path: str, reason: str) -> ChatMessage:
        """Return what a call came to, as the model reads it.

        Args:
            call: As the model wrote it.
            path: The step's path, for example `draft/2/tool:0`.
            reason: What the agent said it does this for; whoever approves reads it.

        Raises:
            Waiting: A person has to decide first.
        """
        tool = self.tools.get(call.name)
        if tool is None:
            return self.refuse(call, path, "unknown_tool", "known", unknown_tool(call.name, list(self.tools)))
        try:
            arguments = self.run.redactor.data(parse_arguments(call.arguments, tool))
            convert_arguments(
                arguments, tool
            )  # a type's own validator may refuse what the schema lets through
        except InvalidArguments as error:
            return self.refuse(call, path, "invalid", "arguments", str(error))
        match self._verdict(tool, arguments):
            case Deny(why) | Revise(why):
                return self.refuse(call, path, "denied", "scope", why)
            case Ask(question):
                self._checked(path, tool.name, "ask", "scope", question, arguments)
                decision = ask(
                    self.run,
                    path,
                    "tool",
                    question,
                    task=self.task,
                    agent=self.agent,
                    tool=tool.name,
                    arguments=arguments,
                    reason=reason,
                )
                if not decision.approved:
                    said = f": {decision.note}" if decision.note else "."
                    return self.refuse(call, path, "denied", "approval", f"A person denied this call{said}")
            case Allow():
                self._checked(path, tool.name, "allow", "scope", "")
        finished = await self._run(call, tool, arguments, path)
        text = self.run.message(finished["message"], task=self.task).content
        return ChatMessage("tool", text, tool_call_id=call.id)

    def _verdict(self, tool: Tool, arguments: Data) -> Verdict:
        """Return what the check says; one that breaks denies."""
        try:
            verdict = self.check(tool, arguments)
        except Exception as error:  # noqa: BLE001  a check may be code that we do not own
            return Deny(f"The check failed: {type(error).__name__}: {error}")
        if not isinstance(verdict, Allow | Ask | Deny | Revise):  # pyright: ignore[reportUnnecessaryIsInstance]
            return Deny(f"The check failed: it returned {verdict!r:.100}, which is no verdict.")
        return verdict

    async def _run(self, call: ToolCall, tool: Tool, arguments: Data, path: str) -> Data:
        """Run a tool once per run; where it may have happened already, ask a person."""
        repeatable = tool.reads_only or tool.idempotent
        mark = fingerprint(tool.name, canonical(arguments))
        intent = {
            "tool": tool.name,
            "arguments": arguments,
            "effects": list(tool.effects),
            "idempotent": tool.idempotent,
            "key": fingerprint(self.run.id, path),
            "fingerprint": mark,
        }

        async def do(_attempt: int) -> Data:
            if tool.name in self.inner:
                text = await self.inner[tool.name](arguments, path)
                return self._result(
                    call, Outcome("ok", text, received=len(text), selected=len(text)), path, mark
                )
            outcome = await execute(tool, convert_arguments(arguments, tool), self.context(path))
            if outcome.outcome == "timeout" and not repeatable:
                raise LostOutcome(outcome.text)
            return self._result(call, outcome, path, mark)

        try:
            return await self.run.step(
                path, "tool", intent, do, task=self.task, agent=self.agent, repeatable=repeatable
            )
        except UnknownOutcome as unknown:
            next_attempt = unknown.attempt + 1
            decision = ask(
                self.run,
                path,
                "unknown",
                f"'{tool.name}' was begun and nobody knows whether it happened. Run it again?",
                task=self.task,
                agent=self.agent,
                attempt=next_attempt,
                tool=tool.name,
                arguments=arguments,
            )
        if decision.approved:
            self.run.settle(path, task=self.task)
            return await self._run(call, tool, arguments, path)
        said = f" A person says: {decision.note}" if decision.note else ""
        text = (
            f"'{tool.name}' was begun and it is not known whether it happened. It must not be repeated.{said}"
        )
        return self._record(call, "unknown", text, path, mark, attempt=next_attempt)

    def _result(self, call: ToolCall, outcome: Outcome, path: str, mark: str) -> Data:
        details: Data = {
            "received": outcome.received,
            "selected": outcome.selected,
            "seconds": round(outcome.seconds, 4),
        }
        if outcome.full is not None:
            details["full"] = outcome.full
        if outcome.error:
            details["error"] = outcome.error
        message = self._say(call, self.run.redactor.text(outcome.text), path)
        return {
            "tool": call.name,
            "outcome": outcome.outcome,
            "message": message,
            "fingerprint": mark,
            **details,
        }

    def _checked(self, path: str, tool: str, verdict: str, by: str, why: str, arguments: Any = None) -> None:
        data = {"tool": tool, "verdict": verdict, "by": by}
        if verdict != "allow":
            data |= {"why": why, "arguments": arguments}
        self.run.record("tool.checked", path, data, task=self.task, agent=self.agent)

    def refuse(self, call: ToolCall, path: str, outcome: str, by: str, why: str) -> ChatMessage:
        """Record that nothing was called, and tell the model why."""
        why = self.run.redactor.text(why)
        self._checked(path, call.name, "deny", by, why, call.arguments)
        self._record(call, outcome, why, path, "")
        return ChatMessage("tool", why, tool_call_id=call.id)

    def _record(
        self, call: ToolCall, outcome: str, text: str, path: str, mark: str, attempt: int = 1
    ) -> Data:
        data = {
            "tool": call.name,
            "outcome": outcome,
            "message": self._say(call, text, path),
            "fingerprint": mark,
            "selected": len(text),
        }
        self.run.record("tool.finished", path, data, task=self.task, agent=self.agent, attempt=attempt)
        return data

    def _say(self, call: ToolCall, text: str, path: str) -> str:
        message = ChatMessage("tool", text, tool_call_id=call.id)
        return self.run.say(message, path, task=self.task, agent=self.agent)
