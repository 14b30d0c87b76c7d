import asyncio
import gc
import json
import re
import socket
from itertools import repeat

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import DefinitionError, ModelError
from crewkit.models.base import Answer, Request, ToolSpec, Usage, Watch
from crewkit.models.chat import ChatModel
from crewkit.models.http import seconds_until
from crewkit.models.wire import LARGEST, Assembly, Lines, read_completion
from crewkit.testing.server import ChatServer, Fault

SEARCH = ToolSpec(
    "search",
    "Search the web.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
ASKED = Request((ChatMessage("system", "Be brief."), ChatMessage("user", "How high is the tide?")), (SEARCH,))


def asked(**changes: object) -> Request:
    return Request(ASKED.messages, ASKED.tools, **changes)  # type: ignore[arg-type]


async def error_of(model: ChatModel, request: Request = ASKED) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.answer(request, Watch())
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_results_and_usage_make_the_round_trip(stream: bool):
    arguments = '{"query":  "tides\\u00e9 🌊"}'
    script = [ToolCall("c-7", "search", arguments), Answer("Noon.", usage=Usage(100, 5, 40))]
    async with ChatServer(script) as server:
        model = ChatModel("some-model", server.url, "key-1", stream=stream)
        first = await model.answer(ASKED, Watch())
        assert first.tool_calls == (ToolCall("c-7", "search", arguments),)
        assert first.finish_reason == "tool_calls"
        result = ChatMessage("tool", "12 m", tool_call_id="c-7")
        last = await model.answer(Request((*ASKED.messages, first.message(), result), (SEARCH,)), Watch())
        assert last == Answer("Noon.", (), Usage(100, 5, 40), None, "some-model", "stop")
        sent = server.requests[1]
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["authorization"] == "Bearer key-1"
        assert sent.body == {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "How high is the tide?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c-7",
                            "type": "function",
                            "function": {"name": "search", "arguments": arguments},
                        }
                    ],
                },
                {"role": "tool", "content": "12 m", "tool_call_id": "c-7"},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "search",
                        "description": "Search the web.",
                        "parameters": SEARCH.parameters,
                    },
                }
            ],
            "max_tokens": 4096,
            **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
        }


async def test_streamed_pieces_add_up_to_the_answer():
    heard: list[str] = []
    async with ChatServer(["High water is at noon: 12 m ± 1."]) as server:
        answer = await ChatModel("m", server.url, stream=True).answer(ASKED, Watch(chunk=heard.append))
    assert len(heard) > 1
    assert "".join(heard) == answer.content == "High water is at noon: 12 m ± 1."


RETRYABLE: list[tuple[Fault, str]] = [
    ("hang_up", "could not be talked to"),
    ("half_body", "could not be talked to"),
    ("reset", "could not be talked to"),
    ("html", "not JSON: '<html>"),
    ("not_json", "not JSON"),
    ("empty_choices", "without choices"),
    ("error_200", "sent an error: The model is overloaded."),
    ("malformed_tool_calls", "tool call without a name"),
    ("429", "status 429: Rate limit reached."),
    ("500", "status 500: Internal server error."),
    ("503", "status 503"),
]
FINAL: list[tuple[Fault, str]] = [
    ("huge", f"more than {LARGEST:,} bytes"),
    ("400", "status 400: This model's maximum context length is 8192 tokens."),
    ("401", "status 401: Incorrect API key provided. Check the key in OPENAI_API_KEY."),
    ("404", "status 404: The model does not exist. Check the model's name and the base URL."),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "said", "retryable"), [*((*f, True) for f in RETRYABLE), *((*f, False) for f in FINAL)]
)
async def test_a_misbehaving_server_gives_a_named_error_and_the_next_request_works(
    fault: Fault, said: str, retryable: bool, stream: bool
):
    async with ChatServer(["Noon."], faults=[fault]) as server:
        model = ChatModel("m", server.url, "key-1", stream=stream)
        error = await error_of(model)
        assert said in str(error)
        assert str(error).startswith(f"Model 'm' at 127.0.0.1:{server.port} ")
        assert error.retryable is retryable
        assert error.status == (int(fault) if fault.isdigit() else None)
        assert error.retry_after == (7.0 if fault == "429" else None)
        assert (await model.answer(ASKED, Watch())).content == "Noon."


