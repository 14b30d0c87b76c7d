"""Asking a model: a step within the limits, whatever the model does."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from crewkit.agents.desk import Desk
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import CrewkitError, ModelError
from crewkit.models.base import Answer, Model, Request, Usage, Watch, request_fingerprint
from crewkit.models.route import Routed
from crewkit.models.tokens import estimate_tokens

Data = dict[str, Any]


async def ask_model(desk: Desk, request: Request, fixed: Data) -> Data:
    """Ask the agent's model, the one that a model table chooses where there is one."""
    history = desk.history
    more = {"messages": history.sent(), **fixed}
    model, route = _routed(desk, request, estimate(request))
    return await metered(desk, model, request, f"{history.path}/model", more, route)


async def metered(
    desk: Desk, model: Model, request: Request, path: str, more: Data, route: Data | None = None
) -> Data:
    """Ask a model: a step within the limits."""
    run = desk.run
    tokens = estimate(request)
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
        if held is not None:
            await held.told()
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
            await held.told()


def _routed(desk: Desk, request: Request, tokens: int) -> tuple[Model, Data]:
    """Return the model that is asked, and how it was chosen where there was a choice: once per step."""
    if not isinstance(desk.model, Routed):
        return desk.model, {}
    begun = desk.run.begun(f"{desk.history.path}/model", task=desk.task) or {}
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
    message = ChatMessage("assistant", redact(answer.content), calls, label=desk.history.label)
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


def estimate(request: Request) -> int:
    """Return about how many tokens a request has."""
    messages = sum(message.chars() + 16 for message in request.messages)
    return messages // 4 + sum(estimate_tokens(t.description) + 40 for t in request.tools)
