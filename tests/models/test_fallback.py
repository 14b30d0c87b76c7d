import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from crewkit.core.messages import ChatMessage
from crewkit.errors import DefinitionError, ModelError
from crewkit.models.base import Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.models.fallback import Fallback
from crewkit.models.retry import RetryingModel
from crewkit.models.scripted import ScriptedModel
from crewkit.resilience.retry import Retry
from crewkit.testing.server import ChatServer

ASKED = Request((ChatMessage("user", "How high is the tide?"),))


class StoppedClock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def listener() -> tuple[Watch, list[tuple[str, dict[str, Any]]]]:
    heard: list[tuple[str, dict[str, Any]]] = []
    return Watch(event=lambda type, data: heard.append((type, data))), heard


async def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks_and_told():
    clock = StoppedClock()
    watch, heard = listener()
    async with ChatServer(["Noon."], faults=["429", "500"]) as server:
        model = RetryingModel(ChatModel("m", server.url), clock=clock)
        assert (await model.answer(ASKED, watch)).content == "Noon."
        assert len(server.requests) == 3
        assert server.repeated() == {server.requests[0].fingerprint: 3}
    assert clock.slept[0] == 7
    assert [(type, data["attempt"]) for type, data in heard] == [
        ("retry.scheduled", 2),
        ("retry.scheduled", 3),
    ]
    assert heard[0][1]["seconds"] == 7
    assert "status 429: Rate limit reached." in heard[0][1]["why"]


async def test_a_refused_key_is_not_tried_again():
    clock = StoppedClock()
    async with ChatServer(faults=["401"]) as server:
        with pytest.raises(ModelError, match="status 401"):
            await RetryingModel(ChatModel("m", server.url), clock=clock).answer(ASKED, Watch())
        assert len(server.requests) == 1
    assert clock.slept == []


async def test_the_last_error_says_how_often_it_was_tried():
    model = ScriptedModel(lambda request: ModelError("busy", retryable=True, status=503))
    with pytest.raises(ModelError, match=r"busy \(attempt 3 of 3\)") as caught:
        await RetryingModel(model, Retry(attempts=3), clock=StoppedClock()).answer(ASKED, Watch())
    assert (caught.value.retryable, caught.value.status) == (True, 503)
    assert len(model.requests) == 3


async def test_the_next_model_answers_where_one_does_not():
    watch, heard = listener()
    poor = ScriptedModel([ModelError("no such model", status=404)], name="poor")
    rich = ScriptedModel(["Noon."], name="rich")
    spare = ScriptedModel(["never asked"], name="spare")
    models = Fallback([poor, rich, spare])
    answer = await models.answer(ASKED, watch)
    assert (answer.content, answer.model) == ("Noon.", "rich")
    assert spare.requests == []
    assert models.name == "poor,rich,spare"
    assert heard == [
        ("retry.scheduled", {"attempt": 2, "seconds": 0.0, "why": "no such model Asking 'rich' instead."})
    ]


async def test_where_no_model_answers_every_cause_is_listed():
    models = Fallback(
        [
            ScriptedModel([ModelError("first gone", retryable=True)]),
            ScriptedModel([ModelError("second gone")]),
        ]
    )
    with pytest.raises(
        ModelError, match="None of the 2 models answered:\n- first gone\n- second gone"
    ) as caught:
        await models.answer(ASKED, Watch())
    assert caught.value.retryable


async def test_only_a_models_own_error_leads_to_the_next_one():
    async def slow(request: Request) -> str:
        await asyncio.Event().wait()
        return ""

    spare = ScriptedModel(["never asked"])
    task = asyncio.create_task(Fallback([ScriptedModel(slow), spare]).answer(ASKED, Watch()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(KeyError):
        await Fallback([ScriptedModel([KeyError("a mistake in a test")]), spare]).answer(ASKED, Watch())
    assert spare.requests == []


def test_the_price_of_several_is_the_dearest_and_unknown_if_one_is():
    class Priced(ScriptedModel):
        def __init__(self, usd: float | None) -> None:
            super().__init__([])
            self.usd = usd

        def price(self, input_tokens: int, output_tokens: int) -> float | None:
            return self.usd

    assert Fallback([Priced(0.1), Priced(0.3)]).price(1, 1) == 0.3
    assert Fallback([Priced(0.1), Priced(None)]).price(1, 1) is None


def test_an_empty_list_of_models_is_a_mistake():
    with pytest.raises(DefinitionError, match="empty"):
        Fallback([])
