"""Noticing that an agent goes round in a circle: the same calls again and again, and nothing new in their results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from crewkit.core.messages import canonical
from crewkit.errors import RunError

LONGEST_CYCLE = 4
"""Turns in the longest cycle that is looked for."""
PATIENCE = 3
"""Rounds of a cycle after which the model is told; one more ends the task."""
PATIENCE_WITH_EFFECTS = 6
"""The same where something in it has an effect that counts each time: the same answer says little about those."""


@dataclass(frozen=True, slots=True)
class Called:
    """One call of a turn, and what came of it."""

    tool: str
    arguments: str
    """As the model wrote them."""
    result: str
    """As the model was shown it."""
    effect: bool = False
    """It ran, and running it again may change something again."""

    def signature(self) -> tuple[str, str, str]:
        """Return what makes it the same call with the same result."""
        try:
            arguments = canonical(json.loads(self.arguments or "{}"))
        except (ValueError, RecursionError):
            arguments = self.arguments
        return self.tool, arguments, self.result

    def __str__(self) -> str:
        arguments = self.arguments if len(self.arguments) <= 120 else f"{self.arguments[:119]}…"
        return f"{self.tool}({arguments})"


Turn = tuple[tuple[str, str, str], ...]


class Repetition:
    """Watches the turns of one conversation. What it says follows from them alone, so a resume hears the same."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._effects: list[bool] = []
        self._told: set[frozenset[Turn]] = set()

    def add(self, calls: Sequence[Called]) -> str:
        """Take note of the calls of one turn; return what the model has to be told, once per cycle.

        Raises:
            RunError: It was told, and went on all the same.
        """
        self._turns.append(tuple(sorted(call.signature() for call in calls)))
        self._effects.append(any(call.effect for call in calls))
        for length in range(1, LONGEST_CYCLE + 1):
            rounds = self._rounds(length)
            patience = PATIENCE_WITH_EFFECTS if any(self._effects[-length:]) else PATIENCE
            if rounds < patience:
                continue
            cycle = frozenset(self._turns[-length:])
            if cycle not in self._told:
                self._told.add(cycle)
                return _told(self._shown(calls, length), rounds)
            raise RunError(
                f"It repeated itself without learning anything new, and went on after it was told: "
                f"{self._shown(calls, length)}, {rounds} times with the same result."
            )
        return ""

    def _rounds(self, length: int) -> int:
        """Count how many times the last turns were the same ones."""
        last, rounds = self._turns[-length:], 1
        while self._turns[-length * (rounds + 1) : -length * rounds] == last:
            rounds += 1
        return rounds

    def _shown(self, calls: Sequence[Called], length: int) -> str:
        if length == 1:
            return " and ".join(map(str, calls[:5]))
        names = [
            " and ".join(f"{tool}({arguments[:80]})" for tool, arguments, _ in turn[:5])
            for turn in self._turns[-length:]
        ]
        return ", then ".join(names)


def _told(calls: str, rounds: int) -> str:
    return (
        f"You are going round in a circle: {calls}, {rounds} times, and the results were the same each time. Calling "
        "this again brings nothing new, and once more ends your task. Do something else, or give your best answer with "
        "what you have and say in it what is missing."
    )
