"""How much of a conversation a model is sent, and when the oldest of it is summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crewkit.core.messages import ChatMessage
from crewkit.errors import DefinitionError, expect
from crewkit.models.route import ModelSpec, check_model

HEAD = 2
"""The system prompt and the assignment, which are never summarised."""
ROOM = 0.75
"""Share of the allowance that is used after a summary, where the allowance was the reason for it."""


@dataclass(frozen=True)
class Window:
    """How much of a conversation a model is sent. What is older stands in a running summary.

    The system prompt, the task, pinned facts, what people decided and open questions are never summarised away. A
    call and its result stay together.
    """

    messages: int = 200
    """Messages at most."""
    tokens: int = 100_000
    """Tokens at most, by the model's own tokenizer where the window is nearly full; less where the model takes less."""
    every: int = 12
    """Messages that are summarised at a time, the oldest: 10 to 15 is a good number."""
    model: ModelSpec = None
    """A cheap model that writes the summaries. `None`: sentences are taken from the messages, without any model."""

    def __post_init__(self) -> None:
        check_model(self.model, "Window")
        for name in ("messages", "tokens", "every"):
            value = getattr(self, name)
            expect("Window", name, value, int, "a number")
            if value < 1:
                raise DefinitionError(f"Window({name}={value}): give a number above 0.")
        if self.messages < self.every + HEAD:
            raise DefinitionError(
                f"Window(messages={self.messages}, every={self.every}): there must be room for what is not summarised. "
                f"Give {self.every + HEAD} messages or more."
            )

    def surplus(self, messages: Sequence[ChatMessage], sizes: Sequence[int], allowance: int) -> int:
        """Return how many messages after the head are to be summarised, whole turns of them; never the newest turn.

        Args:
            messages: All, the head first.
            sizes: Their tokens.
            allowance: Tokens that they may have together.
        """
        total = sum(sizes)
        crowded = total > allowance
        if len(messages) <= self.messages and not crowded:
            return 0
        most = int(allowance * ROOM) if crowded else allowance
        opens = [i for i in range(HEAD, len(messages)) if messages[i].role != "tool"]
        newest = max((i for i in opens if messages[i].role == "assistant"), default=HEAD)
        cut = HEAD
        for start in opens:
            total -= sum(sizes[cut:start])
            cut = start
            if start == newest or (
                len(messages) - start + HEAD <= self.messages - self.every and total <= most
            ):
                break
        return cut - HEAD
