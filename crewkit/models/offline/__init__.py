"""The offline model: rules instead of a language model, so that a crew runs with no key and no network."""

from __future__ import annotations

import json

from crewkit.core.messages import ToolCall
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.offline.material import Case, read
from crewkit.models.offline.plan import next_calls
from crewkit.models.offline.structure import answer_data
from crewkit.models.offline.text import answer_text
from crewkit.models.tokens import estimate_usage

__all__ = ["OfflineModel"]


class OfflineModel:
    """A deterministic, rule-following stand-in for a language model.

    It sees the request and nothing else. It calls the tools whose arguments it can take from the task, the
    inputs and earlier results, then answers with what those results say: sentences with their sources, or
    values copied into the structure that is asked for. It writes nothing of its own and says so.
    """

    name = "offline"

    def __init__(self, *, effects: bool = False) -> None:
        self._effects = effects
        """Whether tools may be called that do more than read."""

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Call tools while that brings something new, then answer. The same request has the same answer."""
        case = read(request)
        calls = next_calls(case, effects=self._effects) if request.tools else []
        if calls:
            answer = Answer(
                tool_calls=tuple(
                    ToolCall(_call_id(case, i), name, json.dumps(arguments, ensure_ascii=False))
                    for i, (name, arguments) in enumerate(calls)
                ),
                finish_reason="tool_calls",
                model=self.name,
                usd=0.0,
            )
        else:
            text = self._final(case)
            watch.chunk(text)
            answer = Answer(text, model=self.name, usd=0.0)
        usage = estimate_usage(request, answer)
        return Answer(answer.content, answer.tool_calls, usage, 0.0, self.name, answer.finish_reason)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return 0.0: it runs here."""
        return 0.0

    def _final(self, case: Case) -> str:
        if case.request.output_schema is not None:
            return json.dumps(answer_data(case), ensure_ascii=False)
        return answer_text(case, effects=self._effects)


def _call_id(case: Case, position: int) -> str:
    return f"offline-{case.turns + 1}-{position}"
