"""The present code against recorded answers: where would a run go another way than it went?"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

from crewkit.core.clock import Clock
from crewkit.core.events import Event, defined
from crewkit.core.limits import Limits
from crewkit.core.messages import ChatMessage
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Result
from crewkit.errors import Denied, InputError, LimitExceeded, ModelError, RunError, ToolError
from crewkit.journal.base import Lease
from crewkit.journal.forget import standing
from crewkit.journal.held import Held
from crewkit.journal.run import Run
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.waiting import Waiting
from crewkit.journal.writer import Writer
from crewkit.memory.base import Hit, Record
from crewkit.models.base import Answer, Request, Watch
from crewkit.runs.changes import compare
from crewkit.runs.history import beginning
from crewkit.runs.opened import Opened
from crewkit.runs.prepare import beginning as told_beginning
from crewkit.runs.prepare import check_inputs, model_specs
from crewkit.runs.run import Turn, carry_on

Data = dict[str, Any]
Do = Callable[[int], Awaitable[Data]]

_UNCAPPED = Limits(usd=None, tokens=None, seconds=None, steps=None)
_ERRORS: dict[str, type[RunError]] = {"ModelError": ModelError, "ToolError": ToolError, "Denied": Denied}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is asked now and was not, or was asked and is not."""

    where: str
    """A part of a request in words: `message 2 (user)`, `arguments`, `output`."""
    then: str
    """Empty: there was nothing."""
    now: str
    """Empty: there is nothing any more."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """A place where the present code goes another way than the recorded run."""

    path: str
    why: str
    """One sentence."""
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class Replay:
    """What became of replaying a run."""

    run: str
    divergences: Sequence[Divergence]
    """The first one first, in the order of the crew's tasks; what depends on them was not replayed."""
    steps: int
    """Recorded answers that were given."""
    ends: Sequence[str]
    """Where the recording ends before the run did: it was interrupted, waits, or reached a cap there."""
    unseen: dict[str, str] = field(default_factory=dict[str, str])
    """Task to what changed about it. Code of tools and functions is not run here: recorded results answer for it."""

    @property
    def same(self) -> bool:
        """The present code asks for what was asked for, and comes to what the run came to."""
        return not self.divergences


LINES = 12
"""Lines shown of each side of a difference."""


def in_words(divergence: Divergence) -> list[str]:
    """Say in lines where it is and what differs; those of the two sides begin with - and +, as in a diff."""
    lines = [f"At {divergence.path}: {divergence.why}"]
    for each in divergence.differences:
        lines.append(f"  {each.where}")
        sides = difflib.unified_diff(each.then.splitlines(), each.now.splitlines(), lineterm="", n=1)
        diff = [line for line in list(sides)[2:] if not line.startswith("@@")]
        lines += [f"    {line}" for line in diff[: 2 * LINES]]
        if len(diff) > 2 * LINES:
            lines.append(f"    … {len(diff) - 2 * LINES} more lines")
    return lines


async def replay(
    crew: Crew, history: Sequence[Event], options: Options | None = None
) -> tuple[Replay, Result]:
    """Run a crew against a run's recorded answers, without a network and without effects.

    Models and tools, and functions that do tasks, are answered from the recording; prompts, conditions, guardrails,
    scopes, loops and the graph are those of the crew. Nothing is kept.

    Args:
        crew: The crew as it is now.
        history: All events of the run.
        options: Only `environ`, `clock` and `listener` count.

    Raises:
        InputError: It is no run of this crew, or cannot be read.
    """
    options = options or Options()
    id = history[-1].run if history else ""
    begun = beginning(id, history)
    if begun["crew"] != crew.name:
        raise InputError(f"Run {id} is a run of '{begun['crew']}', not of '{crew.name}'.")
    given = check_inputs(crew, begun["inputs"])
    result, run = await _replayed(crew, id, history, begun, given, options)
    changes = compare(begun["definitions"], crew.plan.definitions)
    found = run.told(crew)
    unseen = {path: change.what for path, change in changes.items()} if not found else {}
    return Replay(id, found, len(run.given), run.ends, unseen), replace(result, run_id=id)


