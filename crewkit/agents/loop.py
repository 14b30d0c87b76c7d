"""The agent's loop: model, tools, model, … until an answer stands.

It works from an assignment and nothing else, and knows of no crew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.agents.conversation import Conversation
from crewkit.agents.lookback import look_back
from crewkit.agents.output import Output, WrongAnswer
from crewkit.agents.prompt import system_prompt
from crewkit.agents.summary import summary_request
from crewkit.core.label import CREW, PERSON, USER
from crewkit.core.limits import Meter
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.core.verdict import Allow, Ask, Deny, Revise, Verdict
from crewkit.errors import CrewkitError, Denied, LimitExceeded, ModelError, RunError
from crewkit.journal.ask import Decision, Question, ask
from crewkit.journal.run import Run, Waiting
from crewkit.models.base import Answer, Model, Request, ToolSpec, Usage, Watch, request_fingerprint
from crewkit.models.route import Routed
from crewkit.models.tokens import estimate_tokens
from crewkit.tools.call import invoke
from crewkit.tools.gateway import Gateway, Refused
from crewkit.tools.tool import Tool

Data = dict[str, Any]

MOST_CALLS = 64
"""Tool calls in one turn; a model that wants more is told to ask again for the rest."""

LAST_STEP = (
    "This is your last step and no tool can be called any more. Give your best final answer now, from what you have, "
    "and say in it what is missing."
)


@dataclass(frozen=True)
class Desk:
    """What an agent has at hand for one piece of work."""

    run: Run
    path: str
    """The work's path: the task's, or that of the call that asks."""
    task: str
    """The task's path."""
    agent: Agent
    model: Model
    meter: Meter
    gateway: Gateway
    conversation: Conversation
    withheld: Sequence[Data] = ()
    """Tools that the agent is not offered: {tool, by, why}."""
    steps: int | None = None
    """Model turns at most."""
    output: Output = field(default_factory=Output)
    guardrails: Sequence[Callable[[Any], Any]] = ()
    review: str = ""
    """The question to the person who approves the output; empty: nobody does."""
    revisions: int = 3
    summariser: Model | None = None
    """Writes the summaries of a long conversation; `None`: they are taken from it without a model."""

    def record(self, type: str, path: str, data: Data) -> None:
        """Record an event of this agent's work."""
        self.run.record(type, path, data, task=self.task, agent=self.agent.role)


async def work(desk: Desk, assignment: str, fill: Callable[[str], str] = str) -> Any:
    """Do what an assignment says and return the answer as JSON data.

    Args:
        desk: What there is to work with.
        assignment: The text of the assignment or question; in it, what is not trusted is fenced.
        fill: Fills the placeholders in the agent's own texts.

    Raises:
        LimitExceeded: A cap was reached before an answer stood.
        RunError: The answer was sent back too often.
        Denied: A guardrail or a person refused it for good.
        Waiting: A person has to decide first.
    """
    agent = desk.agent
    conversation = desk.conversation
    conversation.add(
        ChatMessage("system", system_prompt(agent.role, fill(agent.goal), fill(agent.backstory)), label=CREW)
    )
    conversation.add(ChatMessage("user", assignment, label=CREW | USER))
    desk.record(
        "agent.started",
        f"{desk.path}/0",
        {"role": agent.role, "model": desk.model.name, "tools": list(desk.gateway.tools)},
    )
    turn = sent_back = 0
    while True:
        turn += 1
        conversation.path = f"{desk.path}/{turn}"
        answer, last = await _think(desk, conversation, turn)
        if answer.tool_calls and not last:
            await _act(desk, conversation, answer)
            continue
        problem, value = await _judge(desk, conversation.path, answer)
        if problem is None:
            desk.record("agent.finished", f"{desk.path}/0", {"status": "completed", "turns": turn})
            return value
        sent_back += 1
        if last and desk.steps is not None and turn >= desk.steps:
            raise LimitExceeded(
                f"{agent.role} used its {desk.steps} steps without an answer that stands. {problem}",
                limit="steps",
            )
        if sent_back > desk.revisions:
            raise RunError(
                f"{agent.role}'s answer was sent back {desk.revisions} times and is still wrong. "
                f"It was told: {problem}"
            )
        for call in answer.tool_calls:
            conversation.add(ChatMessage("tool", "Not called.", tool_call_id=call.id))
        conversation.add(ChatMessage("user", problem))


