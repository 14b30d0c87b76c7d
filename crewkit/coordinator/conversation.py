"""A conversation among several: who speaks next, who may, and when it is over. It knows of no agent and no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

EVERYONE = "everyone"
"""To whom a message goes that all in the thread may read."""
END = "end"
"""Whom one hands over to who ends the conversation."""

SAME = 0.9
"""Share of words from which on a message says the same as another."""

Kind = Literal["message", "failure"]


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    speaker: str
    text: str
    kind: Kind = "message"
    """`failure`: what was handed over is not good enough; the only way back where there are transitions."""
    to: str = EVERYONE
    """Who is addressed: everyone, or one of the members."""
    round: int = 0
    """Counts from 1: a round is one message."""

    @property
    def way(self) -> str:
        """Who says it to whom, as people read it."""
        return f"{self.speaker} → {self.to}"


@dataclass(frozen=True)
class Transitions:
    """Who may hand over to whom: `Transitions({"Writer": ["Reviewer"]}, back={"Reviewer": ["Writer"]})`.

    One who hands over to nobody ends the conversation, as does `"end"`, which may stand among the others.
    """

    onward: Mapping[str, Sequence[str]]
    back: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Where it goes on an explicit failure, and then alone."""

    def after(self, speaker: str, kind: Kind) -> tuple[str, ...]:
        """Return those to whom a member may send a message of this kind."""
        if kind == "failure":
            return tuple(self.back.get(speaker, ()))
        return tuple(self.onward.get(speaker, ())) or (END,)

    def refusal(self, said: Said) -> str:
        """Return why a message may not be sent, with what may; empty where it may."""
        if said.to in self.after(said.speaker, said.kind):
            return ""
        return f"{said.speaker} may not send a {said.kind} to {said.to}. {self.allowed(said.speaker)}"

    def allowed(self, speaker: str) -> str:
        """Say what a member may send, and to whom."""
        onward, back = self.after(speaker, "message"), self.after(speaker, "failure")
        said = f"Allowed for {speaker}: a message to {' or '.join(onward)}"
        return f"{said}, a failure to {' or '.join(back)}." if back else f"{said}."


@dataclass(frozen=True)
class Rules:
    """How a conversation goes."""

    members: tuple[str, ...]
    """In their order. The first begins where there are transitions."""
    transitions: Transitions | None = None
    rounds: float | None = None
    """Messages at most; `None`: no cap."""
    pair: int | None = None
    """Messages between the same two at most."""


@dataclass(frozen=True)
class Ended:
    """How a conversation ended."""

    said: Sequence[Said]
    why: str
    early: bool = False
    """It was cut off: at a cap, or because it went in circles."""
    missing: str = ""
    """What its check said last was still missing."""

    @property
    def open(self) -> str:
        """What was objected to the end, by a member whose last word was a failure or by the check; or nothing."""
        last = {each.speaker: each for each in self.said}
        failures = [f"{each.speaker}: {each.text}" for each in last.values() if each.kind == "failure"]
        return " ".join([*failures, *([self.missing] if self.missing else [])])


Speak = Callable[[str, int, str], Awaitable[Said]]
"""Lets a member speak in a round; the text says what is still missing."""
Choose = Callable[[Sequence[str], int], Awaitable[str]]
"""Chooses who speaks in a round; empty: nobody wants to."""
Content = Callable[[Sequence[Said]], Awaitable[str | None]]
"""Says what is still missing after a message, where anything is known to be; `None`: the conversation may end."""


async def converse(rules: Rules, speak: Speak, choose: Choose, content: Content) -> Ended:
    """Let the members speak, one after the other, until they are done or have to stop.

    What they said so far settles everything but the choices that are put to `choose`, so one that is begun again over
    recorded words comes to the same.
    """
    said: list[Said] = []
    missing = ""
    while True:
        if rules.rounds is not None and len(said) >= rules.rounds:
            return Ended(
                said,
                f"The {rules.rounds:g} rounds of the conversation are used up.",
                early=True,
                missing=missing,
            )
        if why := circling(said):
            return Ended(said, why, early=True, missing=missing)
        candidates = list(next_speakers(rules, said))
        if not candidates:
            return Ended(said, _used_up(rules, said), early=True, missing=missing)
        number = len(said) + 1
        speaker = candidates[0] if rules.transitions else await choose(candidates, number)
        if not speaker:
            return Ended(said, "Nobody had more to say.", missing=missing)
        said.append(await speak(speaker, number, missing))
        if said[-1].to == END:
            return Ended(said, f"{speaker} ended it.", missing=missing)
        found = await content(said)
        if found is None:
            return Ended(said, "It came to what was wanted.")
        missing = found


def next_speakers(rules: Rules, said: Sequence[Said]) -> Sequence[str]:
    """Return who may speak next, the one whose turn it is first; nobody where all caps per pair are reached."""
    if rules.transitions is not None:
        first = [said[-1].to] if said else [rules.members[0]]
        return first if not said or not _closed(rules, said, said[-1].speaker, said[-1].to) else []
    if not said:
        return rules.members
    last = said[-1].speaker
    at = rules.members.index(last) + 1
    order = [*rules.members[at:], *rules.members[: at - 1]]
    return [name for name in order if not _closed(rules, said, last, name)]


def pairs(said: Sequence[Said]) -> Counter[frozenset[str]]:
    """Count the messages between each two: to the one addressed, or else in answer to the one before."""
    counted: Counter[frozenset[str]] = Counter()
    for i, each in enumerate(said):
        other = each.to if each.to not in (EVERYONE, END) else said[i - 1].speaker if i else ""
        if other and other != each.speaker:
            counted[frozenset((each.speaker, other))] += 1
    return counted


def _closed(rules: Rules, said: Sequence[Said], one: str, other: str) -> bool:
    if rules.pair is None:
        return False
    counted = pairs(said)[frozenset((one, other))]
    # Who hands over has said it already: the one it goes to may not answer any more.
    return counted >= rules.pair


def _used_up(rules: Rules, said: Sequence[Said]) -> str:
    last = said[-1]
    between = (
        f"between {last.speaker} and {last.to}" if rules.transitions else f"of {last.speaker} with each other"
    )
    return f"The {rules.pair} messages {between} are used up."


def circling(said: Sequence[Said]) -> str:
    """Return why a conversation leads nowhere: as many messages in a row as it has speakers say nothing new."""
    speakers = list(dict.fromkeys(each.speaker for each in said))
    wanted = max(2, len(speakers))
    stale = 0
    for i in range(len(said) - 1, -1, -1):
        if not any(e.speaker == said[i].speaker and _same(e.text, said[i].text) for e in said[:i]):
            break
        stale += 1
    if stale < wanted:
        return ""
    who = ", ".join(dict.fromkeys(each.speaker for each in said[-stale:]))
    return f"It went in circles: the last {stale} messages, of {who}, say what they had said before."


def _same(one: str, other: str) -> bool:
    """Say whether two texts have nearly all words in common. Figures are words: another figure is something new."""
    first, second = (set(re.findall(r"\w+", text.casefold())) for text in (one, other))
    differ = first ^ second
    if any(any(letter.isdigit() for letter in word) for word in differ):
        return False
    return len(first & second) >= SAME * len(first | second)
