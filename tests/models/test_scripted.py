import asyncio

import pytest

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, Usage, Watch
from crewkit.models.scripted import ScriptedModel, call

ASKED = ChatMessage("user", "How high is the tide?")


def said(*answers: Answer) -> Request:
    return Request((ASKED, *(answer.message() for answer in answers)))


async def test_a_list_is_answered_by_the_turn_and_not_by_the_count_of_requests():
    model = ScriptedModel([call("search", query="tide"), "Noon."])
    first = await model.answer(said(), Watch())
    again = await model.answer(said(), Watch())
    assert first == again
    assert first.tool_calls == (ToolCall("call-0-0", "search", '{"query": "tide"}'),)
    assert first.finish_reason == "tool_calls"
    last = await model.answer(said(first), Watch())
    assert (last.content, last.finish_reason) == ("Noon.", "stop")
    assert len(model.requests) == 3


async def test_parallel_calls_get_ids_from_their_place():
    answer = await ScriptedModel([[call("a"), call("b", tool="x")]]).answer(said(), Watch())
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [
        ("call-0-0", "a", "{}"),
        ("call-0-1", "b", '{"tool": "x"}'),
    ]


async def test_a_script_that_ran_out_says_so():
    model = ScriptedModel(["one"], name="double")
    with pytest.raises(ModelError, match=r"'double': the script has 1 lines, and this is turn 2") as caught:
        await model.answer(said(Answer("one")), Watch())
    assert not caught.value.retryable


async def test_an_error_in_a_script_is_raised():
    with pytest.raises(ModelError, match="busy"):
        await ScriptedModel([ModelError("busy", retryable=True)]).answer(said(), Watch())


async def test_a_function_may_be_sync_or_async_and_sees_the_request():
    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        return request.messages[-1].content.upper()

    for script in (later, lambda request: request.messages[-1].content.upper()):
        assert (await ScriptedModel(script).answer(said(), Watch())).content == "HOW HIGH IS THE TIDE?"


async def test_usage_is_estimated_unless_the_script_gives_it_and_nothing_costs():
    estimated = await ScriptedModel(["four" * 3]).answer(said(), Watch())
    assert estimated.usage == Usage(6, 3)
    assert estimated.usd == 0.0
    given = await ScriptedModel([Answer("x", usage=Usage(7, 8), usd=0.5)]).answer(said(), Watch())
    assert (given.usage, given.usd) == (Usage(7, 8), 0.5)
    assert ScriptedModel([]).price(1000, 1000) == 0.0


async def test_what_a_script_says_is_streamed():
    heard: list[str] = []
    await ScriptedModel(["Noon."]).answer(said(), Watch(chunk=heard.append))
    assert heard == ["Noon."]