async def _think(desk: Desk, conversation: Conversation, turn: int) -> tuple[Answer, bool]:
    """Ask the model what to do next. Return its answer and whether this was its last step."""
    run, agent, path = desk.run, desk.agent, conversation.path
    begun = run.begun(f"{path}/model", task=desk.task)
    _read_inbox(desk, conversation, asked=begun is not None)
    last = bool(begun["last"]) if begun else desk.steps is not None and turn >= desk.steps
    if last:
        conversation.add(ChatMessage("user", LAST_STEP))
    await _fit(desk, conversation)
    offered, withheld = _offer(desk, begun, last=last)
    request = Request(
        conversation.window(),
        tuple(ToolSpec(t.name, t.description, t.parameters, tuple(t.effects)) for t in offered.values()),
        desk.output.schema,
        agent.max_tokens,
        agent.temperature,
        turn=conversation.answers,
    )
    fixed = {"last": last, **({"withheld": withheld} if withheld else {})}
    finished = await _ask_model(desk, request, conversation, fixed)
    message = run.message(finished["message"], task=desk.task)
    conversation.add(message)
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
    """Return the tools that are offered, and those left alone for a while: settled once the model was asked."""
    if last:
        return {}, []
    tools = desk.gateway.tools
    refused = {name: desk.gateway.services.refusal(tool) for name, tool in tools.items()}
    withheld = [{"tool": name, "by": "breaker", "why": why} for name, why in refused.items() if why]
    withheld = begun.get("withheld", []) if begun else withheld
    away = {each["tool"] for each in withheld}
    return {name: tool for name, tool in tools.items() if name not in away}, withheld


async def _fit(desk: Desk, conversation: Conversation) -> None:
    """Let a summary stand for the oldest messages where they no longer fit: a step, recorded like any other."""
    run, path = desk.run, f"{conversation.path}/summary"
    recorded = run.summary(path, task=desk.task)
    before = conversation.written
    if recorded is not None:
        count = recorded[1] - (before is not None)
    elif run.begun(f"{conversation.path}/model", task=desk.task):
        return  # everything fitted then
    else:
        count = await conversation.surplus(_taken(desk))
    if not count:
        return
    messages = conversation.oldest(count)
    summary = conversation.summary
    so_far = list(summary.lines)
    conversation.digest(messages)
    if recorded is not None:
        written = recorded[0]
        summary.read(written.content)
    else:
        if desk.summariser is not None:
            summary.lines = await _summarise(desk, desk.summariser, so_far, messages) or summary.lines
        written = summary.message()
        ids = [message.id() for message in ([before] if before else []) + messages]
        run.say(written, path, task=desk.task, agent=desk.agent.role, compressed_from=ids)
    conversation.compress(written, count)
    desk.gateway.tools.setdefault(look_back.name, look_back)


async def _summarise(
    desk: Desk, model: Model, so_far: list[str], messages: Sequence[ChatMessage]
) -> list[str]:
    """Have a model write the summary; nothing where it fails: then sentences stand for it."""
    request = summary_request(so_far, messages)
    try:
        finished = await _metered(
            desk, model, request, f"{desk.conversation.path}/summary", {"summary": True}
        )
    except ModelError:
        return []
    return desk.run.message(finished["message"], task=desk.task).content.splitlines()


def _taken(desk: Desk) -> int:
    """Return about how many tokens of what the model can be sent are not for the conversation."""
    written = desk.conversation.written
    tools = sum(estimate_tokens(t.description + str(t.parameters)) for t in desk.gateway.tools.values())
    return desk.agent.max_tokens + tools + (2 * estimate_tokens(written.content) if written else 0)


def _read_inbox(desk: Desk, conversation: Conversation, *, asked: bool) -> None:
    """Put messages from outside into the conversation, each once; which ones is recorded before the request.

    `asked`: the request was made before; what came since waits for the next turn.
    """
    run, at = desk.run, f"{conversation.path}/inbox"
    read = run.result(at, task=desk.task)
    if read is None:
        new = [each for each in run.outside.messages(desk.agent.role) if each.id not in conversation.heard]
        if asked or not new:
            return
        redact = run.redactor.text
        told = [{"id": e.id, "by": e.by, "text": redact(str(e.data.get("text")))} for e in new]
        read = {"messages": told}
        run.keep("inbox.read", at, read, task=desk.task, agent=desk.agent.role)
    for message in read["messages"]:
        conversation.heard.add(message["id"])
        who = message["by"] or "someone"
        conversation.add(
            ChatMessage(
                "user", f"A message from {who}, who watches over this run:\n{message['text']}", label=PERSON
            )
        )