async def test_a_stream_that_ends_early_is_an_error_and_not_a_shorter_answer():
    heard: list[str] = []
    async with ChatServer(["High water is at noon."], faults=["no_end"]) as server:
        with pytest.raises(ModelError, match="broke off") as caught:
            await ChatModel("m", server.url, stream=True).answer(ASKED, Watch(chunk=heard.append))
    assert caught.value.retryable
    assert heard


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_hangs_is_left_at_the_deadline(stream: bool):
    async with ChatServer(faults=["hang"]) as server:
        error = await error_of(ChatModel("m", server.url, stream=stream), asked(timeout=0.2))
    assert "gave no whole answer in 0.2 s" in str(error)
    assert error.retryable


async def test_a_refused_connection_is_an_error_that_names_the_place():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await error_of(ChatModel("m", f"http://127.0.0.1:{port}/v1"))
    assert f"at 127.0.0.1:{port} could not be talked to" in str(error)
    assert error.retryable


async def test_the_key_is_never_shown_and_long_texts_are_cut():
    def leak(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": "bad key sk-secret-1 " + "x" * 5000}})

    model = ChatModel("m", "http://127.0.0.1:1/v1", "sk-secret-1", transport=httpx.MockTransport(leak))
    error = str(await error_of(model))
    assert "sk-secret-1" not in error
    assert "bad key [key] xxx" in error
    assert len(error) < 700


def choice(**message: object) -> dict[str, object]:
    return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def wire_call(**function: object) -> dict[str, object]:
    return {"id": "a", "type": "function", "function": function}


async def test_calls_without_an_id_get_one_from_their_place_and_double_ids_are_told_apart():
    nameless = {"function": {"name": "search", "arguments": "{}"}}
    double = wire_call(name="search", arguments="")
    async with ChatServer([choice(content=None, tool_calls=[nameless, double, double])]) as server:
        answer = await ChatModel("m", server.url).answer(ASKED, Watch())
    assert [c.id for c in answer.tool_calls] == ["call-0-0", "a", "a-2"]
    assert [c.arguments for c in answer.tool_calls] == ["{}", "", ""]
    assert answer.finish_reason == "tool_calls"


async def test_arguments_that_are_not_text_are_an_error():
    async with ChatServer([choice(tool_calls=[wire_call(name="search", arguments={"query": 1})])]) as server:
        error = await error_of(ChatModel("m", server.url))
    assert "a call of 'search' whose arguments are not text" in str(error)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([{"type": "text", "text": "No"}, {"type": "text", "text": "on."}, {"type": "image"}], "Noon."),
    ],
)
async def test_content_may_be_nothing_or_parts(content: object, text: str):
    async with ChatServer([choice(content=content)]) as server:
        assert (await ChatModel("m", server.url).answer(ASKED, Watch())).content == text


async def test_an_answer_cut_by_its_length_says_so():
    async with ChatServer([Answer("High wa", finish_reason="length")]) as server:
        for stream in (False, True):
            assert (
                await ChatModel("m", server.url, stream=stream).answer(ASKED, Watch())
            ).finish_reason == "length"


async def test_usage_is_estimated_where_the_server_counts_none():
    async with ChatServer([choice(content="Noon at 12.")]) as server:
        assert (await ChatModel("m", server.url).answer(ASKED, Watch())).usage == Usage(8, 3)


async def test_a_stream_without_indices_and_with_usage_only_is_understood():
    chunks = [
        {
            "choices": [
                {"delta": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}]}}
            ]
        },
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "1}"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]
    sent = "".join(f": keep alive\r\n\r\ndata:{json.dumps(c)}\r\n\r\n" for c in chunks).encode()
    async with ChatServer([sent]) as server:
        answer = await ChatModel("m", server.url, stream=True).answer(ASKED, Watch())
    assert answer.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))


async def test_an_error_inside_a_stream_is_an_error():
    sent = b'data: {"error": {"message": "out of memory"}}\n\n'
    async with ChatServer([sent]) as server:
        assert "sent an error: out of memory" in str(await error_of(ChatModel("m", server.url, stream=True)))


