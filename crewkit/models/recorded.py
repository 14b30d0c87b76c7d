"""A model that answers from the journal of a finished run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.errors import ModelError, ReplayError
from crewkit.models.base import Answer, Request, Usage, Watch, request_fingerprint

COMPARED = 1000
"""Characters compared to find the nearest request."""

SHOWN = 120
"""Characters shown of a message that differs."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as the journal tells of it."""

    path: str
    fingerprint: str
    messages: tuple[ChatMessage, ...]
    max_tokens: object
    temperature: object


class RecordedModel:
    """A model that gives the answers of a finished run again, each to the request it was given to.

    Made by `RecordedModel.of(events)`. Requests are told apart by what they say, not by when they come, so
    branches may run in any order. A request that came several times is answered in the recorded order, and
    with the last answer from then on. Nothing costs; `usage` is as recorded.
    """

    name = "recorded"

    def __init__(self, answers: dict[str, list[Answer | ModelError]], asked: Sequence[_Asked]) -> None:
        self._answers = answers
        self._asked = asked
        self._given: dict[str, int] = {}

    @classmethod
    def of(cls, events: Iterable[Event]) -> RecordedModel:
        """Read a run's events, in their order."""
        events = list(events)
        said = {
            event.data["id"]: ChatMessage.from_data(event.data)
            for event in events
            if event.type == "message.recorded" and "role" in event.data
        }
        sent: dict[str, list[ChatMessage]] = {}
        asked: dict[str, _Asked] = {}
        answers: dict[str, list[Answer | ModelError]] = {}
        for event in events:
            data = event.data
            if event.type == "model.started":
                history = sent.setdefault(_conversation(event.path), [])
                history += [said[id].shown() for id in data.get("messages", {}).get("new", ()) if id in said]
                asked[event.path] = _Asked(
                    event.path,
                    data["fingerprint"],
                    tuple(history),
                    data.get("max_tokens"),
                    data.get("temperature"),
                )
            elif event.type == "model.finished" and "failed" not in data:
                answers.setdefault(data["fingerprint"], []).append(_answer(data, said[data["message"]]))
            elif event.type == "model.finished" and event.path in asked:
                failed = ModelError(f"As recorded: {data['failed'].get('message', '')}")
                answers.setdefault(asked[event.path].fingerprint, []).append(failed)
        return cls(answers, list(asked.values()))

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Give the answer that was recorded for this request.

        Raises:
            ReplayError: There is none; the message says how the nearest recorded request differs.
            ModelError: The recorded request failed.
        """
        key = request_fingerprint(request)
        recorded = self._answers.get(key)
        if not recorded:
            raise ReplayError(self._difference(request))
        place = self._given.get(key, 0)
        self._given[key] = place + 1
        answer = recorded[min(place, len(recorded) - 1)]
        if isinstance(answer, ModelError):
            raise answer
        if answer.content:
            watch.chunk(answer.content)
        return answer

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return 0.0: a recorded answer costs nothing."""
        return 0.0

    def _difference(self, request: Request) -> str:
        nearest = max(
            self._asked, key=lambda asked: _likeness(asked.messages, request.messages), default=None
        )
        if nearest is None:
            return "The recorded run holds no model calls, so there is no answer to replay."
        return f"No recorded request is like this one. The nearest, at '{nearest.path}', {_how(nearest, request)}"


def _answer(data: dict[str, Any], message: ChatMessage) -> Answer:
    usage: dict[str, int] = data.get("usage") or {}
    return Answer(
        content=message.content,
        tool_calls=message.tool_calls,
        usage=Usage(
            usage.get("input_tokens", 0), usage.get("output_tokens", 0), usage.get("cached_tokens", 0)
        ),
        usd=0.0,
        model=data.get("model", ""),
        finish_reason=data.get("finish_reason", "stop"),
    )


def _conversation(path: str) -> str:
    """Return the path without its turn: `draft/2/model` belongs to `draft`."""
    return path.rsplit("/", 2)[0]


def _likeness(recorded: Sequence[ChatMessage], asked: Sequence[ChatMessage]) -> tuple[bool, bool, int, float]:
    """Rank by the same last message of the user, the number of messages, how many are equal, how they sound."""
    was, now = _last_of_user(recorded), _last_of_user(asked)
    equal = sum(one == other for one, other in zip(recorded, asked, strict=False))
    alike = SequenceMatcher(None, was[:COMPARED], now[:COMPARED]).quick_ratio()
    return was == now, len(recorded) == len(asked), equal, alike


def _last_of_user(messages: Sequence[ChatMessage]) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _how(recorded: _Asked, request: Request) -> str:
    for place, (was, now) in enumerate(zip_longest(recorded.messages, request.messages), 1):
        if was != now:
            return f"has message {place} as {_shown(was)}; now it is {_shown(now)}."
    for name, was, now in (
        ("max_tokens", recorded.max_tokens, request.max_tokens),
        ("temperature", recorded.temperature, request.temperature),
    ):
        if was != now:
            return f"has {name} {was}; now it is {now}."
    return "has the same messages: the tools offered or the output schema have changed."


def _shown(message: ChatMessage | None) -> str:
    if message is None:
        return "nothing"
    calls = "".join(f" {call.name}({call.arguments})" for call in message.tool_calls)
    text = (message.content + calls).strip()
    return f"{message.role}: {text if len(text) <= SHOWN else text[:SHOWN] + '…'!r}"