async def _ask_model(desk: Desk, request: Request, conversation: Conversation, fixed: Data) -> Data:
    more = {"messages": conversation.sent(), **fixed}
    model, route = _routed(desk, request, _estimate(request))
    return await _metered(desk, model, request, f"{conversation.path}/model", more, route)


async def _metered(
    desk: Desk, model: Model, request: Request, path: str, more: Data, route: Data | None = None
) -> Data:
    """Ask a model: a step within the limits."""
    run = desk.run
    tokens = _estimate(request)
    price = _price(model, tokens, request.max_tokens)
    replayed = run.holds(path, task=desk.task)
    held = None if replayed else await desk.meter.reserve(tokens + request.max_tokens, price)
    intent: Data = {
        "model": route["model"] if route else model.name,
        **({"route": route} if route else {}),
        "fingerprint": request_fingerprint(request),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "reserved": {"tokens": tokens + request.max_tokens, "usd": price},
        **more,
    }

    async def do(attempt: int) -> Data:
        watch = Watch(
            lambda text: run.chunk(path, text, task=desk.task, agent=desk.agent.role),
            lambda type, data: run.record(
                type, path, data, task=desk.task, agent=desk.agent.role, once=False
            ),
        )
        started = run.clock.monotonic()
        answer = await _answer(model, request, watch)
        return _answered(desk, answer, path, intent, run.clock.monotonic() - started)

    used, usd, seconds = (tokens + request.max_tokens, price, 0.0)
    try:
        finished = await run.step(
            path, "model", intent, do, task=desk.task, agent=desk.agent.role, costly=True
        )
        used = finished["usage"]["input_tokens"] + finished["usage"]["output_tokens"]
        usd, seconds = finished["usd"], finished["seconds"]
        return finished
    except Exception:
        used, usd = 0, 0.0
        raise
    finally:
        if held is not None:
            desk.meter.settle(held, used, usd, seconds)


def _routed(desk: Desk, request: Request, tokens: int) -> tuple[Model, Data]:
    """Return the model that is asked, and how it was chosen where there was a choice: once per step."""
    if not isinstance(desk.model, Routed):
        return desk.model, {}
    begun = desk.run.begun(f"{desk.conversation.path}/model", task=desk.task) or {}
    left = desk.meter.left()["usd"]
    choice = desk.model.again(begun.get("route") or {}) or desk.model.choose(request, tokens, left)
    return choice, choice.to_data()


async def _answer(model: Model, request: Request, watch: Watch) -> Answer:
    try:
        return _whole(await model.answer(request, watch))
    except CrewkitError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ModelError(f"Model '{model.name}' broke: it cancelled its own call.") from error
    except (Exception, SystemExit, BaseExceptionGroup) as error:
        raise _broke(model, error) from error


def _price(model: Model, tokens: int, longest: int) -> float | None:
    try:
        return model.price(tokens, longest)
    except CrewkitError:
        raise
    except Exception as error:
        raise _broke(model, error) from error


def _broke(model: Model, error: BaseException) -> ModelError:
    return ModelError(f"Model '{model.name}' broke with {type(error).__name__}: {error}")


def _whole(answer: Answer) -> Answer:
    """Refuse what a model of somebody's own may return instead of an answer."""
    calls = [text for c in answer.tool_calls for text in (c.id, c.name, c.arguments)]
    texts = [answer.content, answer.model, answer.finish_reason, *calls]
    whole = all(isinstance(text, str) for text in texts) and isinstance(answer.usage, Usage)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not whole or not _countable(answer):
        raise TypeError(f"{answer!r:.200} is no Answer of text, tool calls and usage")
    return answer


def _countable(answer: Answer) -> bool:
    """Say whether what an answer used can be counted: whole tokens and finite money, neither below 0."""
    tokens = _usage(answer.usage).values()
    usd = 0 if answer.usd is None else answer.usd
    return all(isinstance(n, int) and n >= 0 for n in tokens) and 0 <= usd < math.inf


def _answered(desk: Desk, answer: Answer, path: str, intent: Data, seconds: float) -> Data:
    run = desk.run
    redact = run.redactor.text
    calls = tuple(ToolCall(redact(c.id), redact(c.name), redact(c.arguments)) for c in answer.tool_calls)
    message = ChatMessage("assistant", redact(answer.content), calls, label=desk.conversation.label)
    return {
        "model": answer.model or intent["model"],
        **({"route": answer.route} if answer.route else {}),
        "message": run.say(message, path, task=desk.task, agent=desk.agent.role),
        "finish_reason": answer.finish_reason,
        "usage": _usage(answer.usage),
        "usd": answer.usd,
        "seconds": round(seconds, 4),
        "fingerprint": intent["fingerprint"],
    }


