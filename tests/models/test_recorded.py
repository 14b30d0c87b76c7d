from dataclasses import replace
from typing import Any

import pytest

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.errors import ModelError, ReplayError
from crewkit.models.base import Answer, Request, Usage, Watch, request_fingerprint
from crewkit.models.recorded import RecordedModel
from crewkit.models.scripted import ScriptedModel, call

SYSTEM = ChatMessage("system", "You are terse.")


def asking(text: str) -> Request:
    return Request((SYSTEM, ChatMessage("user", text)))


class Tape:
    """Writes events as a run does: messages once, each request with its new messages only."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, type: str, path: str, data: dict[str, Any]) -> None:
        self.events.append(Event("r-1", len(self.events) + 1, type, "", 0.0, "s", path, data=data))

    async def run(self, model: ScriptedModel, task: str, request: Request) -> Answer:
        seen = 0
        for turn in range(1, 10):
            path = f"{task}/{turn}/model"
            for message in request.messages[seen:]:
                self.add("message.recorded", path, {"id": message.id(), **message.to_data()})
            new = [message.id() for message in request.messages[seen:]]
            seen = len(request.messages)
            key = request_fingerprint(request)
            asked = {
                "model": model.name,
                "fingerprint": key,
                "messages": {"new": new, "count": seen},
                "max_tokens": request.max_tokens,
                "temperature": request.temperature,
            }
            self.add("model.started", path, asked)
            try:
                answer = await model.answer(request, Watch())
            except ModelError as error:
                self.add("model.finished", path, {"failed": {"type": "ModelError", "message": str(error)}})
                raise
            message = answer.message()
            done = {
                "model": answer.model,
                "message": message.id(),
                "finish_reason": answer.finish_reason,
                "usage": {
                    "input_tokens": answer.usage.input_tokens,
                    "output_tokens": answer.usage.output_tokens,
                },
                "usd": 0.25,
                "fingerprint": key,
            }
            self.add("model.finished", path, done)
            self.add("message.recorded", path, {"id": message.id(), **message.to_data()})
            if not answer.tool_calls:
                return answer
            results = [ChatMessage("tool", "12 m", tool_call_id=c.id) for c in answer.tool_calls]
            request = replace(request, messages=(*request.messages, message, *results))
        raise AssertionError


async def test_a_finished_run_is_answered_again_in_any_order():
    script = lambda request: (  # noqa: E731
        call("search", query=request.messages[1].content)
        if len(request.messages) == 2
        else f"Answer to {request.messages[1].content}"
    )
    tape, again = Tape(), Tape()
    for task in ("a", "b"):
        await tape.run(ScriptedModel(script), task, asking(task))
    model = RecordedModel.of(tape.events)
    heard: list[str] = []
    for task in ("b", "a"):
        answer = await again.run(model, task, asking(task))  # type: ignore[arg-type]
        assert answer.content == f"Answer to {task}"
        assert answer.usage == Usage(*_usage(tape, f"{task}/2/model"))
        assert answer.usd == 0.0
    await model.answer(_last_request(asking("a")), Watch(chunk=heard.append))
    assert heard == ["Answer to a"]


def _usage(tape: Tape, path: str) -> list[int]:
    done = next(e for e in tape.events if e.type == "model.finished" and e.path == path)
    return list(done.data["usage"].values())


def _last_request(request: Request) -> Request:
    called = Answer(tool_calls=(replace(call("search", query="a"), id="call-0-0"),)).message()
    return replace(
        request, messages=(*request.messages, called, ChatMessage("tool", "12 m", tool_call_id="call-0-0"))
    )


async def test_the_same_request_twice_is_answered_in_the_recorded_order():
    tape, said = Tape(), iter(["first", "second"])
    model = ScriptedModel(lambda request: next(said))
    for task in ("a", "b"):
        await tape.run(model, task, asking("the same"))
    recorded = RecordedModel.of(tape.events)
    assert [(await recorded.answer(asking("the same"), Watch())).content for _ in range(3)] == [
        "first",
        "second",
        "second",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            asking("How low is the tide?"),
            "has message 2 as user: 'How high is the tide?'; now it is user: 'How low",
        ),
        (replace(asking("How high is the tide?"), max_tokens=7), "has max_tokens 4096; now it is 7."),
        (replace(asking("How high is the tide?"), temperature=0.5), "has temperature None; now it is 0.5."),
        (
            replace(asking("How high is the tide?"), output_schema={}),
            "the tools offered or the output schema",
        ),
        (Request((SYSTEM,)), "; now it is nothing."),
    ],
)
async def test_a_request_that_was_not_recorded_is_told_apart_from_the_nearest(changed: Request, said: str):
    tape = Tape()
    await tape.run(ScriptedModel(["Noon."]), "other", asking("Is this another long question?"))
    await tape.run(ScriptedModel(["Noon."]), "tide", asking("How high is the tide?"))
    with pytest.raises(ReplayError) as caught:
        await RecordedModel.of(tape.events).answer(changed, Watch())
    assert said in str(caught.value)


async def test_a_recorded_failure_fails_again_and_is_not_retried():
    tape = Tape()
    with pytest.raises(ModelError):
        await tape.run(ScriptedModel([ModelError("busy", retryable=True)]), "a", asking("tide"))
    with pytest.raises(ModelError, match="As recorded: busy") as caught:
        await RecordedModel.of(tape.events).answer(asking("tide"), Watch())
    assert not caught.value.retryable


async def test_a_run_without_model_calls_says_so():
    with pytest.raises(ReplayError, match="holds no model calls"):
        await RecordedModel.of([]).answer(asking("tide"), Watch())
