"""The agent's loop: model, tools, model, … until an answer stands.

It works from an assignment and nothing else, and knows of no crew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crewkit.agents.acting import act
from crewkit.agents.asking import ask_model, metered
from crewkit.agents.desk import Desk, Rejected
from crewkit.agents.history import History
from crewkit.agents.judging import Judged, judge_answer
from crewkit.agents.lookback import look_back
from crewkit.agents.prompt import system_prompt
from crewkit.agents.repetition import Repetition
from crewkit.agents.summary import summary_request
from crewkit.core.label import CREW, PERSON, USER
from crewkit.core.messages import ChatMessage
from crewkit.errors import LimitExceeded, ModelError
from crewkit.models.base import Answer, Model, Request, ToolSpec
from crewkit.models.tokens import estimate_tokens
from crewkit.tools.tool import Tool

Data = dict[str, Any]

LAST_STEP = (
    "This is your last step and no tool can be called any more. Give your best final answer now, from what you have, "
    "and say in it what is missing."
)


async def work(desk: Desk, assignment: str, fill: Callable[[str], str] = str) -> Any:
    """Do what an assignment says and return the answer as JSON data.

    Args:
        desk: What there is to work with.
        assignment: The text of the assignment or question; in it, what is not trusted is fenced.
        fill: Fills the placeholders in the agent's own texts.

    Raises:
        LimitExceeded: A cap was reached before an answer stood.
        Rejected: The answer was sent back too often.
        RunError: It went round in a circle.
        Denied: A guardrail or a person refused it for good.
        Waiting: A person has to decide first.
    """
    agent = desk.agent
    history = desk.history
    history.add(
        ChatMessage("system", system_prompt(agent.role, fill(agent.goal), fill(agent.backstory)), label=CREW)
    )
    history.add(ChatMessage("user", assignment, label=CREW | USER))
    desk.record(
        "agent.started",
        f"{desk.path}/0",
        {"role": agent.role, "model": desk.model.name, "tools": list(desk.gateway.tools)},
    )
    turn, watch, sent_back = 0, Repetition(), _SentBack(desk)
    while True:
        turn += 1
        history.path = f"{desk.path}/{turn}"
        answer, last = await _think(desk, history, turn)
        if answer.tool_calls and not last:
            told = watch.add(await act(desk, history, answer))
            if told:
                history.add(ChatMessage("user", told))
            continue
        judged = await judge_answer(desk, answer)
        if not judged.problem:
            desk.record("agent.finished", f"{desk.path}/0", {"status": "completed", "turns": turn})
            return judged.output
        if last and desk.steps is not None and turn >= desk.steps:
            raise LimitExceeded(
                f"{agent.role} used its {desk.steps} steps without an answer that stands. {judged.problem}",
                limit="steps",
            )
        sent_back.count(answer, judged)
        for call in answer.tool_calls:
            history.add(ChatMessage("tool", "Not called.", tool_call_id=call.id))
        history.add(ChatMessage("user", judged.problem))


class _SentBack:
    """Counts how often an agent's answer was sent back, and why."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._times = 0
        self._idle = 0

    def count(self, answer: Answer, judged: Judged) -> None:
        """Count an answer that does not stand.

        Raises:
            Rejected: It was the last that may be sent back.
        """
        desk = self._desk
        self._times += 1
        self._idle += judged.idle
        if self._idle <= 1 and self._times <= desk.revisions:
            return
        if self._idle > 1:
            why = f"{desk.agent.role} claims to be done and did not do it, although it was told to. {judged.problem}"
        else:
            times = "once" if desk.revisions == 1 else f"{desk.revisions} times"
            why = (
                f"{desk.agent.role}'s answer was sent back {times} and is still wrong. "
                f"It was told: {judged.problem}"
            )
        raise Rejected(why, answer=answer.content, output=judged.output, label=desk.history.label)