def _usage(usage: Usage) -> Data:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
    }


def _estimate(request: Request) -> int:
    """Return about how many tokens a request has."""
    messages = sum(
        len(m.content) + sum(len(c.arguments) for c in m.tool_calls) + 16 for m in request.messages
    )
    return messages // 4 + sum(estimate_tokens(t.description) + 40 for t in request.tools)


async def _act(desk: Desk, conversation: Conversation, answer: Answer) -> None:
    """Call the tools that the model chose, all at once, and put their results in the order of the calls."""
    path = conversation.path
    results = await asyncio.gather(
        *(
            desk.gateway.call(call, f"{path}/tool:{i}", answer.content[:500])
            for i, call in enumerate(answer.tool_calls[:MOST_CALLS])
        ),
        return_exceptions=True,
    )
    waits = [result for result in results if isinstance(result, Waiting)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Waiting):
            raise result
    if waits:
        raise Waiting.joined(waits)
    for result in results:
        if isinstance(result, ChatMessage):
            conversation.add(result)
    for i, call in enumerate(answer.tool_calls[MOST_CALLS:], MOST_CALLS):
        why = f"Not called: {MOST_CALLS} calls in one turn is the most. Call it again in your next turn."
        conversation.add(desk.gateway.refuse(call, f"{path}/tool:{i}", Refused("denied", "limit", why)))


async def _judge(desk: Desk, path: str, answer: Answer) -> tuple[str | None, Any]:
    """Return what is wrong with an answer, or `None` and the answer as JSON data."""
    if answer.tool_calls:
        return "You called a tool where only an answer was left to give.", None
    if answer.finish_reason == "length":
        return "Your answer was cut off at its maximum length. Answer again, shorter.", None
    try:
        value = desk.output.parse(answer.content)
    except WrongAnswer as wrong:
        return str(wrong), None
    data = desk.output.dump(value)
    for i, guardrail in enumerate(desk.guardrails):
        problem = await _guard(desk, guardrail, f"{path}/guardrail:{i}", value, data)
        if problem:
            return problem, None
    if desk.review:
        decision = await _review(desk, path, desk.review, data)
        if not decision.approved:
            return (
                f"A person read your answer and wants it changed: {decision.note or 'no reason given'}",
                None,
            )
    return None, data


async def _guard(desk: Desk, guardrail: Callable[[Any], Any], path: str, value: Any, data: Any) -> str | None:
    """Return what a guardrail wants changed."""
    said = await desk.run.verdict(path, lambda: look(guardrail, value), task=desk.task, agent=desk.agent.role)
    match said["verdict"]:
        case "allow":
            return None
        case "revise":
            return f"Your answer was not accepted: {said['why']} Answer again, whole."
        case "ask":
            decision = await _review(desk, path, said["why"], data)
            return None if decision.approved else f"A person did not accept your answer: {decision.note}"
        case _:
            raise Denied(
                f"The guardrail '{said['guardrail']}' refused the answer of {desk.agent.role}: {said['why']}"
            )


async def look(guardrail: Callable[[Any], Any], value: Any) -> Data:
    """Return a guardrail's verdict as the journal keeps it: {guardrail, verdict, why}."""
    verdict = await judge(guardrail, value)
    name = getattr(guardrail, "__name__", type(guardrail).__name__)
    why = verdict.question if isinstance(verdict, Ask) else getattr(verdict, "reason", "")
    return {"guardrail": name, "verdict": type(verdict).__name__.lower(), "why": why}


async def judge(guardrail: Callable[[Any], Any], value: Any) -> Verdict:
    """Return a guardrail's verdict; one that breaks denies."""
    try:
        said = await invoke(partial(guardrail, value), {})
    except Exception as error:  # noqa: BLE001  the guardrail's own code
        return Deny(f"it failed with {type(error).__name__}: {error}")
    if said is None:
        return Allow()
    if isinstance(said, Allow | Revise | Deny | Ask):
        return said
    if isinstance(said, str):
        return Revise(said)
    return Deny(f"it returned {said!r}, which is no verdict: return None, a sentence or a verdict")


async def _review(desk: Desk, path: str, question: str, data: Any) -> Decision:
    about = {"output": data}
    return await ask(desk.run, Question(path, "output", question, desk.task, desk.agent.role, about))
