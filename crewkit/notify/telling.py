"""A run's questions on their way to people: in the background, tried again, recorded.

The question itself is in the journal before anybody is told of it, so no channel can lose it. `approval.told` says
whether one could be reached; a resume tells the open questions that a channel was not told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from crewkit.core.clock import timestamp
from crewkit.core.events import Event
from crewkit.journal.read import Pending, pending
from crewkit.journal.run import Run
from crewkit.notify.base import Notifier, Unreached

TIMEOUT = 5.0
"""Seconds of one try."""
PAUSES = (0.5, 2.0, 10.0, 60.0)
"""Seconds between the tries, while the run goes on."""
LINGER = 5.0
"""Seconds for which a run that is about to pause or end waits for channels that have not answered."""
AT_ONCE = 4
"""Questions that a channel is told at the same time."""


class Telling:
    """Tells the channels of one process's turn at a run."""

    def __init__(self, run: Run, notifiers: Sequence[Notifier]) -> None:
        self._run = run
        self._channels = [
            (name, each, asyncio.Semaphore(AT_ONCE))
            for name, each in zip(_names(notifiers), notifiers, strict=True)
        ]
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False

    def catch_up(self, history: Iterable[Event], task: str = "") -> None:
        """Tell what earlier processes asked and did not tell.

        Args:
            history: What still counts of the run.
            task: Where only this task is in this process's hands.
        """
        events = [event for event in history if event.run == self._run.id]
        told = {
            (str(event.data.get("id")), str(event.data.get("by")))
            for event in events
            if event.type == "approval.told" and event.data.get("outcome") == "told"
        }
        for question in pending(events):
            if not task or question.task == task or question.task.startswith((f"{task}/", f"{task}#")):
                self._tell(question, told)

    def see(self, event: Event) -> None:
        """Tell of a question as it is asked; a listener of the run."""
        if event.type == "approval.requested" and event.seq and event.run == self._run.id:
            for question in pending([event]):
                self._tell(question, set())

    async def finish(self) -> None:
        """Wait for what is under way, not long, and record what did not get through."""
        await self._run.commit()  # what was just asked has been heard of then
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LINGER)
        self._over = True
        await self.stop()

    async def stop(self) -> None:
        """Leave everything as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell(self, question: Pending, told: set[tuple[str, str]]) -> None:
        for name, notifier, room in self._channels:
            if (question.id, name) not in told:
                task = asyncio.create_task(self._reach(name, notifier, room, question))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _reach(self, name: str, notifier: Notifier, room: asyncio.Semaphore, question: Pending) -> None:
        why, attempts = "there was no time left", 0
        try:
            async with room:
                for pause in (*PAUSES, None):
                    if self._needless(question):
                        return
                    attempts += 1
                    failed = await _try(notifier, question)
                    if failed is None:
                        self._record(name, question, "told", attempts)
                        return
                    why = str(failed)
                    if pause is None or not failed.again:
                        break
                    await asyncio.sleep(max(pause, failed.after))
        except asyncio.CancelledError:
            if self._over:
                self._record(name, question, "failed", attempts, why)
            raise
        self._record(name, question, "failed", attempts, why)

    def _needless(self, question: Pending) -> bool:
        """Say whether nobody has to be told any more: it is decided, or it is too late."""
        late = question.expires and timestamp(self._run.clock.now()) >= question.expires
        return bool(late) or self._run.decision(question.id) is not None

    def _record(self, name: str, question: Pending, outcome: str, attempts: int, why: str = "") -> None:
        data = {"id": question.id, "by": name, "outcome": outcome, "attempts": attempts}
        data |= {"why": why} if why else {}
        self._run.record(
            "approval.told", question.path, data, task=question.task, agent=question.agent, once=False
        )


async def _try(notifier: Notifier, question: Pending) -> Unreached | None:
    try:
        async with asyncio.timeout(TIMEOUT):
            await notifier.tell(question)
    except Unreached as error:
        return error
    except TimeoutError:
        return Unreached(f"no answer within {TIMEOUT:g} seconds")
    except Exception as error:  # noqa: BLE001  a notifier may be anybody's; what it says may hold a secret
        return Unreached(f"{type(error).__name__} in the notifier")
    return None


def _names(notifiers: Sequence[Notifier]) -> list[str]:
    """Return a name for each that no other has."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for notifier in notifiers:
        seen[notifier.name] += 1
        many = seen[notifier.name]
        names.append(notifier.name if many == 1 else f"{notifier.name} ({many})")
    return names
