"""A journal on which several processes carry one run on: leases of tasks, takeover, late ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crewkit.core.events import Draft
from crewkit.errors import JournalError, ReplayError, RunBusy
from crewkit.journal.ask import Question, ask
from crewkit.journal.base import Lease, Write
from crewkit.journal.postgres import PostgresJournal
from crewkit.journal.run import Run
from crewkit.journal.waiting import UnknownOutcome, Waiting
from crewkit.journal.writer import Writer
from crewkit.testing.journal import note, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Open = Callable[..., PostgresJournal]


@pytest.fixture
def opened(postgres_url: str) -> Iterator[Open]:
    journals: list[PostgresJournal] = []

    def open_one(*, worker: bool = False) -> PostgresJournal:
        journals.append(PostgresJournal(postgres_url, worker=worker))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened: Open) -> PostgresJournal:
    """Has the run r-1, begun and running."""
    journal = opened(worker=True)
    lease = journal.begin("r-1", "crew", "s-coordinator")
    journal.append([Write("r-1", [started()], lease.epoch)])
    return journal


def begun(path: str = "draft/1/tool:0", seg: str = "s-1", attempt: int = 1) -> Draft:
    data = {"tool": "send", "fingerprint": "f"}
    return Draft("tool.started", path, data, "draft", attempt=attempt, seg=seg)


def ended(path: str = "draft/1/tool:0", seg: str = "s-1", attempt: int = 1, **data: Any) -> Draft:
    data = {"tool": "send", "outcome": "ok", "output": "sent", "fingerprint": "f"} | data
    return Draft("tool.finished", path, data, "draft", attempt=attempt, seg=seg)


def write(lease: Lease, *drafts: Draft) -> Write:
    return Write(lease.run, drafts, lease.epoch, task=lease.task)


def test_tasks_of_one_run_are_in_several_hands(journal: PostgresJournal, opened: Open):
    one, two = opened(), opened()
    draft, check = one.take("r-1", "s-1", task="draft"), two.take("r-1", "s-2", task="check")
    one.append([write(draft, note("a"))])
    two.append([write(check, note("b"))])
    assert [e.data["text"] for e in journal.events("r-1", types=("note",))] == ["a", "b"]
    with pytest.raises(RunBusy, match=f"Task r-1/draft is in the hands of pid {os.getpid()}"):
        two.take("r-1", "s-2", task="draft")
    one.release(draft)
    assert two.take("r-1", "s-2", task="draft").epoch == 2
    assert journal.lasts(["r-1", "r-none"]) == {"r-1": 3}


def test_a_run_is_taken_whole_only_where_nobody_has_a_task_of_it(journal: PostgresJournal, opened: Open):
    journal.release(Lease("r-1", 1, "s-coordinator"))
    worker, person = opened(worker=True), opened()
    old = worker.take("r-1", "s-1", task="draft")
    with pytest.raises(RunBusy, match="Task r-1/draft is in the hands of"):
        person.take("r-1", "s-2")
    shared = person.take("r-1", "s-2", shared=True)
    worker.append([write(old, note("still mine"))])
    person.release(shared)
    worker.release(old)
    whole = person.take("r-1", "s-2")
    with pytest.raises(JournalError, match="Task r-1/draft was taken over"):
        worker.append([write(old, note("stale"))])
    person.append([write(whole, note("mine now"))])


def test_nothing_of_a_task_is_recorded_when_the_run_is_over(journal: PostgresJournal, opened: Open):
    worker = opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    journal.append([Write("r-1", [Draft("run.finished", data={"status": "cancelled"})], 1)])
    with pytest.raises(JournalError, match="Run r-1 is cancelled"):
        worker.append([write(lease, note("too late"))])
    assert [event.type for event in journal.events("r-1")] == ["run.started", "run.finished"]


def test_a_worker_that_stopped_answering_loses_what_it_has(journal: PostgresJournal, opened: Open):
    worker, other = opened(worker=True), opened(worker=True)
    draft = worker.take("r-1", "s-1", task="draft")
    check = worker.take("r-1", "s-1", task="check")
    assert other.expel("r-1", "draft")
    mine = other.take("r-1", "s-2", task="draft")
    assert mine.epoch == 3
    with pytest.raises(JournalError, match="taken over"):
        worker.append([write(draft, note("stale"))])
    # It woke up, and nobody took this meanwhile.
    worker.append([write(check, note("still mine"))])
    with pytest.raises(RunBusy):
        other.take("r-1", "s-2", task="check")


def test_a_person_does_not_lose_a_run_to_a_worker(opened: Open):
    person, worker = opened(), opened(worker=True)
    lease = person.begin("r-1", "crew", "s-1")
    assert not worker.expel("r-1")
    person.append([Write("r-1", [started()], lease.epoch)])


def test_a_stopped_process_in_the_middle_of_a_transaction_is_expelled(
    journal: PostgresJournal, opened: Open, postgres_url: str
):
    """It holds the run's row: whoever appends to the run would wait for it."""
    other = opened(worker=True)
    pid = os.fork()
    if not pid:
        zombie = PostgresJournal(postgres_url, worker=True)
        zombie.take("r-1", "s-1", task="draft")
        zombie._writer.run(
            lambda db: (
                db.execute("BEGIN"),
                db.execute("SELECT 1 FROM runs WHERE run = 'r-1' FOR UPDATE"),
                os.kill(os.getpid(), signal.SIGSTOP),
            )
        )
        os._exit(0)
    try:
        os.waitpid(pid, os.WUNTRACED)
        assert other.expel("r-1", "draft")
        lease = other.take("r-1", "s-2", task="draft")
        other.append([write(lease, note("on"))])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_how_a_call_ended_is_told_by_who_lost_the_task(journal: PostgresJournal, opened: Open):
    worker, other = opened(worker=True), opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    worker.append([write(lease, begun())])
    other.expel("r-1", "draft")
    other.take("r-1", "s-2", task="draft")
    said = Draft("message.recorded", "draft/1/tool:0", {"id": "m", "role": "tool"}, "draft", seg="s-1")
    for _ in range(2):
        with pytest.raises(JournalError, match="taken over"):
            worker.append([write(lease, note("stale"), said, ended(), begun("draft/2/tool:0"))])
    late = [(e.type, e.data.get("late", False)) for e in journal.events("r-1", after=2)]
    assert late == [("message.recorded", True), ("tool.finished", True), ("run.signal", False)]


