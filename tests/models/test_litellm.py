"""Through the real litellm to a real server on loopback."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Request, ToolSpec, Watch
from crewkit.models.litellm import LitellmModel
from crewkit.testing.server import ChatServer, Fault

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),  # litellm's streams
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),  # likewise
]


@pytest.fixture(autouse=True)
def _left_behind() -> Iterator[None]:
    """Report what a test left open in that test, and not in another."""
    yield
    gc.collect()


SEARCH = ToolSpec(
    "search", "Search the web.", {"type": "object", "properties": {"query": {"type": "string"}}}
)
ASKED = Request((ChatMessage("user", "How high is the tide?"),), (SEARCH,), timeout=10)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ["openai", "hosted_vllm"])
async def test_a_request_with_tools_passes_through_litellm(route: str, stream: bool):
    arguments = '{"query":  "tides"}'
    async with ChatServer([ToolCall("c-7", "search", arguments)]) as server:
        answer = await LitellmModel(f"{route}/m", api_base=server.url, stream=stream).answer(ASKED, Watch())
        assert answer.tool_calls == (ToolCall("c-7", "search", arguments),)
        assert server.requests[0].body["tools"][0]["function"]["name"] == "search"
        assert len(server.requests) == 1


async def test_another_protocol_is_spoken_by_litellm():
    """Anthropic's own messages protocol, with the answer written out."""
    message = {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "tool_use", "id": "toolu-1", "name": "search", "input": {"query": "tides"}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }
    async with ChatServer(lambda body: message) as server:
        base = server.url.removesuffix("/v1")
        model = LitellmModel("anthropic/claude-sonnet-4-5", api_base=base, api_key="k")
        answer = await model.answer(ASKED, Watch())
        assert server.requests[0].path == "/v1/messages"
        assert server.requests[0].body["tools"][0]["name"] == "search"
    assert [(c.id, c.name) for c in answer.tool_calls] == [("toolu-1", "search")]
    assert answer.finish_reason == "tool_calls"
    assert answer.usd == pytest.approx(0.0045)


@pytest.mark.parametrize("route", ["openai", "hosted_vllm"])
@pytest.mark.parametrize(
    ("fault", "status", "retryable"),
    [
        ("429", 429, True),
        ("500", 500, True),
        ("401", 401, False),
        ("400", 400, False),
        ("hang_up", 500, True),
        ("half_body", 500, True),
        ("empty_choices", None, True),
        ("huge", None, False),
    ],
)
async def test_a_failure_is_a_model_error_and_asked_only_once(
    fault: Fault, status: int | None, retryable: bool, route: str
):
    async with ChatServer(["Noon."], faults=[fault]) as server:
        model = LitellmModel(f"{route}/m", api_base=server.url)
        with pytest.raises(ModelError) as caught:
            await model.answer(ASKED, Watch())
        assert len(server.requests) == 1
    error = caught.value
    assert (error.status, error.retryable) == (status, retryable)
    assert str(error).startswith(f"Model '{route}/m' at 127.0.0.1:{server.port} ")
    if fault == "429":
        assert error.retry_after == 7.0


@pytest.mark.parametrize("route", ["openai", "hosted_vllm"])
async def test_a_stream_that_broke_off_is_no_shorter_answer(route: str):
    async with ChatServer(["High water is at noon."], faults=["no_end"]) as server:
        with pytest.raises(ModelError, match="broke off"):
            await LitellmModel(f"{route}/m", api_base=server.url, stream=True).answer(ASKED, Watch())


async def test_a_server_that_hangs_is_left_at_the_deadline():
    async with ChatServer(["Noon."], faults=[None] + ["hang"] * 5) as server:
        model = LitellmModel("openai/m", api_base=server.url)
        await model.answer(ASKED, Watch())  # What is slow is the first call: litellm sets itself up.
        with pytest.raises(ModelError) as caught:
            await model.answer(replace(ASKED, timeout=1), Watch())
        assert len(server.requests) == 2
    assert caught.value.retryable


def test_litellm_is_quiet_and_leaves_nothing_open():
    code = """
import asyncio
from crewkit.core.messages import ChatMessage
from crewkit.models.base import Request, Watch
from crewkit.models.litellm import LitellmModel
from crewkit.testing.server import ChatServer

async def main():
    async with ChatServer(["Noon."], faults=[None, "500"]) as server:
        for route in ("openai", "hosted_vllm"):
            try:
                await LitellmModel(f"{route}/m", api_base=server.url).answer(
                    Request((ChatMessage("user", "tide?"),)), Watch()
                )
            except Exception as error:
                assert "status" in dir(error)

asyncio.run(main())
asyncio.run(main())
"""
    command = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert (done.stdout, done.stderr) == ("", "")
