"""A run in the hands of the process that carries it on: record, commit, step."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from crewkit.core.clock import Clock, SystemClock, timestamp
from crewkit.core.events import Draft, Event, defined
from crewkit.core.messages import ChatMessage, fingerprint
from crewkit.errors import Denied, JournalError, ReplayError
from crewkit.journal.base import Lease, Write
from crewkit.journal.forget import standing
from crewkit.journal.held import Held
from crewkit.journal.redact import Redactor
from crewkit.journal.waiting import LostOutcome, UnknownOutcome, Waiting
from crewkit.journal.writer import Writer

_log = logging.getLogger(__name__)

GATHERING = 0.002
"""Seconds for which events are gathered into one transaction, where nothing waits for them."""

SLOW = 10.0
_TOLD = ("approval.decided", "run.signal")
"""What other processes append to a run that is in this one's hands."""

_OUTCOMES = ("task.finished", "task.left")
"""What tells whoever waits for a task that another process does."""

Data = dict[str, Any]
Listener = Callable[[Event], None]


def new_run_id() -> str:
    """Return a fresh run id: `r-` and eight letters and digits without look-alikes."""
    return "r-" + "".join(secrets.choice("23456789abcdefghjkmnpqrstuvwxyz") for _ in range(8))


class Run:
    """One run's journal, open for appending, with what it holds of the unfinished tasks indexed by path.

    Not a place for state: what is not in the journal is lost with the process. All methods belong to the event
    loop's thread; the disk is touched in the writer's.

    Args:
        writer: Makes the calls to the journal.
        lease: The right to carry this run on.
        redactor: Takes secrets out of what is recorded.
        clock: Tells the time.
        history: The events so far, those shared with other runs too.
        forgets: Paths from which on the history is forgotten now; whoever opens the run records it.
        held: Takes in the history; a replay believes less of it.
        slow: Seconds after which whoever listens is told that the journal does not answer.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        *,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        history: Iterable[Event] = (),
        forgets: Sequence[str] = (),
        held: Held | None = None,
        slow: float = SLOW,
    ) -> None:
        self.id = lease.run
        self.seg = lease.seg
        self.clock = clock or SystemClock()
        self.redactor = redactor or Redactor()
        self.listeners: list[Listener] = []
        """Called with every event once it is on disk, and with streamed text (`seq` 0) as it comes."""
        self.arrived = asyncio.Event()
        """Set when another process appended a decision or a signal. Whoever waits on it clears it."""
        self.wake = ""
        """RFC 3339: from then on something that waits can go on, and `arrived` is set."""
        self.held = ""
        """Why no step begins any more."""
        self.deadlines: dict[str, float] = {}
        """Task, by its place in the definition, to the seconds that it and what is in it wait at most."""
        self._held = held or Held(self.id)
        self.finished = self._held.finished
        self.counted = self._held.counted
        self.outside = self._held.outside
        self._writer = writer
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._buffer: list[Draft] = []
        self._timer: asyncio.TimerHandle | None = None
        self._broken: JournalError | None = None
        self._slow = slow
        self._is_slow = False
        self._expected: dict[str, asyncio.Future[Data]] = {}
        self.seen = 0
        """`seq` of the newest thing that another process told and that is known here.

        Not that of the newest event: a crash of the server may take those that are not synced yet, and give their
        `seq` to others. What is told is synced.
        """
        stands = standing(history, forgets)
        self._forgotten = stands.attempts
        for event in stands.events:
            self._held.add(event)
            self.outside.since = event.seq
            if event.type in (*_TOLD, *_OUTCOMES):
                self.seen = event.seq

    # What is recorded

    def record(
        self,
        type: str,
        path: str = "",
        data: Data | None = None,
        *,
        task: str = "",
        agent: str = "",
        attempt: int | None = None,
        once: bool = True,
        key: str | None = None,
    ) -> None:
        """Append an event. It is on its way to the disk within `GATHERING` seconds.

        Events recorded without an `await` between them are appended together or not at all. With `once`, an
        event of this type, path and attempt (or key) that is there already is left as it is, so code that runs
        again after a resume records nothing twice. An attempt that is left out is the first, or the first after
        those that were forgotten.

        Raises:
            JournalError: An earlier append failed; a journal with a hole must not go on.
        """
        if self._broken:
            raise self._broken
        index = self._held.task(task)
        if attempt is None:
            attempt = self.forgotten(path) + 1
        if once and (path or key):
            mark = (type, key, 0) if key else (type, path, attempt)
            if mark in index.recorded:
                return
            index.recorded.add(mark)
        if self._lease.task and task != self._lease.task and not task.startswith(f"{self._lease.task}["):
            self._check_elsewhere(type, path, task)
            return
        now = self.clock.now()
        draft = Draft(
            type,
            path,
            self.redactor.data(data or {}),
            task,
            agent,
            attempt,
            key,
            timestamp(now),
            round(self.clock.monotonic(), 6),
            self.seg,
        )
        if not self._buffer:
            self._timer = self._loop.call_later(GATHERING, self.flush)
        self._buffer.append(draft)

    def _check_elsewhere(self, type: str, path: str, task: str) -> None:
        """Record nothing of what encloses the task that is in this process's hands; refuse what is beside it.

        What encloses it is walked here only to reach it, and recorded by who has the run.
        """
        if not self._lease.task.startswith((f"{task}/", f"{task}#", f"{task}[")):
            raise ReplayError(
                f"Run {self.id}, task {self._lease.task}: {type} at {path or 'the run'} is another's to record. The "
                "crew or its tools changed since, or something in it depends on time or chance."
            )

    def say(
        self, message: ChatMessage, path: str, *, task: str, agent: str, compressed_from: Sequence[str] = ()
    ) -> str:
        """Record a chat message, once per task, and return its id.

        Args:
            message: The message.
            path: Where it arose.
            task: The task's path.
            agent: The agent's role.
            compressed_from: Ids of the messages that this one stands for from now on.
        """
        index = self._held.task(task)
        id = message.id()
        if compressed_from:
            index.summaries[path] = (id, len(compressed_from))
        if id not in index.messages or compressed_from:
            index.messages[id] = message
            data = {"id": id, **message.to_data()}
            data |= {"compressed_from": list(compressed_from)} if compressed_from else {}
            self.record("message.recorded", path, data, task=task, agent=agent, once=False)
        return id

    def summary(self, path: str, *, task: str) -> tuple[ChatMessage, int] | None:
        """Return the summary that was recorded at a path, and how many messages it stands for."""
        index = self._held.known(task)
        if path not in index.summaries:
            return None
        id, count = index.summaries[path]
        return index.messages[id], count

    def message(self, id: str, *, task: str) -> ChatMessage:
        """Return a recorded chat message of an unfinished task."""
        return self._held.task(task).messages[id]

    async def commit(self, *, durable: bool = False) -> list[Event]:
        """Wait until all that was recorded is on disk; return what was appended for it.

        Args:
            durable: Also safe from a loss of power; covers what was recorded since the last `await`.

        Raises:
            JournalError: It could not be written; nothing more of this run may be.
        """
        if self._broken:
            raise self._broken
        waiting: asyncio.Future[list[Event]] = self._loop.create_future()

        def done(outcome: list[Event] | JournalError) -> None:
            self._loop.call_soon_threadsafe(self._settle, outcome, waiting)

        drafts = self._gathered()
        self._writer.put(Write(self.id, drafts, self._lease.epoch, durable, self._lease.task), done)
        slow = self._loop.call_later(self._slow, self._tell_slow)
        try:
            return await waiting
        finally:
            slow.cancel()

    def flush(self) -> None:
        """Put what was recorded on its way to the disk now."""
        if self._buffer:
            drafts = self._gathered()
            self._writer.put(Write(self.id, drafts, self._lease.epoch, task=self._lease.task), self._done)

    # Steps

    async def step(
        self,
        path: str,
        kind: str,
        intent: Data,
        do: Callable[[int], Awaitable[Data]],
        *,
        task: str,
        agent: str = "",
        repeatable: bool = True,
        costly: bool = False,
        approval: str = "",
    ) -> Data:
        """Do this once per run; afterwards answer from the journal.

        `{kind}.started` with the intent is recorded before, `{kind}.finished` with the result after. A step whose
        doing raises is not finished: the failure is recorded and a resumed run tries again.

        Args:
            path: Where in the run this happens, for example `draft/2/model`. Must not depend on timing.
            kind: `model` or `tool`.
            intent: What is about to be done. Its `fingerprint` must be the same whenever this path is reached.
            do: Called with the number of the attempt, from 1; returns the result as JSON data.
            task: The task's path.
            agent: The agent's role.
            repeatable: May be done again where a process died in the middle. Otherwise the intent is on disk,
                safe from a loss of power, before it is done.
            costly: The result is safe from a loss of power before anything follows from it.
            approval: Id of the decision that allows it. The intent uses it up: it is one event, unique in the run.

        The intent of what is not repeatable is unique in the run, whatever became of leases: of two executors one acts.

        Raises:
            ReplayError: The journal holds another request at this path.
            Denied: The approval was used already.
            UnknownOutcome: It was begun, is not repeatable, and nobody knows how it ended: a process died, `do`
                raised `LostOutcome`, or another executor began it just now.
        """
        index = self._held.task(task)
        attempt, begun = index.attempts.get(path, (self.forgotten(path), None))
        if begun is not None and begun.get("fingerprint") != intent.get("fingerprint"):
            raise ReplayError(_divergence(self.id, path, begun, intent))
        if path in index.results:
            return index.results[path]
        if begun is not None and not repeatable and path not in index.settled:
            raise UnknownOutcome(path, attempt)
        if self.held:
            raise Waiting(why=self.held)
        index.settled.discard(path)
        attempt += 1
        intent = {**intent, "approval": approval} if approval else intent
        index.attempts[path] = (attempt, intent)
        key = _unique(path, attempt, approval, repeatable=repeatable)
        self.record(f"{kind}.started", path, intent, task=task, agent=agent, attempt=attempt, key=key)
        if key:
            await self._commit_intent(path, attempt, approval, task)
        elif costly:
            self.flush()
        try:
            result = self.redactor.data(await do(attempt))
        except Waiting:
            raise
        except Exception as error:
            lost = isinstance(error, LostOutcome)
            self.record(f"{kind}.finished", path, _failure(error), task=task, agent=agent, attempt=attempt)
            if lost and not repeatable:
                raise UnknownOutcome(path, attempt) from error
            if not approval:  # leave is for one try, whatever came of it
                index.settled.add(path)
            raise
        index.results[path] = result
        self.record(f"{kind}.finished", path, result, task=task, agent=agent, attempt=attempt)
        if costly or not repeatable:
            await self.commit(durable=True)
        return result

    async def _commit_intent(self, path: str, attempt: int, approval: str, task: str) -> None:
        """Wait until an intent is on disk; refuse to act on one that somebody else recorded first."""
        appended = await self.commit(durable=True)
        if any(e.path == path and e.attempt == attempt and e.type.endswith(".started") for e in appended):
            return
        if approval:
            raise Denied(f"The approval {approval} was used already.", run_id=self.id, task=task)
        raise UnknownOutcome(path, attempt)

    def answer(
        self, path: str, kind: str, result: Data, *, task: str, agent: str, attempt: int | None = None
    ) -> None:
        """Record the result of a step that was not begun, or never will be again."""
        self.keep(f"{kind}.finished", path, result, task=task, agent=agent, attempt=attempt)

    def keep(
        self, type: str, path: str, data: Data, *, task: str, agent: str, attempt: int | None = None
    ) -> None:
        """Record an event that is the `result` at its path."""
        self._held.task(task).results[path] = data
        self.record(type, path, data, task=task, agent=agent, attempt=attempt)

    def result(self, path: str, *, task: str) -> Data | None:
        """Return the result of a finished step."""
        return self._held.known(task).results.get(path)

    def answered(self, task: str) -> Data:
        """Return the newest answer of a model in an unfinished task's own turns; empty where there is none."""
        index = self._held.known(task)
        own = re.compile(re.escape(task) + r"(#\d+)?(/fallback:\d+)?/\d+/model")
        newest = next((path for path in reversed(index.results) if own.fullmatch(path)), "")
        return index.results.get(newest, {})

    def hold(self, why: str) -> None:
        """Let no step begin any more: what is under way ends and is kept, and every task is left before its next."""
        self.held = why

    def settle(self, path: str, *, task: str) -> None:
        """Let an unrepeatable step be tried once more: a person said so."""
        self._held.task(task).settled.add(path)

    def begun(self, path: str, *, task: str) -> Data | None:
        """Return what a step said it would do, where it was begun in this process or an earlier one."""
        _, intent = self._held.known(task).attempts.get(path, (0, None))
        return intent

    def key(self, path: str, *, task: str) -> str:
        """Return the idempotency key of a step: the same for every attempt, another after it was forgotten."""
        begun = self.begun(path, task=task) or {}
        forgotten = self.forgotten(path)
        return begun.get("key") or fingerprint(self.id, path, *([str(forgotten)] if forgotten else ()))

    def forgotten(self, path: str) -> int:
        """Return how many attempts at a path were forgotten: the next ones count on from there."""
        return self._forgotten.get(path, 0)

    def holds(self, path: str, *, task: str) -> bool:
        """Say whether a step is finished, so that `step` answers from the journal."""
        return self.result(path, task=task) is not None

    def under_way(self, task: str) -> list[Data]:
        """Return what the steps of a task said they would do that were begun and have not ended."""
        index = self._held.known(task)
        ended = index.results.keys() | index.settled
        return [intent for path, (_, intent) in index.attempts.items() if path not in ended]

    async def verdict(
        self,
        path: str,
        check: Callable[[], Awaitable[Data]],
        *,
        task: str,
        agent: str,
        type: str = "guardrail.checked",
    ) -> Data:
        """Do a check once per run and record what it said; afterwards answer from the journal."""
        index = self._held.task(task)
        if path not in index.verdicts:
            index.verdicts[path] = self.redactor.data(await check())
            self.record(type, path, index.verdicts[path], task=task, agent=agent)
        return index.verdicts[path]

    def said(self, path: str, *, task: str) -> Data | None:
        """Return what a check said at a path, where it was asked."""
        return self._held.known(task).verdicts.get(path)

    def finish(self, task: str, data: Data, *, agent: str, final: bool) -> None:
        """Record what became of a task.

        Args:
            task: The task's path.
            data: What `task.finished` says.
            agent: Who did it.
            final: It is never entered again; its steps are forgotten here. Otherwise a resumed run tries again.
        """
        data = {**data, "final": final} if final else data
        self.record("task.finished", task, data, task=task, agent=agent, once=False)
        if final:
            self._held.finish(task, data)

    def drop(self, task: str) -> None:
        """Forget here what the journal holds of a task that is never entered again: what it lies in is over."""
        self._held.drop(task)

    async def events(self, types: Sequence[str]) -> list[Event]:
        """Return what the journal holds of these types, all that was recorded included."""
        await self.commit()
        read = lambda: list(self._writer.journal.events(self.id, types=types))  # noqa: E731
        return await asyncio.wrap_future(self._writer.call(read))

    # Decisions and signals from elsewhere

    def ask(self, data: Data, path: str, *, task: str, agent: str, attempt: int) -> None:
        """Record a question to a person, each id once."""
        id = data["id"]
        self._held.asked[id] = self.redactor.data(data)
        if data.get("kind") == "unknown":
            self._held.unknown[path, attempt] = id
        elif data.get("kind") == "tool":
            self.counted.ask(data, path, task, agent)
        kind = "approval.requested"
        self.record(kind, path, data, task=task, agent=agent, attempt=attempt, once=False, key=f"asked:{id}")

    def asked(self, id: str) -> Data | None:
        """Return what a person was asked under this id, if anybody was."""
        return self._held.asked.get(id)

    def shared(self, path: str, attempt: int, kind: str) -> Data | None:
        """Return the question that a run from which this one was forked asked here, where its answer counts here.

        That is what a person said of a result: leave for a call is for one run alone.
        """
        asked = self._held.shared.get((path, attempt))
        return asked if asked is not None and kind == asked["kind"] == "output" else None

    def decision(self, id: str) -> Data | None:
        """Return what a person decided on an approval, and when (`ts`), if anybody has. The first decision counts."""
        return self._held.decisions.get(id)

    async def expire(self, id: str, path: str, *, task: str, agent: str) -> None:
        """Record that nobody decided in time, which is a no; where somebody just has, that counts."""
        data: Data = {"id": id, "decision": "deny", "note": "nobody decided in time"}
        data |= {"by": "deadline", "expired": True}
        key = f"decided:{id}"
        self.record("approval.decided", path, data, task=task, agent=agent, once=False, key=key)
        await self.commit(durable=True)
        await self.look()

    @property
    def expects(self) -> bool:
        """Somebody waits for a task that another process does."""
        return bool(self._expected)

    def expect(self, task: str) -> asyncio.Future[Data]:
        """Return what will be recorded of a task that another process does, once it is: its end, or why it was left."""
        if task not in self._expected or self._expected[task].done():
            self._expected[task] = self._loop.create_future()
        return self._expected[task]

    def wait(self, path: str, data: Data, *, task: str, agent: str) -> None:
        """Record that a step waits for something that is not a person."""
        self._held.task(task).waits[path] = data
        self.record("wait.started", path, data, task=task, agent=agent)

    def waiting(self, path: str, *, task: str) -> Data | None:
        """Return what a step waits for, if it began to."""
        return self._held.known(task).waits.get(path)

    def deadline(self, task: str) -> float | None:
        """Return the seconds that a task waits at most: its own, or those of the task around it."""
        place = defined(task)
        while place and place not in self.deadlines:
            place = place.rpartition("/")[0]
        return self.deadlines.get(place)

    async def look(self) -> None:
        """Read what other processes appended since the last look."""
        for event in (events := await asyncio.wrap_future(self._writer.call(self._news, self.seen))):
            self._held.add(event)
            if event.seg != self.seg:
                self._tell(event)
                self.seen = max(self.seen, event.seq)
            if event.type in _OUTCOMES and event.path in self._expected:
                future = self._expected.pop(event.path)
                if not future.done():
                    future.set_result(event.data)
        if any(event.type in _TOLD and event.seg != self.seg for event in events):
            self.arrived.set()

    async def watch(self, seconds: float = 0.5) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.clock.sleep(seconds)
            with suppress(
                JournalError
            ):  # a look that fails is looked again; an append that fails ends the run
                await self.look()
            if self.wake and timestamp(self.clock.now()) >= self.wake:
                self.wake = ""
                self.arrived.set()

    def note(self, path: str, text: str, *, task: str, agent: str) -> None:
        """Record a line of a tool's own. Any thread may call this: a sync tool runs in its own."""

        def record() -> None:
            with suppress(JournalError):  # whoever records next is told
                self.record("note", path, {"text": text}, task=task, agent=agent, once=False)

        if threading.get_ident() == self._thread:
            record()
        else:
            with suppress(RuntimeError):  # the loop is closed: the run is over, and the tool was left behind
                self._loop.call_soon_threadsafe(record)

    def chunk(self, path: str, text: str, *, task: str, agent: str) -> None:
        """Show streamed text to the listeners. It is not recorded."""
        if self.listeners:
            self._tell_only("model.chunk", {"text": self.redactor.text(text)}, path, task, agent)

    # Inside

    def _news(self, after: int) -> list[Event]:
        journal = self._writer.journal
        if journal.last(self.id) <= after:
            return []
        types = (*_TOLD, *(_OUTCOMES if self._expected else ()))
        events = list(journal.events(self.id, after=after, types=types))
        if any(event.data.get("signal") == "late" for event in events):
            ends = journal.events(self.id, after=after, types=("message.recorded", "tool.finished"))
            events = sorted([*events, *(end for end in ends if end.data.get("late"))], key=_seq)
        return events

    def _gathered(self) -> list[Draft]:
        """Take what was recorded since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        drafts, self._buffer = self._buffer, []
        return drafts

    def _done(self, outcome: list[Event] | JournalError) -> None:
        if self.listeners or isinstance(outcome, JournalError):
            self._loop.call_soon_threadsafe(self._settle, outcome, None)

    def _settle(
        self, outcome: list[Event] | JournalError, waiting: asyncio.Future[list[Event]] | None
    ) -> None:
        if isinstance(outcome, JournalError):
            self._broken = outcome
            if waiting and not waiting.done():
                waiting.set_exception(outcome)
            return
        self._is_slow = False
        for event in outcome:
            self._tell(event)
        if waiting and not waiting.done():
            waiting.set_result(outcome)

    def _tell_slow(self) -> None:
        if not self._is_slow:
            self._is_slow = True
            self._tell_only("journal.slow", {"seconds": self._slow})

    def _tell_only(self, type: str, data: Data, path: str = "", task: str = "", agent: str = "") -> None:
        """Show the listeners something that is not recorded."""
        now = timestamp(self.clock.now())
        self._tell(Event(self.id, 0, type, now, 0.0, self.seg, path, task, agent, 1, data))

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001  a listener is not ours, and the run does not hang on it
                _log.exception("A listener failed on %s", event.type)


def _seq(event: Event) -> int:
    return event.seq


def _unique(path: str, attempt: int, approval: str, *, repeatable: bool) -> str | None:
    """Return the key under which an intent is one event in the run; `None` where it may be several."""
    if not repeatable:
        return f"used:{approval}" if approval else f"begun:{path}:{attempt}"
    # What may be done again is the same effect each time: its approval is used up by the first.
    return f"used:{approval}" if approval and attempt == 1 else None


def _failure(error: Exception) -> Data:
    told = {"type": type(error).__name__, "message": str(error)}
    if notes := "; ".join(getattr(error, "__notes__", ())):
        told["where"] = notes
    return {"failed": told, **({"lost": True} if isinstance(error, LostOutcome) else {})}


def _divergence(run: str, path: str, begun: Data, intent: Data) -> str:
    return (
        f"Run {run} at {path}: the journal recorded another request here "
        f"({_gist(begun)}) than the code makes now ({_gist(intent)}). The crew or its tools changed since, or "
        "something in it depends on time or chance. Put the old code back, or start a new run."
    )


def _gist(intent: Data) -> str:
    what = intent.get("tool") or intent.get("model") or "step"
    return f"{what}, fingerprint {intent.get('fingerprint')}"