async def _replayed(
    crew: Crew, id: str, history: Sequence[Event], begun: Data, given: Data, options: Options
) -> tuple[Result, ReplayRun]:
    """Run a crew in a journal that is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="crewkit-replay-") as folder,
        SqliteJournal(Path(folder) / "journal.db") as journal,
    ):
        alone = Options(
            journal=journal,
            environ={},
            clock=options.clock,
            listener=options.listener,
            memory=cast("Any", _NoMemory()),
            limits=_UNCAPPED,
        )
        async with Opened(alone) as opened:
            lease = await opened.begin(id, crew.name)
            run = ReplayRun(opened.writer, lease, clock=alone.clock, history=history)
            if alone.listener:
                run.listeners.append(alone.listener)
            specs = model_specs(crew, alone)
            models = {path: _Recorded(str(begun["models"].get(path) or "recorded")) for path in specs}
            run.record("run.started", data=told_beginning(crew, begun["inputs"], specs, models, alone))
            return await carry_on(Turn(crew, run, given, models, opened, alone, ())), run


class _Recording(Held):
    """What was recorded: the present code says anew how tasks ended, what was checked and what is given up."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.steps: dict[str, Data] = {}
        """Path to `intent`, `result` or `failed`, and `task` of a step."""
        self.tasks: dict[str, Data] = {}
        """Path to what `task.finished` said."""

    def add(self, event: Event) -> None:
        """Take in an event."""
        if event.type == "task.finished":
            self.tasks[event.path] = event.data
        else:
            super().add(event)

    def add_step(self, event: Event) -> None:
        """Take in an event of a task."""
        kind, _, what = event.type.partition(".")
        if kind == "undo" or event.type in ("iteration.finished", "guardrail.checked", "condition.checked"):
            return
        if kind in ("model", "tool") and what in ("started", "finished"):
            step = self.steps.setdefault(event.path, {"task": event.task})
            name = "intent" if what == "started" else "failed" if "failed" in event.data else "result"
            step[name] = event.data
        if kind != "tool":
            super().add_step(event)


class ReplayRun(Run):
    """A run that is entered anew and answered from what was recorded of it; what is missing leaves the task."""

    def __init__(
        self, writer: Writer, lease: Lease, *, history: Sequence[Event], clock: Clock | None
    ) -> None:
        self._then = _Recording(lease.run)
        self.given: dict[str, None] = {}
        """Paths that were answered."""
        self.ends: list[str] = []
        self._found: list[Divergence] = []
        self._kept: set[str] = set()
        self._complete = any(
            event.type == "run.finished" and event.data.get("status") == "completed" for event in history
        )
        stands = standing(history)
        super().__init__(writer, lease, clock=clock, history=stands.events, held=self._then)
        self._forgotten = stands.attempts  # questions that were put again have their numbers from it
        self._then.record_anew()

    async def step(
        self,
        path: str,
        kind: str,
        intent: Data,
        do: Do,
        *,
        task: str,
        agent: str = "",
        repeatable: bool = True,
        costly: bool = False,
        approval: str = "",
    ) -> Data:
        """Answer from the recording.

        Raises:
            Waiting: There is no such answer: what follows cannot be known.
        """
        then = self._then.steps.get(path)
        if then is None or "intent" not in then:
            raise self._missing(path, task, intent)
        if then["intent"].get("fingerprint") != intent.get("fingerprint"):
            self._diverges(
                path, "Another request is made here.", self._compared(task, then["intent"], intent)
            )
            raise Waiting([])
        if "result" not in then:
            raise (
                self._as_it_failed(then["failed"]["failed"])
                if "failed" in then
                else self._missing(path, task, intent)
            )
        self.given[path] = None
        index = self._then.task(task)
        index.attempts[path] = (1, then["intent"])
        self.record(f"{kind}.started", path, intent, task=task, agent=agent, attempt=1)
        inner = any(
            other.startswith(f"{path}/") and not other.endswith("/fallback") for other in self._then.steps
        )
        result = await do(1) if kind == "tool" and inner else then["result"]
        index.results[path] = result
        self.record(f"{kind}.finished", path, result, task=task, agent=agent, attempt=1)
        return result

    def keep(
        self, type: str, path: str, data: Data, *, task: str, agent: str, attempt: int | None = None
    ) -> None:
        """Take note that something came to be at a path, too."""
        self._kept.add(path)
        super().keep(type, path, data, task=task, agent=agent, attempt=attempt)

    def ask(self, data: Data, path: str, *, task: str, agent: str, attempt: int) -> None:
        """Take note of a question that was not asked."""
        about = {k: data[k] for k in ("tool", "arguments", "output") if k in data}
        now = f"{data.get('question')} {about if about else ''}".strip()
        self._diverges(
            path, "A person is asked now who was not asked then.", [Difference("question", "", now)]
        )
        super().ask(data, path, task=task, agent=agent, attempt=attempt)

    def shared(self, path: str, attempt: int, kind: str) -> Data | None:
        """Return what was asked before a fork: its calls were made with that leave, and are made here by nobody."""
        asked = self._then.shared.get((path, attempt))
        return asked if asked is not None and asked["kind"] == kind else None

    async def events(self, types: Sequence[str]) -> list[Event]:
        """Return nothing: nothing was done here, so what is given up leaves nothing to undo."""
        return []

    def told(self, crew: Crew) -> list[Divergence]:
        """Return what diverged, the first in the order of the crew's tasks first."""
        found = {each.path: each for each in reversed(self._found)}
        touched = {_root(path) for path in (*found, *self.ends)}
        for path, then in self._then.tasks.items():
            now = self.finished.get(path)
            if now is None or not then.get("final") or _root(path) in {_root(p) for p in found}:
                continue
            before, after = (_outcome(data) for data in (then, now))
            if before != after:
                what = [Difference("outcome", before, after)]
                found.setdefault(path, Divergence(path, "The task comes to something else.", what))
        for path, then in self._then.steps.items():
            gone = path not in self.given and path not in self._kept and "result" in then
            if crew.plan.jobs.get(_root(path)) and _root(path) not in self.finished:
                continue  # it was not entered, or left before its end: what stopped it is told
            if gone and _root(path) not in touched and not any(path.startswith(f"{p}/") for p in self._kept):
                why = "This was asked then, and is not asked any more."
                found.setdefault(
                    path, Divergence(path, why, [Difference("request", _gist(then.get("intent", {})), "")])
                )
        order = {name: i for i, name in enumerate(crew.plan.jobs)}
        return sorted(
            found.values(), key=lambda each: (order.get(_root(each.path), len(order)), _natural(each.path))
        )

    def _missing(self, path: str, task: str, intent: Data) -> Exception:
        """Return what to raise where nothing is recorded: the recording ends, or the code asks for more."""
        then = self._then.tasks.get(task)
        if then is not None and then.get("status") == "failed":
            return self._as_it_failed(then.get("error") or {})
        if (then is None and self._unfinished(task)) or (then is not None and not then.get("final")):
            self.ends.append(path)
        else:
            self._diverges(path, "This was not asked then.", self._compared(task, {}, intent))
        return Waiting([])

    def _unfinished(self, task: str) -> bool:
        """Say whether the recording ends in a task, or before it."""
        entered = any(step["task"] == task for step in self._then.steps.values())
        return (
            entered or any("result" not in step for step in self._then.steps.values()) or not self._complete
        )

    def _as_it_failed(self, error: Data) -> Exception:
        message = str(error.get("message") or "")
        if error.get("type") == "LimitExceeded":
            return LimitExceeded(message)
        return _ERRORS.get(str(error.get("type")), RunError)(message)

    def _diverges(self, path: str, why: str, differences: Sequence[Difference]) -> None:
        self._found.append(Divergence(path, why, differences))

    def _compared(self, task: str, then: Data, now: Data) -> list[Difference]:
        """Compare two requests, message by message."""
        if "messages" not in now:
            before, after = ("" if not each else _gist(each) for each in (then, now))
            return [Difference("call", before, after)]
        differences: list[Difference] = []
        pairs = zip_longest(self._sent(task, then), self._sent(task, now))
        for number, (before, after) in enumerate(pairs, 1):
            if before != after:
                role = (after or before or ChatMessage("user", "")).role
                differences.append(
                    Difference(f"new message {number} ({role})", _shown(before), _shown(after))
                )
        for name in ("max_tokens", "temperature"):
            if then and then.get(name) != now.get(name):
                differences.append(Difference(name, str(then.get(name)), str(now.get(name))))
        return differences or [
            Difference(
                "tools or form of the answer", "as recorded", "the tools offered or the output schema changed"
            )
        ]

    def _sent(self, task: str, intent: Data) -> list[ChatMessage]:
        known = self._then.task(task).messages
        sent: Data = intent.get("messages") or {}
        ids: list[str] = list(sent.get("new") or ())
        return [known[id] for id in ids if id in known]


