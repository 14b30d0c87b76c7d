"""One side of a comparison, in a process of its own: `python side.py NAME URL`.

It imports and warms up, and then does one round for every line on stdin and answers with its seconds per step.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from time import process_time
from typing import Any

from work import CALLS, options, searcher, searches

from crewkit.models.base import Model, Request
from crewkit.models.wire import message_data, tool_data

Data = dict[str, Any]
Round = Callable[[], Awaitable[object]]


def crew(model: Model) -> Callable[[], None]:
    one = searcher()

    def play() -> None:
        with options(model) as given:
            assert one.run_sync(options=given).ok

    return play


def chat(url: str) -> Callable[[], None]:
    from crewkit.models.chat import ChatModel

    return crew(ChatModel("any", url))


def through_litellm(url: str) -> Callable[[], None]:
    from crewkit.models.litellm import LitellmModel

    return crew(LitellmModel("hosted_vllm/any", api_base=url))


def litellm(url: str, route: str = "hosted_vllm") -> Callable[[], None]:
    import os

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    fixed = {"model": f"{route}/any", "api_base": url, "api_key": "none", "max_retries": 0, "no-log": True}

    async def play(bodies: Sequence[Data]) -> None:
        for body in bodies:
            await litellm.acompletion(**fixed, **body)

    return asking(play)


def litellm_openai(url: str) -> Callable[[], None]:
    return litellm(url, "openai")


def openai(url: str) -> Callable[[], None]:
    from openai import AsyncOpenAI

    async def play(bodies: Sequence[Data]) -> None:
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            for body in bodies:
                await client.chat.completions.create(model="any", **body)

    return asking(play)


def httpx(url: str) -> Callable[[], None]:
    import httpx

    async def play(bodies: Sequence[Data]) -> None:
        async with httpx.AsyncClient() as client:
            for body in bodies:
                response = await client.post(f"{url}/chat/completions", json={"model": "any", **body})
                response.raise_for_status().json()

    return asking(play)


def asking(play: Callable[[Sequence[Data]], Awaitable[None]]) -> Callable[[], None]:
    bodies = [body(request) for request in searches()]
    return lambda: asyncio.run(play(bodies))  # pyright: ignore[reportArgumentType]


def body(request: Request) -> Data:
    return {
        "messages": [message_data(message) for message in request.messages],
        "tools": [tool_data(one) for one in request.tools],
        "max_tokens": request.max_tokens,
    }


SIDES = {
    "chat": chat,
    "through_litellm": through_litellm,
    "litellm": litellm,
    "litellm_openai": litellm_openai,
    "openai": openai,
    "httpx": httpx,
}


def main() -> None:
    play = SIDES[sys.argv[1]](sys.argv[2])
    play()
    print(json.dumps("ready"), flush=True)
    for _ in sys.stdin:
        begun = process_time()
        play()
        print(json.dumps((process_time() - begun) / (CALLS + 1)), flush=True)


if __name__ == "__main__":
    main()
