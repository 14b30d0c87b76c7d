"""What a step costs early and late in a conversation of 10,000 messages, and what is sent in it.

Run it with `python tests/bench/window.py`.
"""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median

from measure import home

from crewkit import Agent, Crew, Limits, Task, Window, tool
from crewkit.models.base import Request
from crewkit.testing import ScriptedModel, call
from crews import options

TURNS = 5_000
"""Two messages each."""
FREE = Limits(tokens=None, steps=None, seconds=None)
SPANS = {100: range(40, 60), 1_000: range(450, 550), 10_000: range(4_900, 5_000)}
"""Messages to the turns whose median stands for one."""


@tool(effects="read")
def look(place: int) -> str:
    """Look at a place."""
    return f"Place {place} has door {place * 7919 % 10_007}, and nothing else of note."


def main() -> None:
    marks: list[float] = []
    sent: list[tuple[int, int]] = []

    def say(request: Request):
        marks.append(time.process_time())
        sent.append((len(request.messages), sum(len(m.content) for m in request.messages)))
        turn = request.turn or 0
        if turn == TURNS - 1:
            return call("look_back", query="door of place 1234")
        if turn >= TURNS:
            found.append("Place 1234 has door" in request.messages[-1].content)
        return call("look", place=turn) if turn < TURNS else "Done."

    found: list[bool] = []
    agent = Agent("Walker", "Look.", tools=[look], model=ScriptedModel(say), window=Window(), limits=FREE)
    crew = Crew([Task("walk", "Look everywhere.", agent=agent, limits=FREE)], limits=FREE)
    with home() as folder:
        assert crew.run_sync({}, options(folder)).ok
    spent = [later - earlier for earlier, later in pairwise(marks)]
    print(f"{'messages':>10}{'CPU a step':>14}{'sent':>10}{'characters':>12}")
    for messages, span in SPANS.items():
        cost = 1000 * median(spent[turn] for turn in span)
        count, size = sent[span[-1]]
        print(f"{messages:>10,}{cost:>11.2f} ms{count:>10,}{size:>12,}")
    print(f"most sent: {max(n for n, _ in sent):,} messages, {max(size for _, size in sent):,} characters")
    print(f"what was said 7,500 messages ago is found by look_back: {all(found) and bool(found)}")


if __name__ == "__main__":
    main()