@pytest.mark.parametrize(
    "end", [ended(seg="s-other"), ended(attempt=2), ended("draft/9/tool:0"), ended(failed={}, lost=True)]
)
def test_only_the_end_of_a_call_of_its_own_is_told_late(journal: PostgresJournal, opened: Open, end: Draft):
    worker, other = opened(worker=True), opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    worker.append([write(lease, begun())])
    other.expel("r-1", "draft")
    with pytest.raises(JournalError, match="taken over"):
        worker.append([write(lease, end)])
    assert journal.last("r-1") == 2


# What a successor makes of it


async def successor(journal: PostgresJournal) -> tuple[Run, Writer]:
    writer = Writer(journal)
    lease = journal.take("r-1", "s-2", task="draft")
    return Run(writer, lease, history=journal.events("r-1")), writer


async def send(run: Run) -> Any:
    async def do(_attempt: int) -> dict[str, Any]:
        return {"output": "sent again", "fingerprint": "f"}

    intent = {"tool": "send", "fingerprint": "f"}
    return await run.step("draft/1/tool:0", "tool", intent, do, task="draft", repeatable=False)


async def test_a_late_end_settles_what_nobody_has_decided(journal: PostgresJournal, opened: Open):
    worker, other = opened(worker=True), opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    worker.append([write(lease, begun())])
    other.expel("r-1", "draft")
    run, writer = await successor(other)
    with pytest.raises(UnknownOutcome):
        await send(run)
    with pytest.raises(Waiting):
        await ask(run, Question("draft/1/tool:0", "unknown", "Again?", "draft", "", attempt=2))
    await run.commit()
    with pytest.raises(JournalError):
        worker.append([write(lease, ended())])
    await run.look()
    assert run.arrived.is_set()
    assert (await send(run))["output"] == "sent"
    writer.close()
    other.release(Lease("r-1", run._lease.epoch, "s-2", "draft"))
    again, writer = await successor(other)
    assert (await send(again))["output"] == "sent"
    writer.close()


async def test_a_late_end_is_evidence_where_a_person_has_decided(journal: PostgresJournal, opened: Open):
    worker, other = opened(worker=True), opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    worker.append([write(lease, begun())])
    other.expel("r-1", "draft")
    run, writer = await successor(other)
    with pytest.raises(Waiting) as waiting:
        await ask(run, Question("draft/1/tool:0", "unknown", "Again?", "draft", "", attempt=2))
    await run.commit()
    (id,) = waiting.value.approvals
    decided = Draft("approval.decided", "draft/1/tool:0/ask", {"id": id, "decision": "deny"}, key=f"d:{id}")
    journal.append([Write("r-1", [decided], None)])
    with pytest.raises(JournalError):
        worker.append([write(lease, ended())])
    await run.look()
    with pytest.raises(UnknownOutcome):
        await send(run)
    writer.close()


async def test_who_has_a_task_records_nothing_of_another(journal: PostgresJournal, opened: Open):
    worker = opened(worker=True)
    writer = Writer(worker)
    run = Run(writer, worker.take("r-1", "s-1", task="outer#2/inner"), history=journal.events("r-1"))
    run.record("task.started", "outer", task="outer")
    run.record("note", "outer#2/inner", task="outer#2/inner")
    with pytest.raises(
        ReplayError, match=r"task outer#2/inner: task.started at beside is another's to record"
    ):
        run.record("task.started", "beside", task="beside")
    await run.commit()
    writer.close()
    assert [event.path for event in journal.events("r-1", after=1)] == ["outer#2/inner"]


async def test_whoever_waits_for_a_task_is_told_how_it_ended(journal: PostgresJournal, opened: Open):
    worker = opened(worker=True)
    writer = Writer(journal)
    run = Run(writer, Lease("r-1", 1, "s-coordinator"), history=journal.events("r-1"))
    future = run.expect("draft")
    lease = worker.take("r-1", "s-1", task="draft")
    done = Draft(
        "task.finished", "draft", {"status": "completed", "final": True, "output": 7}, "draft", seg="s-1"
    )
    worker.append([write(lease, done)])
    assert not future.done()
    await run.look()
    assert (await future)["output"] == 7
    assert run.finished["draft"]["output"] == 7
    assert not run.arrived.is_set()
    writer.close()


async def test_of_two_executors_of_an_effect_one_acts_whatever_became_of_leases(
    journal: PostgresJournal, opened: Open
):
    worker = opened(worker=True)
    lease = worker.take("r-1", "s-1", task="draft")
    writers = [Writer(worker), Writer(worker)]
    runs = [Run(writer, lease, history=list(worker.events("r-1"))) for writer in writers]
    outcomes = await asyncio.gather(*(send(run) for run in runs), return_exceptions=True)
    for writer in writers:
        writer.close()
    assert {type(outcome) for outcome in outcomes} == {dict, UnknownOutcome}
    assert [event.type for event in journal.events("r-1", after=1)] == ["tool.started", "tool.finished"]
