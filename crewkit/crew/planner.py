"""A planning coordinator: a model proposes the tasks, and who does them; the proposal is checked before it counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from types import NoneType
from typing import Any, Literal

from crewkit.agents.agent import Agent
from crewkit.coordinator.graph import topological
from crewkit.errors import DefinitionError, did_you_mean, expect

Data = dict[str, Any]

PLANNING = Agent(
    "Planner",
    "Split work into the fewest tasks that do it well, and give each to the agent who fits it best.",
)
"""Who plans where nobody is named."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, eq=False)
class Planner:
    """Does a task by a plan that a model makes: `Task("launch", "Launch it.", do=Planner([researcher, writer]))`.

    The task's description is the goal. What the model proposes is checked (known agents and tools, no circle, within
    the caps) and goes back to it with what is wrong; then the tasks are done, each by its agent. Results come from the
    reports of those agents and from nowhere else.
    """

    agents: Sequence[Agent]
    """Who can be given tasks."""
    _: KW_ONLY
    agent: Agent | None = None
    """Who plans. `None`: the crew's model, as a planner without tools."""
    tasks: int = 8
    """Tasks in one plan at most."""
    replans: int = 1
    """How often a new plan is made at most after a task failed. What is done by then is kept."""
    approval: bool | str = False
    """A person approves each plan before anything of it is done; a text is the question they are asked."""

    def __post_init__(self) -> None:
        agents = [self.agents] if isinstance(self.agents, Agent) else self.agents
        expect("Planner", "agents", agents, Iterable, "a list: Planner([researcher, writer])")
        object.__setattr__(self, "agents", tuple(agents))
        expect("Planner", "agent", self.agent, (Agent, NoneType), "an agent: agent=manager")
        expect("Planner", "approval", self.approval, (bool, str), "True, False or a question")
        if not self.agents or not all(isinstance(each, Agent) for each in self.agents):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                "Planner() has nobody to give tasks to. Name its agents: Planner([researcher, writer])."
            )
        roles = [each.role for each in self.agents]
        for role in roles:
            if roles.count(role) > 1:
                raise DefinitionError(f"Planner of {', '.join(roles)}: '{role}' is in it twice.")
        if type(self.tasks) is not int or self.tasks < 1:
            raise DefinitionError(
                f"Planner of {', '.join(roles)}: tasks={self.tasks!r} is not a number, 1 at least."
            )
        if type(self.replans) is not int or self.replans < 0:
            raise DefinitionError(
                f"Planner of {', '.join(roles)}: replans={self.replans!r} is not a number. Write 0 for none."
            )

    @property
    def who(self) -> Agent:
        """Who plans."""
        return self.agent or PLANNING

    @property
    def question(self) -> str:
        """What a person is asked about a plan; empty where nobody is."""
        return (
            self.approval
            if isinstance(self.approval, str)
            else "May this plan be done?"
            if self.approval
            else ""
        )

    @property
    def says(self) -> str:
        """What it may do, as people read it."""
        again = f", {self.replans} new plan{'' if self.replans == 1 else 's'} at most after a failure"
        roles = ", ".join(agent.role for agent in self.agents)
        return f"up to {self.tasks} tasks that a model plans, for {roles}{again if self.replans else ''}"


# Proposals


def proposal_form(planner: Planner) -> Any:
    """Return the type of a plan as a model proposes it."""
    from pydantic import ConfigDict, Field, create_model

    closed = ConfigDict(extra="forbid")
    roles = tuple(agent.role for agent in planner.agents)
    task: Any = {
        "name": (str, Field(description="Letters, digits, _ and -.")),
        "description": (
            str,
            Field(description="What is to be done, with all that the agent has to know for it."),
        ),
        "expected_output": (str, ""),
        "agent": (Literal[roles], ...),
        "needs": (list[str], Field(description="Names of the tasks whose results it builds on.")),
        "tools": (
            list[str] | None,
            Field(None, description="The tools that it may use; null: all of its agent's."),
        ),
    }
    each = create_model("PlannedTask", __config__=closed, **task)
    fields: Any = {"tasks": (list[each], Field(min_length=1))}  # pyright: ignore[reportInvalidTypeForm]
    return create_model("Proposal", __config__=closed, **fields)


