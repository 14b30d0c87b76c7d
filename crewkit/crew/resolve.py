"""Results that contradict each other, and the rules by which one of them counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crewkit.agents.agent import Agent
from crewkit.core.verdict import Ask
from crewkit.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from crewkit.crew.task import Task

About = str | Callable[[Any], Any] | None


@dataclass(frozen=True, init=False)
class Priority:
    """A rule: the first of these tasks that has a result is believed. `Priority(filing, press)`."""

    tasks: tuple[str, ...]

    def __init__(self, *tasks: Task[Any] | str) -> None:
        object.__setattr__(self, "tasks", tuple(t if isinstance(t, str) else t.name for t in tasks))


Rule = Literal["first", "vote"] | Priority | Agent | Ask
"""`first`: the first in the order of `needs`. `vote`: what most say; it leaves a tie to the next rule. `Priority`: who
is believed before whom. An agent: a judge, who may choose among the results and make none. `Ask`: a person chooses."""


@dataclass(frozen=True, init=False)
class Resolve:
    """Does a task whose needs say the same thing, or contradict each other: one of their results counts.

    `Task("revenue", needs=[filing, press], do=Resolve("vote", editor, Ask("Which figure is right?")))`. Where all
    agree, that is the result. Otherwise the rules are asked in order until one decides, and the record
    (`conflict.resolved`) says who said what, which rule decided, and why.
    """

    rules: tuple[Rule, ...]
    about: About
    """What has to be the same: a field (`"amount"`, `"money.amount"`), or a function of a result. `None`: all of it."""

    def __init__(self, *rules: Rule, about: About = None) -> None:
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "about", about)
        if not rules:
            raise DefinitionError(
                "Resolve() has no rule. Say who decides: Resolve('vote', Ask('Which one?'))."
            )
        for rule in rules:
            if not isinstance(rule, Priority | Agent | Ask) and rule not in ("first", "vote"):
                raise DefinitionError(
                    f"Resolve({rule!r:.60}): a rule is 'first', 'vote', Priority(task, …), an agent who judges, or "
                    "Ask('…') for a person."
                )
        if sum(isinstance(rule, Agent) for rule in rules) > 1:
            raise DefinitionError("Resolve() has two judges. Keep one: its word decides.")
        if about is not None and not isinstance(about, str) and not callable(about):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"Resolve(about={about!r:.60}) is neither the name of a field nor a function."
            )

    @property
    def judge(self) -> Agent | None:
        """The agent among the rules."""
        return next((rule for rule in self.rules if isinstance(rule, Agent)), None)

    @property
    def says(self) -> str:
        """The rules as people read them."""
        return ", then ".join(said(rule) for rule in self.rules)

    def check(self, where: str, needs: Sequence[str]) -> None:
        """Refuse a task that has nothing to choose from, and ranks of what it does not need.

        Raises:
            DefinitionError: As said.
        """
        if len(needs) < 2:
            raise DefinitionError(
                f"{where} resolves a conflict, and needs {len(needs)} task. Name those whose results may contradict "
                "each other: needs=[filing, press]."
            )
        for rule in self.rules:
            for name in rule.tasks if isinstance(rule, Priority) else ():
                if name not in needs:
                    raise DefinitionError(
                        f"{where}: Priority names '{name}', which it does not need.{did_you_mean(name, needs)} It "
                        f"needs: {', '.join(needs)}."
                    )


@dataclass(frozen=True)
class Party:
    """One of the results."""

    task: str
    agent: str
    """Who made it."""
    value: Any
    """What was compared."""
    output: Any
    """The whole result."""


@dataclass(frozen=True)
class Resolution:
    """How a conflict was resolved. With `output_type=Resolution` it is what the task returns."""

    chosen: str
    """The task whose result counts."""
    output: Any
    """That result."""
    agreed: bool
    """All said the same, so no rule was asked."""
    rule: str
    """The rule that decided; empty where none had to."""
    why: str
    parties: list[Party]


def said(rule: Rule) -> str:
    """Say a rule as people read it."""
    match rule:
        case Priority():
            return f"priority {' > '.join(rule.tasks)}"
        case Agent():
            return f"judge {rule.role}"
        case Ask():
            return "a person"
        case _:
            return rule
