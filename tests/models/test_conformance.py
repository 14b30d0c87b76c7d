import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from crewkit.core.events import Event
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Model, Request, Watch, request_fingerprint
from crewkit.models.chat import ChatModel
from crewkit.models.fallback import Fallback
from crewkit.models.litellm import LitellmModel
from crewkit.models.recorded import RecordedModel
from crewkit.models.retry import RetryingModel
from crewkit.models.scripted import ScriptedModel
from crewkit.resilience.retry import Retry
from crewkit.testing.models import ASKED, ModelConformance, Talk
from crewkit.testing.server import ChatServer


@asynccontextmanager
async def serving(talk: Talk) -> AsyncGenerator[str]:
    failing = [turn for turn in talk if isinstance(turn, ModelError)]
    lines: Sequence[Answer] = [turn for turn in talk if isinstance(turn, Answer)]
    async with ChatServer(lines or ["never"], faults=["500"] * len(failing) * 9, delay=0.005) as server:
        yield server.url


class TestScripted(ModelConformance):
    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        yield ScriptedModel([*talk])


class TestRecorded(ModelConformance):
    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        """Record, turn by turn, what the suite is going to ask."""
        from crewkit.core.messages import ChatMessage

        scripted, events, messages = ScriptedModel([*talk]), list[Event](), ASKED.messages
        for turn in range(len(talk)):
            request = Request(messages, ASKED.tools)
            key, path = request_fingerprint(request), f"t/{turn}/model"
            events.append(Event("r", 1, "model.started", "", 0, "s", path, data={"fingerprint": key}))
            try:
                answer = await scripted.answer(request, Watch())
            except ModelError as error:
                failed = {"failed": {"message": str(error)}, "fingerprint": key}
                events.append(Event("r", 1, "model.finished", "", 0, "s", path, data=failed))
                break
            said = answer.message()
            usage = {"input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens}
            done = {"fingerprint": key, "message": said.id(), "usage": usage, "model": "m"}
            done["finish_reason"] = answer.finish_reason
            events.append(
                Event("r", 1, "message.recorded", "", 0, "s", data={"id": said.id(), **said.to_data()})
            )
            events.append(Event("r", 1, "model.finished", "", 0, "s", path, data=done))
            results = [ChatMessage("tool", "12 m", tool_call_id=c.id) for c in said.tool_calls]
            messages = (*messages, said, *results)
        yield RecordedModel.of(events)


class TestChat(ModelConformance):
    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        async with serving(talk) as url:
            yield ChatModel("m", url)


class TestChatStreamed(ModelConformance):
    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        async with serving(talk) as url:
            yield ChatModel("m", url, stream=True)


class TestRetryingFallback(ModelConformance):
    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        broken = ScriptedModel(lambda request: ModelError("always broken"))
        async with serving(talk) as url:
            yield Fallback([broken, RetryingModel(ChatModel("m", url), Retry(attempts=2, first=0.001))])


# Importing litellm takes seconds, and its streams warn.
VENDOR = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]


class Litellm(ModelConformance):
    route = "openai"
    stream = False

    @asynccontextmanager
    async def speaking(self, talk: Talk) -> AsyncGenerator[Model]:
        async with serving(talk) as url:
            yield LitellmModel(f"{self.route}/m", api_base=url, stream=self.stream)

    async def test_it_can_be_cancelled_and_asked_again(self) -> None:
        """Cancelled once the request is out: before that, litellm leaves a coroutine behind that warns later."""
        async with ChatServer(["Noon."], faults=["hang"]) as server:
            model = LitellmModel(f"{self.route}/m", api_base=server.url, stream=self.stream)
            task = asyncio.create_task(model.answer(ASKED, Watch()))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await model.answer(ASKED, Watch())).content == "Noon."


class TestLitellm(Litellm):
    pytestmark = VENDOR


class TestLitellmVllm(Litellm):
    pytestmark = VENDOR
    route = "hosted_vllm"


class TestLitellmStreamed(Litellm):
    pytestmark = VENDOR
    stream = True
