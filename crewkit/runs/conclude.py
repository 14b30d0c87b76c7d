"""How a run ended: its status, its report, its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crewkit.agents.output import WrongAnswer
from crewkit.coordinator.schedule import Outcome
from crewkit.core.text import sentence
from crewkit.crew.crew import Crew
from crewkit.crew.result import Report, Result, Status
from crewkit.errors import Denied, LimitExceeded, ReplayError
from crewkit.execution.given_up import undo_run
from crewkit.execution.session import Session
from crewkit.execution.walk import Walk
from crewkit.journal.run import Run
from crewkit.journal.waiting import Waiting

Data = dict[str, Any]


async def conclude(
    crew: Crew,
    run: Run,
    walk: Walk,
    session: Session,
    outcomes: Mapping[str, Outcome],
    used: Data,
    given_up: Data | None = None,
) -> Result:
    """Record how this turn at the run ended, and return its result."""
    report = Report(
        tuple(name for name, o in outcomes.items() if o.status == "completed"),
        {name: o.why for name, o in outcomes.items() if o.status == "failed"},
        {name: o.why for name, o in outcomes.items() if o.status in ("skipped", "stopped")},
        {name: o.why for name, o in outcomes.items() if o.status == "waiting"},
        {name: o.why for name, o in outcomes.items() if o.status == "completed" and o.why},
    )
    waiting = [outcome for outcome in outcomes.values() if outcome.status == "waiting"]
    until = min((outcome.until for outcome in waiting if outcome.until), default="")
    waits = tuple(dict.fromkeys(id for outcome in waiting for id in outcome.waits))
    approvals = tuple(dict.fromkeys(id for outcome in outcomes.values() for id in outcome.approvals))
    status, why = _status(crew, outcomes, session, walk.refused)
    if given_up is not None:
        status, why = given_up["status"], given_up["why"]
    undone = None
    if given_up is not None or status in ("failed", "denied") or (status == "cancelled" and session.undo):
        try:
            undone = await undo_run(walk, status, why)
        except Waiting as waiting:
            status, why = "paused", f"{why} A person must decide about undoing what it did."
            approvals, until = (*approvals, *waiting.approvals), waiting.until
    if undone is not None:
        report = replace(report, undone=undone.undone, left=undone.left)
        why = f"{why} {undone.said()}"
    result = Result(
        run.id, status, why, report, walk.values.outputs(), crew.plan.final, used, approvals, waits, until
    )
    if status == "paused":
        data = {
            "reason": "pause" if session.paused else "approval" if approvals else "wait",
            "why": why,
            **({"by": session.paused} if session.paused else {}),
            "approvals": list(approvals),
            "waits": list(waits),
            "until": until,
            "seen": run.seen,
            "seconds": used["seconds"],
        }
    else:
        data = {
            "status": status,
            "why": why,
            "output": crew.plan.output({n: o.output for n, o in outcomes.items() if o.status == "completed"}),
            "report": {
                "completed": list(report.completed),
                "failed": [{"task": name, "error": error} for name, error in report.failed.items()],
                "skipped": [{"task": name, "why": skipped} for name, skipped in report.skipped.items()],
                **(
                    {"capped": [{"task": n, "why": why} for n, why in report.capped.items()]}
                    if report.capped
                    else {}
                ),
                **({} if undone is None else undone.to_data()),
            },
            "usage": used,
        }
    limit = _limit(outcomes, session)
    if limit is not None:
        run.record("limit.exceeded", data={"limit": limit.limit, "level": limit.level, "why": str(limit)})
    run.record("run.paused" if status == "paused" else "run.finished", data=data)
    await run.commit(durable=True)
    return result


def _limit(outcomes: Mapping[str, Outcome], session: Session) -> LimitExceeded | None:
    """Return the cap that kept the run from its end: its own, else that of a task."""
    stopped = (o.error for o in outcomes.values() if o.status == "stopped")
    return session.limit or next((error for error in stopped if isinstance(error, LimitExceeded)), None)


def _status(
    crew: Crew, outcomes: Mapping[str, Outcome], session: Session, refused: Denied | None
) -> tuple[Status, str]:
    done = sum(outcome.status == "completed" for outcome in outcomes.values())
    kept = f"{done} of {len(outcomes)} task{'' if len(outcomes) == 1 else 's'} completed."
    ended = {name: outcomes[name] for name in crew.plan.jobs if name in outcomes}
    short = [name for name, outcome in ended.items() if outcome.status == "completed" and outcome.why]
    maps = [name for name in short if crew.plan.jobs[name].each is not None]
    if capped := [name for name in short if name not in maps]:
        kept += f" Not accepted, but at its cap: {', '.join(capped)}."
    if maps:
        kept += f" Without some of its items: {', '.join(maps)}."
    fatal = [
        (name, outcome)
        for name, outcome in outcomes.items()
        if outcome.status == "failed" and crew.plan.jobs[name].task.on_failure == "fail"
    ]
    if session.cancelled:
        return "cancelled", f"{session.cancelled} {kept}"
    if refused:
        return "denied", f"{sentence(str(refused))} {kept}"
    limit = _limit(outcomes, session)
    if limit and limit is session.limit:
        return "limit", f"A limit was reached: {sentence(str(limit))} {kept}"
    waits = dict.fromkeys(outcome.why for outcome in outcomes.values() if outcome.status == "waiting")
    if waits:
        return "paused", f"{' '.join(waits)} {kept}"
    if limit:
        return "limit", f"A limit was reached: {sentence(str(limit))} {kept}"
    if fatal:
        name, outcome = fatal[0]
        status: Status = "denied" if isinstance(outcome.error, Denied) else "failed"
        return status, f"Task '{name}' failed: {sentence(outcome.why)} {kept}"
    return "completed", kept


def recalled(crew: Crew, run: str, finished: Mapping[str, Data], ended: Data) -> Result:
    """Return the result of a run that has ended, from the journal.

    Args:
        crew: Whose run it is.
        run: Its id.
        finished: What `task.finished` said of each task that is never entered again.
        ended: What `run.finished` said.
    """
    failed = {each["task"]: each["error"] for each in ended["report"]["failed"]}
    skipped = {each["task"]: each["why"] for each in ended["report"]["skipped"]}
    done = [name for name in crew.plan.jobs if finished.get(name, {}).get("status") == "completed"]
    outputs: Data = {}
    for name in done:
        try:
            outputs[name] = crew.plan.jobs[name].output.load(finished[name]["output"])
        except WrongAnswer as error:
            raise ReplayError(
                f"Run {run} is over, but the recorded output of '{name}' is no longer of its type: {error}"
            ) from error
    capped = {each["task"]: each["why"] for each in ended["report"].get("capped", ())}
    report = Report(tuple(ended["report"]["completed"]), failed, skipped, capped=capped)
    return Result(run, ended["status"], ended["why"], report, outputs, crew.plan.final, ended["usage"])
