import json
from pathlib import Path

import pytest

from crewkit.core.messages import ChatMessage
from crewkit.errors import ModelError
from crewkit.models.base import Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.testing.server import ChatServer, calls_then, server_process

ASKED = Request((ChatMessage("user", "How high is the tide?"),))


async def test_a_script_of_calls_ends_with_a_text():
    async with ChatServer(calls_then(2, "search", "Noon.", query="tide")) as server:
        model, request, names = ChatModel("m", server.url), ASKED, []
        for _ in range(3):
            answer = await model.answer(request, Watch())
            names.append([c.name for c in answer.tool_calls])
            results = [ChatMessage("tool", "12 m", tool_call_id=c.id) for c in answer.tool_calls]
            request = Request((*request.messages, answer.message(), *results))
    assert names == [["search"], ["search"], []]
    assert answer.content == "Noon."


async def test_requests_are_counted_and_logged_as_they_come_and_go(tmp_path: Path):
    log = tmp_path / "requests.jsonl"
    async with ChatServer(["Noon."], log=log, faults=[None, None, "hang_up"]) as server:
        model = ChatModel("m", server.url)
        for text in ("a", "a"):
            await model.answer(Request((ChatMessage("user", text),)), Watch())
        with pytest.raises(ModelError):
            await model.answer(Request((ChatMessage("user", "b"),)), Watch())
        first, again, other = (seen.fingerprint for seen in server.requests)
        assert server.repeated() == {first: 2}
        assert first == again != other
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["event"], line["fingerprint"]) for line in lines] == [
        ("arrived", first),
        ("answered", first),
        ("arrived", first),
        ("answered", first),
        ("arrived", other),
    ]


async def test_the_server_runs_as_a_process_of_its_own(tmp_path: Path):
    log = tmp_path / "requests.jsonl"
    arguments = ["--calls", "1", "--tool", "f", "--arguments", '{"x": 1}', "--fault", "500", "--times", "1"]
    with server_process(*arguments, "--log", str(log)) as url:
        model = ChatModel("m", url)
        with pytest.raises(ModelError, match="status 500"):
            await model.answer(ASKED, Watch())
        answer = await model.answer(ASKED, Watch())
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [("f", '{"x": 1}')]
    assert len(log.read_text().splitlines()) == 4