def check_of(
    planner: Planner, kept: Collection[str], taken: Collection[str], room: float | None
) -> Callable[[Any], str | None]:
    """Return the check of a proposal, in the words of a tool's answer to the model.

    Args:
        planner: Whose proposal it is.
        kept: The results that there are already.
        taken: Names that no task may have.
        room: Tokens that are left; `None`: no cap.
    """

    def plan(proposal: Any) -> str | None:
        problems = list(_problems(planner, proposal.model_dump(mode="json")["tasks"], kept, taken, room))
        return "\n".join(f"- {each}" for each in problems) or None

    return plan


def _problems(
    planner: Planner, tasks: Sequence[Data], kept: Collection[str], taken: Collection[str], room: float | None
) -> Sequence[str]:
    names = [task["name"] for task in tasks]
    agents = {agent.role: agent for agent in planner.agents}
    found: list[str] = []
    if len(tasks) > planner.tasks:
        found.append(f"These are {len(tasks)} tasks; {planner.tasks} is the most. Put some together.")
    for task in tasks:
        name = task["name"]
        if not _NAME.fullmatch(name):
            found.append(f"'{name}' is no name: letters, digits, '_' and '-', beginning with a letter.")
        if names.count(name) > 1 or name in taken or name in kept:
            found.append(f"The name '{name}' is taken. Give each task one of its own.")
        if not task["description"].strip():
            found.append(f"'{name}' has no description. Say what is to be done.")
        known = [*(other for other in names if other != name), *kept]
        found += [
            f"'{name}' needs '{need}', which is neither a task of the plan nor a result that there is."
            f"{did_you_mean(need, known)} There are: {', '.join(known) or 'none'}."
            for need in task["needs"]
            if need not in known
        ]
        tools = [tool.name for tool in agents[task["agent"]].tools]
        found += [
            f"'{name}': {task['agent']} does not have the tool '{tool}'. It has: {', '.join(tools) or 'none'}."
            for tool in task["tools"] or ()
            if tool not in tools
        ]
    if found:
        return list(dict.fromkeys(found))
    needed = {need for task in tasks for need in task["needs"]}
    last = [name for name in names if name not in needed]
    try:
        topological({task["name"]: tuple(n for n in task["needs"] if n in names) for task in tasks})
    except DefinitionError as error:
        return [str(error)]
    if len(last) > 1:
        found.append(
            f"{' and '.join(last)} all stand at the end. Let one last task make the whole result: it needs them."
        )
    wanted = sum(agents[task["agent"]].max_tokens for task in tasks)
    if room is not None and wanted > room:
        found.append(
            f"The answers alone may take {wanted:,} tokens, and {room:,.0f} are left. Plan fewer tasks."
        )
    return found


def draft(planner: Planner, goal: str, expected: str) -> list[Data]:
    """Return a plan made by rule, for the model to start from: every agent once, one after the other."""
    tasks: list[Data] = []
    for agent in planner.agents[: planner.tasks]:
        name = re.sub(r"[^a-z0-9]+", "_", agent.role.lower()).strip("_") or "task"
        name = name if name[0].isalpha() else f"task_{name}"
        while any(task["name"] == name for task in tasks):
            name += "_2"
        tasks.append(
            {
                "name": name,
                "description": f"{agent.goal.strip()} This is for: {goal.strip()}",
                "expected_output": "What the next task builds on.",
                "agent": agent.role,
                "needs": [task["name"] for task in tasks[-1:]],
                "tools": [tool.name for tool in agent.tools],
            }
        )
    tasks[-1]["expected_output"] = expected.strip() or "The whole result."
    return tasks


def about_agents(planner: Planner, fill: Callable[[str], str]) -> str:
    """Say whom tasks can be given to."""
    lines: list[str] = []
    for agent in planner.agents:
        tools = ", ".join(tool.name for tool in agent.tools)
        lines.append(
            f"- {agent.role}: {fill(agent.goal).strip()} {f'Tools: {tools}.' if tools else 'No tools.'}"
        )
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return a model's text so that nothing in it counts as a placeholder."""
    return re.sub(r"\{+([A-Za-z_][A-Za-z0-9_]*)\}+", lambda m: "{{" + m[1] + "}}", text)


def told_results(kept: Mapping[str, str], failed: Mapping[str, str]) -> str:
    """Say what became of the plan before, for the next one."""
    parts = ["## What became of the plan before"]
    parts += [f"- '{name}' is done; its result can be built on by this name." for name in kept]
    parts += [f"- '{name}' failed: {why}" for name, why in failed.items()]
    parts.append("Plan what is left to do. Go another way where one failed.")
    return "\n".join(parts)
