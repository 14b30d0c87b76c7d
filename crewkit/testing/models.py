"""What every model must do, as a suite of tests to subclass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Model, Request, ToolSpec, Watch, request_fingerprint

Talk = Sequence[Answer | ModelError]
"""What the model says, turn by turn."""

SEARCH = ToolSpec(
    name="search",
    description="Search the web.",
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
        "additionalProperties": False,
    },
    effects=("read",),
)
ASKED = Request(
    (ChatMessage("system", "You are terse."), ChatMessage("user", "How high is the tide?")), (SEARCH,)
)
CALL = ToolCall("call-7", "search", '{"query":  "h\\u00f6he \\"tide\\" 🌊"}')
TWO_CALLS = Answer(
    tool_calls=(CALL, ToolCall("call-8", "search", '{"query": "b"}')), finish_reason="tool_calls"
)
LAST = Answer("High water is at noon: 12 m ± 1.")

Speaking = Callable[[Talk], AbstractAsyncContextManager[Model]]


class ModelConformance:
    """What the framework relies on. Subclass it and say how to make a model that speaks given lines.

    ```python
    class TestMine(ModelConformance):
        @asynccontextmanager
        async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
            async with ChatServer([*talk]) as server:
                yield MyModel(server.url)
    ```

    Needs pytest with pytest-asyncio in `auto` mode.
    """

    def speaking(self, talk: Talk) -> AbstractAsyncContextManager[Model]:
        """Give a model that says these lines, the n-th to a request with n - 1 answers in it; slowly is fine."""
        raise NotImplementedError

    async def test_it_answers_with_text(self) -> None:
        """A text comes back whole, with its usage and its model."""
        async with self.speaking([LAST]) as model:
            answer = await model.answer(ASKED, Watch())
        assert answer.content == LAST.content
        assert answer.tool_calls == ()
        assert answer.finish_reason == "stop"
        assert answer.model

    async def test_it_calls_tools_and_keeps_their_arguments_as_written(self) -> None:
        """Several calls come in their order, with ids, and arguments to the letter."""
        async with self.speaking([TWO_CALLS]) as model:
            answer = await model.answer(ASKED, Watch())
        assert [(c.name, c.arguments) for c in answer.tool_calls] == [
            (c.name, c.arguments) for c in TWO_CALLS.tool_calls
        ]
        assert len({c.id for c in answer.tool_calls}) == 2
        assert answer.finish_reason == "tool_calls"

    async def test_it_takes_tool_results(self) -> None:
        """A conversation with calls and results goes on."""
        async with self.speaking([TWO_CALLS, LAST]) as model:
            first = await model.answer(ASKED, Watch())
            results = [ChatMessage("tool", "12 m", tool_call_id=c.id) for c in first.tool_calls]
            last = await model.answer(
                Request((*ASKED.messages, first.message(), *results), (SEARCH,)), Watch()
            )
        assert last.content == LAST.content

    async def test_it_counts_tokens(self) -> None:
        """Usage is never nothing, counted or estimated; cost is known or unknown, never negative."""
        async with self.speaking([LAST]) as model:
            answer = await model.answer(ASKED, Watch())
            price = model.price(1000, 1000)
        assert answer.usage.input_tokens > 0
        assert answer.usage.output_tokens > 0
        assert 0 <= answer.usage.cached_tokens <= answer.usage.input_tokens
        assert answer.usd is None or answer.usd >= 0
        assert price is None or price >= 0

    async def test_what_it_streams_adds_up_to_its_answer(self) -> None:
        """Chunks, where there are any, are the content."""
        heard: list[str] = []
        async with self.speaking([LAST]) as model:
            answer = await model.answer(ASKED, Watch(chunk=heard.append))
        assert "".join(heard) in {"", answer.content}

    async def test_concurrent_answers_do_not_mix(self) -> None:
        """Each of many requests at once gets its own answer."""
        turns = [Answer(f"answer {n}") for n in range(8)]
        async with self.speaking(turns) as model:

            async def ask(n: int) -> str:
                said = [Answer(f"answer {i}").message() for i in range(n)]
                return (await model.answer(Request((*ASKED.messages, *said), (SEARCH,)), Watch())).content

            answers = await asyncio.gather(*(ask(n) for n in range(8)))
        assert answers == [turn.content for turn in turns]

    async def test_it_can_be_cancelled_and_asked_again(self) -> None:
        """A cancelled request ends at once, and the next one is answered."""
        async with self.speaking([LAST]) as model:
            task = asyncio.create_task(model.answer(ASKED, Watch()))
            await asyncio.sleep(0)
            task.cancel()
            outcome = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(outcome[0], asyncio.CancelledError | Answer)
            assert (await model.answer(ASKED, Watch())).content == LAST.content

    async def test_what_goes_wrong_is_a_model_error(self) -> None:
        """A failure is a `ModelError` with a sentence, whatever was beneath it."""
        async with self.speaking([ModelError("the server is busy", retryable=True, status=500)]) as model:
            try:
                await model.answer(ASKED, Watch())
            except ModelError as error:
                assert len(str(error)) > 10  # noqa: PT017  no pytest here: this is imported by users
            else:
                raise AssertionError("a failing model gave an answer")

    async def test_the_request_is_not_changed(self) -> None:
        """A request can be sent again: its fingerprint stands."""
        request = deepcopy(ASKED)
        async with self.speaking([LAST]) as model:
            await model.answer(request, Watch())
        assert request_fingerprint(request) == request_fingerprint(ASKED)
        assert request == ASKED
