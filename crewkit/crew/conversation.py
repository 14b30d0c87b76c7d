"""A conversation: several agents, and functions, who do a task together by speaking to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from crewkit.agents.agent import Agent
from crewkit.coordinator.conversation import END, EVERYONE, Transitions
from crewkit.core.limits import Limits
from crewkit.core.messages import COORDINATOR
from crewkit.errors import DefinitionError, did_you_mean, expect
from crewkit.tools.tool import Tool

Member = Agent | Tool | Callable[..., Any]
"""An agent, or a function. Its parameters are filled by name from the inputs, what the task needs, and `said` (all
that it may read, a list of `Said`) and `text` (the newest of that). It returns what it says; `None`, `True` or
`Allow()` where it has nothing to object; `Revise(…)` or `False` for a failure; `Ask(…)` has a person say whether it is
one; `Deny(…)` gives the conversation up."""

Speaker = Literal["in turn", "by hand"] | Agent | Transitions
"""`in turn`: round robin. `by hand`: all are asked, and whoever has most to say speaks. An agent: a moderator who
chooses among the members. `Transitions`: each hands over to those that the graph allows."""

Enough = Callable[..., Any]
"""Looks at what was said (a list of `Said`) as a guardrail does, after each message: `None`, `True` or `Allow()` ends
the conversation, a sentence says what is still missing. Further parameters are filled by name."""

SAID, TEXT = "#said", "#text"
"""What fills the parameters `said` and `text` of a function that is a member."""

_TAKEN = (EVERYONE, END, COORDINATOR, "nobody")


@dataclass(frozen=True, eq=False)
class Conversation:
    """Does a task by a conversation: `Task("plan", "…", do=Conversation([editor, critic], closing=editor))`."""

    members: Sequence[Member]
    _: KW_ONLY
    speaker: Speaker = "in turn"
    rounds: int | None = None
    """Messages at most. `None`: as many as `Limits(rounds=…)` of the task or crew say, 8 by default."""
    pair: int | None = None
    """Messages between the same two at most."""
    direct: bool = False
    """Each message is for one member, or for everyone, as the speaker says, and nobody else reads it. Otherwise
    everyone reads everything."""
    until: Enough | None = None
    """Ends it when there is enough."""
    closing: Agent | None = None
    """Who writes the result from what was said. `None`: the last message is the result, and where the conversation was
    cut off, what each member said for a last time."""

    def __post_init__(self) -> None:
        members = [self.members] if isinstance(self.members, Agent) else self.members
        expect("Conversation", "members", members, Iterable, "a list: Conversation([writer, critic])")
        object.__setattr__(self, "members", tuple(members))
        names = self.names
        where = f"Conversation of {', '.join(names)}"
        if len(names) < 2:
            raise DefinitionError(f"{where}: it takes two at least.")
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"{where}: '{name}' is in it twice.")
            if name in _TAKEN or "/" in name or "#" in name:
                raise DefinitionError(f"{where}: a member cannot be called '{name}' here. Rename it.")
        expect(where, "direct", self.direct, bool, "True or False")
        for field in ("rounds", "pair"):
            cap = getattr(self, field)
            if cap is not None and (type(cap) is not int or cap < 1):
                raise DefinitionError(f"{where}: {field}={cap!r} is not a number of messages, 1 at least.")
        if not isinstance(self.speaker, Agent | Transitions) and self.speaker not in ("in turn", "by hand"):
            raise DefinitionError(
                f"{where}: speaker={self.speaker!r:.60} is not 'in turn', 'by hand', an agent who chooses, or "
                "Transitions({…})."
            )
        if self.closing is not None and not isinstance(self.closing, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"{where}: closing={self.closing!r:.60} is not an agent.")
        if self.speaker == "by hand" and not any(isinstance(each, Agent) for each in self.members):
            raise DefinitionError(f"{where}: only agents raise their hands. Write speaker='in turn'.")
        if isinstance(self.speaker, Transitions):
            self._check(self.speaker, where)

    def _check(self, transitions: Transitions, where: str) -> None:
        names = self.names
        for graph, known in ((transitions.onward, (*names, END)), (transitions.back, names)):
            if not isinstance(graph, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(
                    f"{where}: its transitions are {graph!r:.60}; write {{'{names[0]}': […]}}."
                )
            for name, others in graph.items():
                if isinstance(others, str):
                    raise DefinitionError(f"{where}: its transitions of '{name}' are no list: ['{others}'].")
                if name not in names:
                    raise DefinitionError(
                        f"{where}: its transitions name '{name}', which is none of them.{did_you_mean(name, names)}"
                    )
                for each in others:
                    if each == name:
                        raise DefinitionError(f"{where}: in its transitions {name} hands over to itself.")
                    if each not in known:
                        raise DefinitionError(
                            f"{where}: in its transitions {name} hands over to '{each}', which is none of "
                            f"{', '.join(known)}.{did_you_mean(each, known)}"
                        )
        reached = [names[0]]
        for name in reached:
            after = (*transitions.after(name, "message"), *transitions.after(name, "failure"))
            reached += [each for each in after if each not in reached and each != END]
        if lost := [name for name in names if name not in reached]:
            raise DefinitionError(
                f"{where}: nobody hands over to '{lost[0]}', so it never speaks. {names[0]} begins: it stands first."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The members by name: an agent's role, a function's name."""
        return tuple(name_of(member) for member in self.members)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """All agents in it: members, who chooses the speaker, who writes the result."""
        others = (self.speaker, self.closing)
        found = [each for each in (*self.members, *others) if isinstance(each, Agent)]
        return tuple({id(agent): agent for agent in found}.values())

    @property
    def transitions(self) -> Transitions | None:
        """The graph of who hands over to whom, where there is one."""
        return self.speaker if isinstance(self.speaker, Transitions) else None

    @property
    def says(self) -> str:
        """How it goes, as people read it."""
        match self.speaker:
            case Agent():
                how = f"{self.speaker.role} chooses who speaks"
            case Transitions():
                how = "by transitions"
            case _:
                how = self.speaker
        most = f", {self.rounds} messages at most" if self.rounds else ""
        return f"{', '.join(self.names)} ({how}{most})"


def name_of(member: Member) -> str:
    """Return a member's name."""
    if isinstance(member, Agent):
        return member.role
    return member.name if isinstance(member, Tool) else getattr(member, "__name__", type(member).__name__)


def rounds_of(conversation: Conversation, *limits: Limits) -> float | None:
    """Return how many messages a conversation has at most: the least that anyone says, else the default, given last."""
    *explicit, default = limits
    said = [conversation.rounds, *(each.cap("rounds") for each in explicit)]
    known = [cap for cap in said if cap is not None]
    return min(known) if known else default.cap("rounds")