class _Recorded:
    """Stands where a model was, and is never asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def answer(self, request: Request, watch: Watch) -> Answer:
        raise ModelError(f"'{self.name}' was asked although its answers are recorded.")

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0


class _NoMemory:
    """Remembers nothing: what was recalled is in the recording."""

    async def add(self, records: Sequence[Record], **_: Any) -> list[str]:
        return [record.id() for record in records]

    async def recall(self, query: str, **_: Any) -> list[Hit]:
        return []

    def __getattr__(self, name: str) -> Any:
        async def nothing(*_: Any, **__: Any) -> list[Any]:
            return []

        return nothing


def _root(path: str) -> str:
    return defined(path.partition("/")[0]).partition(" ")[0]


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path) if part]


def _outcome(data: Data) -> str:
    from crewkit.core.messages import canonical

    told: Data = data.get("error") or {}
    error = told.get("message") or data.get("why") or ""
    return f"{data.get('status')}: {canonical(data['output']) if 'output' in data else error}"


def _gist(intent: Data) -> str:
    if "tool" in intent:
        return f"{intent['tool']}({intent.get('arguments')})"
    return f"a request to {intent.get('model') or 'a model'}"


def _shown(message: ChatMessage | None) -> str:
    if message is None:
        return ""
    calls = "".join(f"\n→ {call.name}({call.arguments})" for call in message.tool_calls)
    return message.content + calls
