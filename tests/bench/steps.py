"""1. CPU per model step of an agent that makes 50 tool calls, journal on, and what a request costs alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from measure import Row, home, interleaved, medians, run, say, standing

CALLS = 50
ROUNDS = 9
SIDES = (
    "crewkit, ChatModel",
    "httpx",
    "openai client",
    "litellm, hosted_vllm/",
    "crewkit, LitellmModel hosted_vllm/",
    "litellm, openai/",
    "crewkit, LitellmModel openai/",
)


def rows() -> list[Row]:
    """Measure every side in turn against one server."""
    from crewkit.testing.server import server_process

    arguments = json.dumps({"query": "tides"})
    with server_process("--calls", str(CALLS), "--tool", "search", "--arguments", arguments) as url:
        cost = _cost(url)
    return [*_table(cost), _first_request()]


def _cost(url: str) -> dict[str, float]:
    """Return seconds of CPU per step, by side; each side is a process, and they take turns."""
    with ExitStack() as stack:
        folders = {side: stack.enter_context(home()) for side in SIDES}
        sides = {side: stack.enter_context(standing("steps", side, url, folders[side])) for side in SIDES}
        return medians(interleaved(sides, ROUNDS))


def _table(cost: dict[str, float]) -> list[Row]:
    raw = cost["openai client"]
    chat = cost["crewkit, ChatModel"]
    table = [
        Row(
            "CPU per step, ChatModel, 50 tool calls",
            _ms(chat),
            f"openai client alone {_ms(raw)}",
            f"{chat / raw:.2f} times",
            "under a third",
            chat / raw < 1 / 3,
        ),
        Row("", _ms(chat), f"plain httpx {_ms(cost['httpx'])}", f"+ {_ms(chat - cost['httpx'])}"),
    ]
    for route in ("hosted_vllm/", "openai/"):
        ours, alone = cost[f"crewkit, LitellmModel {route}"], cost[f"litellm, {route}"]
        table.append(
            Row(
                f"CPU per step, LitellmModel by `{route}`",
                _ms(ours),
                f"litellm alone {_ms(alone)}",
                f"+ {_ms(ours - alone)}",
                "≤ 1 ms more",
                ours - alone <= 0.001,
            )
        )
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


CREW = """
from crewkit import Agent, Crew, Task
crew = Crew([Task("notes", "When is high water?", agent=Agent("Researcher", "Find facts."))])
"""


def _first_request() -> Row:
    """Time a whole `crewkit run` until its first request is at the server."""
    from crewkit.testing.server import server_process

    seconds: list[float] = []
    bare: list[float] = []
    for _ in range(5):
        with home() as folder:
            (folder / "crew.py").write_text(CREW)
            log = folder / "log.jsonl"
            with server_process("--log", str(log)) as url:
                env = {"CREWKIT_HOME": str(folder / "home"), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
                command = [str(Path(sys.executable).with_name("crewkit")), "run", str(folder / "crew.py")]
                begun = time.time()
                done = run([*command, "--model", "openai/any"], env=env, text=True)
                assert done.code == 0, done.said
                seconds.append(json.loads(log.read_text().splitlines()[0])["time"] - begun)
        bare.append(run([sys.executable, "-c", "pass"], text=True).seconds)
    ours, beside = median(seconds), median(bare)
    return Row(
        "`crewkit run` until its first request, wall",
        f"{ours:.2f} s",
        f"bare interpreter {beside:.3f} s",
        f"{ours / beside:.0f} times",
        "< 1 s",
        ours < 1,
    )


# In a process of its own


async def _main(side: str, url: str, folder: str) -> None:
    once = await _once(side, url, Path(folder))
    await once()
    for _ in sys.stdin:
        begun = time.process_time()
        await once()
        say((time.process_time() - begun) / (CALLS + 1))


async def _once(side: str, url: str, folder: Path) -> Callable[[], Awaitable[Any]]:
    """Return what makes the 51 requests of one side."""
    if side.startswith("crewkit"):
        return _crew(side, url, folder)
    send = await _sender(side, url)
    bodies = await _bodies(folder)

    async def once() -> None:
        for body in bodies:
            await send(body)

    return once


def _crew(side: str, url: str, folder: Path) -> Callable[[], Awaitable[Any]]:
    from crews import options, searcher

    model: Any
    if side.endswith("ChatModel"):
        from crewkit.models.chat import ChatModel

        model = ChatModel("any", url)
    else:
        from crewkit.models.litellm import LitellmModel

        model = LitellmModel(side.rsplit(maxsplit=1)[-1] + "any", api_base=url)
    crew, settings = searcher(model), options(folder)

    async def once() -> None:
        result = await crew.run(options=settings)
        assert result.ok, result
        assert result.usage["steps"] == CALLS + 1, result

    return once


async def _bodies(folder: Path) -> list[dict[str, Any]]:
    """Return what the 51 requests of such a run say."""
    from crewkit.models.scripted import ScriptedModel
    from crewkit.models.wire import message_data, tool_data
    from crews import asks, options, searcher

    model = ScriptedModel([*(asks(i) for i in range(CALLS)), "Done."])
    await searcher(model).run(options=options(folder))
    return [
        {
            "model": "any",
            "messages": [message_data(message) for message in request.messages],
            "tools": [tool_data(tool) for tool in request.tools],
            "max_tokens": request.max_tokens,
        }
        for request in model.requests
    ]


async def _sender(side: str, url: str) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    if side == "httpx":
        import httpx

        http = httpx.AsyncClient()

        async def post(body: dict[str, Any]) -> Any:
            return (await http.post(f"{url}/chat/completions", json=body)).json()["choices"][0]

        return post
    if side == "openai client":
        from openai import AsyncOpenAI

        openai = AsyncOpenAI(base_url=url, api_key="none")
        return lambda body: openai.chat.completions.create(**body)
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    from litellm import acompletion as ask

    route = side.rsplit(maxsplit=1)[-1]
    return lambda body: ask(
        **{**body, "model": f"{route}any"}, api_base=url, api_key="none", max_retries=0, num_retries=0
    )


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