async def _think(desk: Desk, history: History, turn: int) -> tuple[Answer, bool]:
    """Ask the model what to do next. Return its answer and whether this was its last step."""
    run, agent, path = desk.run, desk.agent, history.path
    begun = run.begun(f"{path}/model", task=desk.task)
    _read_inbox(desk, history, asked=begun is not None)
    last = bool(begun["last"]) if begun else desk.steps is not None and turn >= desk.steps
    if last:
        history.add(ChatMessage("user", LAST_STEP))
    await _fit(desk, history)
    offered, withheld = _offer(desk, begun, last=last)
    request = Request(
        history.window(),
        tuple(ToolSpec(t.name, t.description, t.parameters, tuple(t.effects)) for t in offered.values()),
        desk.output.schema,
        agent.max_tokens,
        agent.temperature,
        turn=history.answers,
    )
    fixed = {"last": last, **({"withheld": withheld} if withheld else {})}
    finished = await ask_model(desk, request, fixed)
    message = run.message(finished["message"], task=desk.task)
    history.add(message)
    answer = Answer(message.content, message.tool_calls, finish_reason=finished.get("finish_reason", "stop"))
    chosen = [{"id": c.id, "tool": c.name, "arguments": c.arguments} for c in answer.tool_calls]
    at_last = [{"tool": n, "by": "limit", "why": "last step"} for n in desk.gateway.tools if last]
    desk.record(
        "decision.made",
        path,
        {
            "offered": list(offered),
            "withheld": [*desk.withheld, *withheld, *at_last],
            "chosen": chosen,
            "text": answer.content[:2000],
            "temperature": agent.temperature,
            "budget": desk.meter.left(),
        },
    )
    return answer, last


def _offer(desk: Desk, begun: Data | None, *, last: bool) -> tuple[dict[str, Tool], list[Data]]:
    """Return the tools that are offered, and those that are not just now: settled once the model was asked."""
    if last:
        return {}, []
    tools = desk.gateway.tools
    withheld = (
        begun.get("withheld", []) if begun else [each for t in tools.values() if (each := _away(desk, t))]
    )
    away = {each["tool"] for each in withheld}
    return {name: tool for name, tool in tools.items() if name not in away}, withheld


def _away(desk: Desk, tool: Tool) -> Data | None:
    """Return why a tool is not offered just now, and by what; `None` where it is."""
    if spent := desk.gateway.spent(tool):
        return {"tool": tool.name, "by": "limit", "why": spent}
    if refusal := desk.gateway.services.refusal(tool):
        return {"tool": tool.name, "by": "breaker", "why": refusal}
    return None


async def _fit(desk: Desk, history: History) -> None:
    """Let a summary stand for the oldest messages where they no longer fit: a step, recorded like any other."""
    run, path = desk.run, f"{history.path}/summary"
    recorded = run.summary(path, task=desk.task)
    before = history.written
    if recorded is not None:
        count = recorded[1] - (before is not None)
    elif run.begun(f"{history.path}/model", task=desk.task):
        return  # everything fitted then
    else:
        count = await history.surplus(_taken(desk))
    if not count:
        return
    messages = history.oldest(count)
    summary = history.summary
    so_far = list(summary.lines)
    history.digest(messages)
    if recorded is not None:
        written = recorded[0]
        summary.read(written.content)
    else:
        if desk.summariser is not None:
            summary.lines = await _summarise(desk, desk.summariser, so_far, messages) or summary.lines
        written = summary.message()
        ids = [message.id() for message in ([before] if before else []) + messages]
        run.say(written, path, task=desk.task, agent=desk.agent.role, compressed_from=ids)
    history.compress(written, count)
    desk.gateway.tools.setdefault(look_back.name, look_back)


async def _summarise(
    desk: Desk, model: Model, so_far: list[str], messages: Sequence[ChatMessage]
) -> list[str]:
    """Have a model write the summary; nothing where it fails: then sentences stand for it."""
    request = summary_request(so_far, messages)
    try:
        finished = await metered(desk, model, request, f"{desk.history.path}/summary", {"summary": True})
    except ModelError:
        return []
    return desk.run.message(finished["message"], task=desk.task).content.splitlines()


def _taken(desk: Desk) -> int:
    """Return about how many tokens of what the model can be sent are not for the conversation."""
    written = desk.history.written
    tools = sum(estimate_tokens(t.description + str(t.parameters)) for t in desk.gateway.tools.values())
    return desk.agent.max_tokens + tools + (2 * estimate_tokens(written.content) if written else 0)


def _read_inbox(desk: Desk, history: History, *, asked: bool) -> None:
    """Put messages from outside into the conversation, each once; which ones is recorded before the request.

    `asked`: the request was made before; what came since waits for the next turn.
    """
    run, at = desk.run, f"{history.path}/inbox"
    read = run.result(at, task=desk.task)
    if read is None:
        new = [each for each in run.outside.messages(desk.agent.role) if each.id not in history.heard]
        if asked or not new:
            return
        redact = run.redactor.text
        told = [{"id": e.id, "by": e.by, "text": redact(str(e.data.get("text")))} for e in new]
        read = {"messages": told}
        run.keep("inbox.read", at, read, task=desk.task, agent=desk.agent.role)
    for message in read["messages"]:
        history.heard.add(message["id"])
        who = message["by"] or "someone"
        history.add(
            ChatMessage(
                "user", f"A message from {who}, who watches over this run:\n{message['text']}", label=PERSON
            )
        )