async def test_a_cancelled_request_leaves_the_model_usable():
    async with ChatServer(["Noon."], faults=["hang"]) as server:
        model = ChatModel("m", server.url)
        task = asyncio.create_task(model.answer(ASKED, Watch()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.answer(ASKED, Watch())).content == "Noon."


async def test_connections_are_kept_and_concurrent_answers_do_not_mix():
    def echo(body: dict[str, object]) -> str:
        return body["messages"][-1]["content"]  # type: ignore[index]

    async with ChatServer(echo, delay=0.02) as server:
        model = ChatModel("m", server.url)

        async def ask(i: int) -> str:
            return (await model.answer(Request((ChatMessage("user", f"question {i}"),)), Watch())).content

        for _ in range(2):
            assert await asyncio.gather(*map(ask, range(50))) == [f"question {i}" for i in range(50)]
        assert len(server._connections) == 50
        await model.close()


def test_a_model_serves_one_event_loop_after_another():
    async def once(model: ChatModel | None) -> ChatModel:
        async with ChatServer(["Noon."], port=port) as server:
            model = model or ChatModel("m", server.url)
            assert (await model.answer(ASKED, Watch())).content == "Noon."
            return model

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asyncio.run(once(asyncio.run(once(None))))
    gc.collect()  # an open connection would warn here, and warnings are errors


async def test_a_test_cannot_reach_a_real_provider():
    model = ChatModel("gpt", "https://api.example.com/v1", "key", environ={"PYTEST_VERSION": "9"})
    with pytest.raises(DefinitionError, match=re.escape("called at api.example.com, but this is a test")):
        await model.answer(ASKED, Watch())
    forbidden = {"CREWKIT_NO_NETWORK": "1"}
    with pytest.raises(DefinitionError, match="CREWKIT_NO_NETWORK is set"):
        await ChatModel("gpt", "https://api.example.com/v1", environ=forbidden).answer(ASKED, Watch())
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=choice(content="Noon.")))
    for environ in ({}, {"PYTEST_VERSION": "9", "CREWKIT_ALLOW_REAL_MODELS": "1"}):
        model = ChatModel("gpt", "https://api.example.com/v1", transport=transport, environ=environ)
        assert (await model.answer(ASKED, Watch())).content == "Noon."


async def test_openai_itself_is_asked_in_its_newer_words():
    bodies: list[dict[str, object]] = []

    def take(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.read()))
        return httpx.Response(200, json=choice(content="Noon."))

    model = ChatModel("gpt-x", "https://api.openai.com/v1", transport=httpx.MockTransport(take), environ={})
    await model.answer(asked(max_tokens=7, temperature=0.5), Watch())
    assert bodies[0]["max_completion_tokens"] == 7
    assert "max_tokens" not in bodies[0]
    assert bodies[0]["temperature"] == 0.5


async def test_a_lone_surrogate_does_not_stop_a_request():
    async with ChatServer(["Noon."]) as server:
        request = Request((ChatMessage("user", "torn \ud83d"),))
        assert (await ChatModel("m", server.url).answer(request, Watch())).content == "Noon."
        assert server.requests[0].body["messages"][0]["content"] == "torn ?"


def test_retry_after_is_read_as_seconds_and_as_a_date():
    assert seconds_until("7") == 7.0
    assert seconds_until("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert seconds_until("soon") is None
    assert seconds_until("") is None


WORDS = (
    "choices message delta content tool_calls function name arguments id index finish_reason text "
    "usage prompt_tokens completion_tokens prompt_tokens_details"
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(message=anything, usage=anything, finish=anything)
def test_whatever_a_server_sends_is_an_answer_or_a_model_error(
    message: object, usage: object, finish: object
):
    try:
        answer = read_completion(
            {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}, ASKED
        )
    except ModelError:
        return
    assert isinstance(answer.content, str)
    assert len({c.id for c in answer.tool_calls}) == len(answer.tool_calls)
    assert all(isinstance(c.name, str) and isinstance(c.arguments, str) for c in answer.tool_calls)
    assert answer.usage.tokens > 0


@given(chunks=st.lists(st.builds(lambda d: {"choices": [{"delta": d}]}, anything), max_size=4))
def test_whatever_a_server_streams_is_an_answer_or_a_model_error(chunks: list[dict[str, object]]):
    assembly = Assembly()
    heard = "".join(assembly.add(chunk) for chunk in chunks)
    try:
        answer = read_completion(assembly.completion(), ASKED)
    except ModelError:
        return
    assert answer.content == heard


@given(payloads=st.lists(st.text("ab{}é", min_size=1), max_size=5), cut=st.integers(1, 7))
def test_a_stream_may_be_cut_anywhere(payloads: list[str], cut: int):
    stream = "".join(f"event: x\ndata: {p}\n\n" for p in payloads).encode()
    lines = Lines()
    found = [p for i in range(0, len(stream), cut) for p in lines.feed(stream[i : i + cut])]
    assert found == [p.encode() for p in payloads]


@pytest.mark.slow
async def test_a_thousand_requests_at_once_do_not_wait_for_each_other():
    async with ChatServer(["Noon."], delay=0.2, faults=repeat(None)) as server:
        model = ChatModel("m", server.url)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(model.answer(ASKED, Watch()) for _ in range(1000)))
        assert asyncio.get_running_loop().time() - start < 10  # 18 s with httpx's own pool
        await model.close()
