"""`crewkit plan`: what a run would come to, before it runs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import click

from crewkit.cli.common import Span, echo_json, examples, say, say_spans
from crewkit.cli.text import count, number

_CAPS = ("tokens", "usd", "seconds", "steps")


@click.command(
    epilog=examples(
        "crewkit plan crews/digest.py",
        "crewkit plan crew.py --model anthropic/claude-sonnet-4-5 --json",
    )
)
@click.argument("target")
@click.option("--model", default="", metavar="NAME", help="Reckon with this model for whoever has none.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def plan(*, target: str, model: str, as_json: bool) -> None:
    """Say what a run of the crew that TARGET names can come to, without asking a model.

    In which order, what runs side by side, how many calls and tokens and how much money at most, what its
    tools may do, where a person is asked, and what looks wrong.
    """
    from crewkit.core.environ import environment
    from crewkit.files.load import load
    from crewkit.notify.places import shown
    from crewkit.preview.forecast import Ahead, forecast

    with redirect_stdout(sys.stderr):
        crew = load(target, Path.cwd())
    ahead = forecast(crew, model or None)
    if as_json:
        echo_json(asdict(ahead))
        return
    say(
        f"crew '{crew.name}': {count(len(crew.plan.jobs), 'task')}, {ahead.widest} at a time at most",
        style="bold",
    )
    say(f"  longest chain  {' → '.join(ahead.longest)}", style="dim")

    def row(task: Ahead) -> None:
        indent = "  " * task.path.count("/")
        after = f"  after {task.after}" if task.after else ""
        each = f"  for each of {task.each}" if task.each else ""
        times = f"{each}  up to {task.iterations} times" if task.iterations > 1 else each
        head: list[Span] = [(f"  {indent}{task.step + 1}. ", "dim"), (task.path, "bold")]
        say_spans([*head, (f"  {task.worker}{times}", ""), (after, "dim")])
        for condition in task.conditions:
            say(f"     {indent}{condition}", style="dim")
        if task.model:
            one = ", for one item" if task.each else ""
            cost = _cost(task.calls, task.answer_tokens, task.usd)
            say(f"     {indent}{task.model}: {cost}{one}", style="dim")
        if task.effects:
            say(f"     {indent}may {', '.join(task.effects)}", style="yellow")
        for tool, lines in task.narrowed.items():
            say(f"     {indent}{tool}: {'; '.join(lines)}", style="dim")
        for asked in task.people:
            say(f"     {indent}asks a person {asked}", style="yellow")

    begins = {task.path: task.step for task in ahead.tasks}
    for task in sorted(ahead.tasks, key=lambda task: begins[task.path.partition("/")[0]]):
        row(task)  # those of a crew in a task below it
    if told := shown(crew.notify, environment()):
        say(f"  people are told by  {', '.join(told)}", style="dim")
    if any(task.model for task in ahead.tasks):
        worst = _cost(ahead.worst["calls"], ahead.worst["answer_tokens"], ahead.worst["usd"])
        say(f"  all of it  {worst}", style="dim")
    kept = {name: cap for name, cap in ahead.caps.items() if cap is not None and name in _CAPS}
    caps = " or ".join(f"{cap:,g} {name}" for name, cap in kept.items())
    say(f"  the run ends at  {caps or 'no cap'}", style="dim")
    for note in ahead.notes:
        say_spans([("  note: ", "yellow"), (note, "")])


def _cost(calls: float | None, tokens: float | None, usd: float | None) -> str:
    """Say what model calls can come to."""
    said = "no cap on calls" if calls is None else f"{count(int(calls), 'call')} at most"
    said += "" if tokens is None else f", answers of {number(int(tokens))} tokens"
    return said + ("" if usd is None else f", {usd:.2f} usd")
