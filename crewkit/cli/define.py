"""`crewkit new`, `check` and `graph`: crews before they run."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.common import (
    Span,
    complete_run,
    echo_json,
    examples,
    opened_journal,
    say,
    say_spans,
)
from crewkit.cli.text import count
from crewkit.errors import InputError

if TYPE_CHECKING:
    from crewkit.crew.compile import Job
    from crewkit.crew.crew import Crew
    from crewkit.tools.tool import Tool


_FORMS = ("text", "mermaid", "dot", "svg")


@click.command(
    epilog=examples("crewkit new digest", "crewkit new crews/digest.py", "crewkit new digest --yaml")
)
@click.argument("name")
@click.option(
    "--yaml", "as_yaml", is_flag=True, help="Write NAME.yaml, its tools beside it, and a schema for editors."
)
def new(*, name: str, as_yaml: bool) -> None:
    """Write a starter crew file, NAME.py. It runs as it is, without a key.

    A file that is there already is left alone.
    """
    as_yaml = as_yaml or name.endswith((".yaml", ".yml"))
    path = Path(name if name.endswith((".py", ".yaml", ".yml")) else f"{name}{'.yaml' if as_yaml else '.py'}")
    if not re.fullmatch(r"\w[\w -]*", path.stem):
        shown = path.stem if path.suffix else name
        raise InputError(
            f"'{shown}' cannot be a crew's name: use letters, digits, '_' and '-', and begin with a letter."
        )
    if not as_yaml:
        _write({path: _starter("starter.py.txt", path)})
    else:
        from crewkit.files.schema import schema

        tools = path.with_name(f"{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_tools.py")
        if tools.stem[0].isdigit():
            raise InputError(f"'{path.stem}' cannot name a module of tools: begin with a letter.")
        files = {path: _starter("starter.yaml.txt", path), tools: _starter("starter_tools.py.txt", path)}
        editors = path.with_name("crew.schema.json")
        if not editors.exists():
            files[editors] = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
        _write(files)
    say(f'Run it: crewkit run {shlex.quote(str(path))} -i topic="the tides"')


def _starter(template: str, path: Path) -> str:
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    module = f"{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_tools"
    words = {"@NAME@": path.stem, "@FILE@": str(path), "@MODULE@": module, "@SCHEMA@": "crew.schema.json"}
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _write(files: dict[Path, str]) -> None:
    """Write new files, all or none."""
    there = next((path for path in files if path.exists()), None)
    if there:
        raise InputError(f"{there} is there already. Choose another name, or move it away.")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}.") from error
        say_spans([("wrote ", ""), (str(path), "bold")])


@click.command(
    epilog=examples(
        "crewkit check crews/digest.py",
        "crewkit check my_package.crews:nightly --json",
        "crewkit check --schema > crew.schema.json",
    )
)
@click.argument("target", required=False)
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON Schema of crew.yaml, for editors.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def check(*, target: str | None, as_schema: bool, as_json: bool) -> None:
    """Find the mistakes in the crew that TARGET names, without running it, and show what it may do."""
    if as_schema:
        from crewkit.files.schema import schema

        click.echo(json.dumps(schema(), indent=1, ensure_ascii=False))
        return
    if not target:
        raise InputError("Name the crew to check: crewkit check path.py")
    from crewkit.crew.absent import unready
    from crewkit.preview.rule_of_two import rule_of_two

    crew = _loaded(target)
    jobs = list(crew.plan.jobs.values())
    warnings = [warning for job in jobs for warning in _warnings(crew, job)]
    warnings += [*unready(crew.plan), *rule_of_two(crew)]
    if as_json:
        echo_json(_as_data(crew, warnings))
        return
    say_spans([("ok", "green"), (f"  crew '{crew.name}': {count(len(jobs), 'task')}", "bold")])
    for name, given in crew.plan.inputs.items():
        say_spans([(f"  input {name}", ""), (f"  {_input(given)}", "dim")])
    for job in jobs:
        _print_job(crew, job)
    for warning in warnings:
        say_spans([("  note: ", "yellow"), (warning, "")])


@click.command(
    epilog=examples(
        "crewkit graph crews/digest.py",
        "crewkit graph crew.py --format svg > crew.svg",
        "crewkit graph --run @last --format mermaid",
    )
)
@click.argument("target", required=False)
@click.option(
    "--run", "run", default="", metavar="RUN", shell_complete=complete_run, help="Draw a run, with states."
)
@click.option("--format", "form", type=click.Choice(_FORMS), default="text", show_default=True)
def graph(*, target: str | None, run: str, form: str) -> None:
    """Draw the crew that TARGET names, or a run: who does what, and who waits for whom.

    SVG is laid out here: it needs no browser, no network and no Graphviz.
    """
    from crewkit.preview import drawing
    from crewkit.preview.graph import text
    from crewkit.preview.svg import svg

    if bool(target) == bool(run):
        raise InputError("Name a crew (path.py) or a run (--run RUN), one of them.")
    if target:
        plan = _loaded(target).plan
        boxes = drawing.of_plan(plan)
        drawn = text(plan) if form == "text" else ""
    else:
        with opened_journal() as journal:
            boxes = drawing.of_run(journal.events(journal.find(run)))
        drawn = drawing.text(boxes) if form == "text" else ""
    if form == "text":
        say(drawn)
    else:
        click.echo({"mermaid": drawing.mermaid, "dot": drawing.dot, "svg": svg}[form](boxes))


def _loaded(target: str) -> Crew:
    from crewkit.files.load import load

    with redirect_stdout(sys.stderr):
        return load(target, Path.cwd())


# What a crew may do


def _print_job(crew: Crew, job: Job) -> None:
    from crewkit.preview.graph import worker

    needs: list[Span] = [(f"  after {job.after}", "dim")] if job.needs else []
    say_spans([("  task ", ""), (job.name, "bold"), (f"  {worker(job)}", ""), *needs])
    if job.each:
        least = "" if job.task.min_success is None else f", {job.task.min_success:g} have to succeed"
        say(f"    for each of {job.each.says}, {job.task.concurrency} at a time{least}", style="dim")
    if job.when:
        say(f"    when: {job.when.says}", style="dim")
    if job.until:
        say(f"    until: {job.until.says}, {count(job.task.iterations, 'iteration')} at most", style="dim")
    if job.assigned:
        say(f"    assigned: {job.assigned}", style="dim")
    if job.agent is not None:
        say(f"    model: {_model(crew, job)}", style="dim")
    for tool in job.tools:
        asks = _asks(job, tool)
        style = "yellow" if asks else "dim"
        effects = ", ".join(tool.effects) + (", idempotent" if tool.idempotent else "")
        say_spans([(f"    tool {tool.name}", ""), (f"  {effects}", "dim"), (f"  {asks}", style)])
        for line in _narrowed(job, tool):
            say(f"      {line}", style="dim")


def _asks(job: Job, tool: Tool) -> str:
    """Say whether a call is refused or a person is asked first; empty: it is simply allowed."""
    grant = job.scope.grant(tool.name)
    if grant is None:
        return "withheld: the scope does not allow it"
    if not grant.asks(tool):
        return ""
    return "asks a person first" + (" unless told so by the user" if grant.approval == "tainted" else "")


def _narrowed(job: Job, tool: Tool) -> list[str]:
    grant = job.scope.grant(tool.name)
    return grant.narrowed() if grant else []


def _warnings(crew: Crew, job: Job) -> list[str]:
    from crewkit.tools.tool import UNDECLARED

    asked = [tool for tool in job.tools if _asks(job, tool).startswith("asks")]
    found: list[str] = []
    if asked:
        undeclared = [tool.name for tool in asked if tool.effects == UNDECLARED]
        declare = (
            f" If {' and '.join(undeclared)} only reads, say so: @tool(effects='read')." if undeclared else ""
        )
        found.append(
            f"Task '{job.name}' pauses for a person at: {', '.join(tool.name for tool in asked)}.{declare} "
            "To let it be called without asking: Scope(Grant(name, approval='never'))."
        )
    found += [
        f"Task '{job.name}' has the tool '{tool.name}', but a scope withholds it."
        for tool in job.tools
        if _asks(job, tool).startswith("withheld")
    ]
    found += _unusable(crew, job)
    if job.task.human_input:
        found.append(f"Task '{job.name}' pauses for a person to approve its output.")
    return found


def _unusable(crew: Crew, job: Job) -> list[str]:
    """Name the tools that a colleague has and may not use for this task: who asks was not granted them."""
    from crewkit.agents.delegate import ask_colleague

    if job.agent is None or ask_colleague.name not in (tool.name for tool in job.tools):
        return []
    missing = {
        role: [tool.name for tool in agent.tools if job.scope.grant(tool.name) is None]
        for role, agent in crew.plan.agents.items()
        if role != job.agent.role
    }
    return [
        f"Task '{job.name}': {role} may not use {', '.join(tools)} when {job.agent.role} asks, because "
        f"{job.agent.role} may not. Give {job.agent.role} the same tools where it should."
        for role, tools in missing.items()
        if tools
    ]


def _model(crew: Crew, job: Job) -> str:
    from crewkit.models.route import Capable

    given = job.task.model or (job.agent.model if job.agent else None) or crew.model
    if given is None:
        return "from --model or CREWKIT_MODEL, else offline"
    if isinstance(given, str | Capable):
        return str(given)
    several = given if isinstance(given, list | tuple) else [given]
    return ", then ".join(
        each if isinstance(each, str) else str(getattr(each, "name", each)) for each in several
    )


def _input(given: Any) -> str:
    from crewkit.crew.crew import REQUIRED

    default = "required" if given.default is REQUIRED else f"default {given.default!r}"
    return f"{default}  {given.description}".rstrip()


def _as_data(crew: Crew, warnings: list[str]) -> dict[str, Any]:
    from crewkit.crew.crew import REQUIRED
    from crewkit.preview.graph import worker

    return {
        "crew": crew.name,
        "inputs": {
            name: {"description": given.description, "required": given.default is REQUIRED}
            for name, given in crew.plan.inputs.items()
        },
        "tasks": [
            {
                "name": job.name,
                "kind": job.kind,
                "worker": worker(job),
                "needs": list(job.needs),
                "any_of": [list(need.names) for need in job.joins if not isinstance(need, str)],
                "for_each": job.each.says if job.each else None,
                "when": job.when.says if job.when else None,
                "until": job.until.says if job.until else None,
                "iterations": job.task.iterations if job.until else 1,
                "model": _model(crew, job) if job.agent else None,
                "tools": [
                    {
                        "name": tool.name,
                        "effects": list(tool.effects),
                        "idempotent": tool.idempotent,
                        "approval": _asks(job, tool),
                        "narrowed": _narrowed(job, tool),
                    }
                    for tool in job.tools
                ],
            }
            for job in crew.plan.jobs.values()
        ],
        "warnings": warnings,
    }
