"""A run that branches off another: it shares what happened before a place, and goes on from there by itself."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from crewkit.agents.output import as_json
from crewkit.core.events import Event, defined
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.crew.compile import Job, Plan
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Result
from crewkit.errors import InputError
from crewkit.journal.base import Lease
from crewkit.journal.decide import who
from crewkit.journal.forget import standing
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run, new_run_id
from crewkit.models.base import Model
from crewkit.runs.changes import dependents, find, settle
from crewkit.runs.history import beginning, capped
from crewkit.runs.opened import Opened
from crewkit.runs.planned import planned_after
from crewkit.runs.prepare import check_inputs
from crewkit.runs.run import Turn, carry_on, models_for, told
from crewkit.runs.stay import stay

Data = dict[str, Any]


async def fork(
    crew: Crew,
    name: str,
    at: str,
    inputs: Mapping[str, Any] | None = None,
    edit: str = "",
    options: Options | None = None,
) -> Result:
    """Fork a run and carry the fork on; see `Crew.fork`."""
    options = options or Options()
    async with Opened(options) as opened:
        made = await _make(crew, name, at, inputs or {}, edit, opened, options)
        history = await opened.call(lambda: list(opened.journal.events(made.lease.run)))
        beginning(made.lease.run, history)  # also refuses what cannot be read to its end
        history.append(made.branch)
        run = opened.run(made.lease, history)
        await made.record(run)
        turn = Turn(crew, run, made.inputs, made.models, opened, made.options, history)
        result = await carry_on(turn)
    return await stay(crew, result, options)


async def fork_only(
    crew: Crew, name: str, at: str, inputs: Mapping[str, Any], edit: str, options: Options
) -> str:
    """Fork a run, leave it for a resume, and return its id."""
    async with Opened(options) as opened:
        made = await _make(crew, name, at, inputs, edit, opened, options)
        run = opened.run(made.lease, [*made.before, made.branch])
        await made.record(run)
        await run.commit(durable=True)
        return made.lease.run


_TELLING = (
    *("run.started", "run.forked", "run.resumed", "task.started", "task.finished", "iteration.finished"),
    *(
        "model.started",
        "model.finished",
        "tool.checked",
        "tool.started",
        "approval.requested",
        "approval.decided",
    ),
    *(
        "guardrail.checked",
        "condition.checked",
        "inbox.read",
        "wait.started",
        "wait.finished",
        "plan.proposed",
        "undo.started",
    ),
)
"""Types of events that tell where a run can be forked, and what that means: half of all, without the long ones."""


@dataclass(frozen=True)
class _Made:
    """A fork that has its place in the journal, and no event yet."""

    lease: Lease
    branch: Event
    """The event by which it forgets, as its own history will have it."""
    data: Data
    inputs: Data
    models: Mapping[str, Model]
    options: Options
    step: _Step | None
    said: ChatMessage
    before: Sequence[Event]
    """What was recorded at the step that is edited."""

    async def record(self, run: Run) -> None:
        """Record how the fork branched off, and what was said instead, together or not at all."""
        run.record("run.forked", data=self.data)
        if self.step is not None:
            await _put(run, self.step, self.said)


async def _make(
    crew: Crew, name: str, at: str, inputs: Mapping[str, Any], edit: str, opened: Opened, options: Options
) -> _Made:
    """Settle where the fork branches off and what that means; make it in the journal."""
    origin = await opened.call(opened.journal.find, name)
    last: int = await opened.call(opened.journal.last, origin)
    history: list[Event] = await opened.call(lambda: list(opened.journal.events(origin, types=_TELLING)))
    history = [event for event in history if event.seq <= last]
    begun = beginning(origin, history)
    if begun["crew"] != crew.name:
        raise InputError(f"Run {origin} is a run of '{begun['crew']}', not of '{crew.name}'.")
    if any(event.type == "undo.started" and event.data.get("scope") == "run" for event in history):
        raise InputError(
            f"Run {origin} was given up and undone: what it did does not stand. Start a new run."
        )
    given = check_inputs(crew, {**begun["inputs"], **inputs})
    kept = {name: as_json(value, f"Input '{name}'") for name, value in given.items()}
    changed = {name for name, value in kept.items() if value != begun["inputs"].get(name)}
    counted = standing(history).events
    place = _place(origin, crew.plan, counted, at) if at else ""
    if edit and not place:
        raise InputError("Which message is edited? Name the step of the model: --from TASK/TURN/model.")
    said = message(edit)
    step = _said(origin, counted, place) if edit else None
    place = step.path if step else place
    marks = [place, *dependents(crew.plan, place), *planned_after(counted, place)] if place else []
    entered: dict[str, dict[str, None]] = {}
    for event in counted if changed else ():
        entered.setdefault(defined(event.task), {})[event.task] = None
    for seeing in _seeing(crew.plan, changed):
        for path in entered.get(seeing, (seeing,)):  # in a map, one for each item
            marks += [path, *dependents(crew.plan, path)]
    if not marks:
        raise InputError(_nowhere(inputs, changed))
    settled = settle(
        origin,
        crew.plan,
        begun["definitions"],
        history,
        options.changed,
        forgets=list(dict.fromkeys(marks)),
        may_repeat=options.repeat_effects,
    )
    options = replace(options, limits=options.limits.over(capped(history)))
    specs, models = await models_for(crew, begun, opened, options, settled, everywhere=True)
    lease = await opened.fork(origin, last, options.run_id or new_run_id(), crew.name)
    kept = Redactor.from_environ(options.environ).data(kept)
    data = {
        "origin": origin,
        "at": [place] if place else [f"{name}=…" for name in sorted(changed)],
        "by": who(),
        **told(crew, specs, models, options, settled, whole=True),
        "inputs": kept,
        "edits": [
            *(f"input {name}" for name in sorted(changed)),
            *([f"what was said at {place}"] if step else []),
        ],
        "target": options.target or begun.get("target"),
        "cwd": str(Path.cwd()) if options.target else begun.get("cwd"),
    }
    at_once = options.clock.monotonic()
    forgets = {"forgets": list(settled.forgets)}
    branch = Event(lease.run, last + 1, "run.forked", "", at_once, lease.seg, data=forgets)
    before = [event for event in history if step and event.path == step.path]
    return _Made(lease, branch, data, check_inputs(crew, kept), models, options, step, said, before)


# Where


def _nowhere(inputs: Mapping[str, Any], changed: Collection[str]) -> str:
    """Say why there is nothing to do again."""
    names = " and ".join(f"'{name}'" for name in inputs)
    if changed:
        said = f"No task sees {' or '.join(repr(name) for name in sorted(changed))}."
    else:
        said = f"In the run {names} is the same." if names else ""
    return (
        f"{said} Where does the fork branch off? Name a task, a turn or a step (--from draft/2), or an input that "
        "something depends on (--set name=value)."
    ).strip()


def _place(origin: str, plan: Plan, counted: Sequence[Event], at: str) -> str:
    """Return the path that is meant; refuse one at which nothing is."""
    path = at.strip().strip("/").removesuffix("/when").removesuffix("/0")
    paths = list(dict.fromkeys(event.path for event in counted if event.path and " " not in event.path))
    known = path if any(p == path or p.startswith(f"{path}/") for p in paths) else ""
    job = find(plan, path)
    if job is not None and (known or not {"#", "["} & set(path)):
        return path
    if known:
        task = next(e.task for e in counted if e.path == path or e.path.startswith(f"{path}/"))
        if find(plan, task) is None:
            raise InputError(
                f"The crew has no task '{defined(task)}' any more, so run {origin} cannot go on at {at}."
            )
        return path
    raise InputError(f"Run {origin} has nothing at '{at}'.{_near(path, paths, plan)}")


def _near(path: str, paths: Sequence[str], plan: Plan) -> str:
    """Say what there is near a path."""
    outer = path
    while outer and not any(p.startswith(f"{outer}/") for p in paths):
        outer = outer.rpartition("/")[0]
    below = [p for p in paths if outer and p.startswith(f"{outer}/")] or [*plan.jobs, *paths]
    near = difflib.get_close_matches(path, below, n=1, cutoff=0.6)
    steps = [p for p in dict.fromkeys([*near, *below]) if not p.endswith("/0")][:12]
    said = f" Did you mean '{near[0]}'?" if near else ""
    return f"{said} There are: {', '.join(steps)}{', …' if len(below) > len(steps) else ''}."


def _seeing(plan: Plan, changed: set[str], prefix: str = "") -> Iterator[str]:
    """Yield the paths of the tasks that see one of these inputs, by their definition.

    An agent is told all inputs of its crew. A function sees those that fill its parameters, and all of them through
    its context; a condition, those that it names; a crew in a task, those that fill its own.
    """
    if not changed:
        return
    for name, job in plan.jobs.items():
        path = f"{prefix}{name}"
        if _sees(job, changed):
            yield path
        elif isinstance(job.task.do, Crew):
            inner = {own for own, source in job.arguments.items() if source in changed}
            yield from _seeing(job.task.do.plan, inner, f"{path}/")


def _sees(job: Job, changed: set[str]) -> bool:
    if job.each is not None and job.each.source in changed:
        return True
    checks = [check for check in (job.when, job.until) if check is not None]
    if any(source in changed or not source for check in checks for source in check.sources.values()):
        return True
    if job.kind == "crew":
        return False
    told = job.kind in ("agent", "conversation", "plan", "conflict")
    return told or any(source in changed or not source for source in job.arguments.values())


# Editing


@dataclass(frozen=True, slots=True)
class _Step:
    """A model step whose answer is replaced."""

    path: str
    task: str
    agent: str
    intent: Data


def message(text: str) -> ChatMessage:
    """Read what an agent is to have said: a text, or a JSON object with `tool_calls` and, if it likes, `content`.

    Raises:
        InputError: The calls are not written as [{"name": …, "arguments": {…}}].
    """
    try:
        given: Any = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict) or "tool_calls" not in given:
        return ChatMessage("assistant", text)
    data = cast("Data", given)
    calls: list[ToolCall] = []
    wanted: Any = data["tool_calls"]
    listed = cast("list[Any]", wanted) if isinstance(wanted, list) else [wanted]
    for i, each in enumerate(listed):
        call = cast("Data", each) if isinstance(each, dict) else {}
        name, arguments = call.get("name"), call.get("arguments", {})
        if not isinstance(name, str):
            raise InputError(
                'The tool_calls of an edited message are a list: {"tool_calls": [{"name": "search", "arguments": '
                '{"query": "tides"}}], "content": "…"}.'
            )
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append(ToolCall(str(call.get("id") or f"edited-{i}"), name, written))
    return ChatMessage("assistant", str(data.get("content") or ""), tuple(calls))


def _said(origin: str, counted: Sequence[Event], place: str) -> _Step:
    """Return the model step at a place, which has to have an answer."""
    path = place if place.endswith("/model") else f"{place}/model"
    answered = any(e.type == "model.finished" and e.path == path and "failed" not in e.data for e in counted)
    begun = next((e for e in reversed(counted) if e.type == "model.started" and e.path == path), None)
    if begun is None or not answered:
        steps = list(
            dict.fromkeys(e.path for e in counted if e.type == "model.finished" and "message" in e.data)
        )
        raise InputError(
            f"Nobody said anything at '{path}' in run {origin}. What was said can be edited at: "
            f"{', '.join(steps[:12])}."
        )
    return _Step(path, begun.task, begun.agent, begun.data)


async def _put(run: Run, step: _Step, said: ChatMessage) -> None:
    """Record an edited answer in the place of what was said."""
    redact = run.redactor.text
    calls = tuple(ToolCall(redact(c.id), redact(c.name), redact(c.arguments)) for c in said.tool_calls)
    answer = ChatMessage("assistant", redact(said.content), calls)
    intent = {**step.intent, "reserved": {"tokens": 0, "usd": 0.0}}

    async def do(_attempt: int) -> Data:
        return {
            "model": "edited",
            "message": run.say(answer, step.path, task=step.task, agent=step.agent),
            "finish_reason": "tool_calls" if calls else "stop",
            "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0},
            "usd": 0.0,
            "seconds": 0.0,
            "fingerprint": intent["fingerprint"],
            "edited_by": who(),
        }

    await run.step(step.path, "model", intent, do, task=step.task, agent=step.agent)
