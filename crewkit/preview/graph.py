"""Drawings of a crew: who waits for whom."""

from __future__ import annotations

from crewkit.crew.compile import Job, Plan
from crewkit.crew.conversation import Conversation
from crewkit.crew.crew import Crew
from crewkit.crew.planner import Planner
from crewkit.crew.resolve import Resolve
from crewkit.crew.routes import told


def text(plan: Plan) -> str:
    """Draw a crew as text: a line for each task, in an order in which they could run, below what it waits for.

    Tasks at one depth stand in one column: they can run side by side.
    """
    return "\n".join(_text(plan, ""))


def depths(plan: Plan) -> dict[str, int]:
    """Return how many tasks have to be done one after the other before each: 0 for those that start at once."""
    found: dict[str, int] = {}
    for name, job in plan.jobs.items():
        found[name] = 1 + max((found[need] for need in job.needs), default=-1)
    return found


def worker(job: Job) -> str:
    """Say who does a task: an agent's role, a function, a crew."""
    if job.agent is not None:
        return job.agent.role
    if isinstance(job.task.do, Crew):
        return f"crew {job.task.do.name}"
    if isinstance(job.task.do, Conversation):
        return f"conversation of {job.task.do.says}"
    if isinstance(job.task.do, Planner):
        return job.task.do.says
    if isinstance(job.task.do, Resolve):
        return f"one of them counts: {job.task.do.says}"
    if job.kind == "wait":
        wanted = job.task.wait_for
        if isinstance(wanted, str):
            return f"waits for event {wanted}"
        return f"waits until {getattr(wanted, '__name__', wanted)}{'()' if callable(wanted) else ''}"
    function = getattr(job.task.do, "function", job.task.do)
    return f"{getattr(function, '__name__', 'function')}()"


def conditions(job: Job) -> list[str]:
    """Say for what and when a task is done, which others it chooses, and until when it is done again."""
    each = [f"for each of {job.each.says}"] if job.each else []
    when = [f"when {job.when.says}"] if job.when else []
    chooses = [f"chooses {'; '.join(told(job.task.routes))}"] if job.task.routes else []
    until = [f"until {job.until.says} ({job.task.iterations} times at most)"] if job.until else []
    return [*each, *when, *chooses, *until]


def ways(job: Job) -> list[str]:
    """Say who hands over to whom in a conversation, where a graph says so."""
    conversation = job.task.do
    graph = conversation.transitions if isinstance(conversation, Conversation) else None
    if graph is None:
        return []
    onward = [f"{name} → {' or '.join(others)}" for name, others in graph.onward.items()]
    return [*onward, *(f"{name} → {' or '.join(others)} on a failure" for name, others in graph.back.items())]


def _text(plan: Plan, indent: str) -> list[str]:
    depth = depths(plan)
    order = sorted(plan.jobs, key=lambda name: depth[name])
    widest = max(len(name) + 2 * depth[name] for name in order)
    lines: list[str] = []
    for name in order:
        job = plan.jobs[name]
        mark = "└ " if job.needs else ""
        head = f"{'  ' * max(depth[name] - 1, 0)}{mark}{name}"
        after = f"  after {job.after}" if job.needs else ""
        after += "".join(f"  {line}" for line in conditions(job))
        lines.append(f"{indent}{head:{widest}}  {worker(job)}{after}")
        if isinstance(job.task.do, Crew):
            lines += _text(job.task.do.plan, indent + "  " * depth[name] + "  | ")
    return lines
