"""Everything crewkit raises.

```
CrewkitError
├── DefinitionError     a mistake in a crew, found before anything runs
├── InputError          a bad argument, input or run id, found before anything runs
├── JournalError        the journal cannot be opened, read or written
│   └── RunBusy         another process is running this run
├── ReplayError         the code asks for something else than the journal recorded
└── RunError            a run, or one task of it, could not go on; carries `run_id` and `task`
    ├── LimitExceeded   a cap was reached
    ├── ModelError      a model gave no usable answer
    ├── ToolError       a tool failed in a way the agent is told about
    └── Denied          a person or a check refused
```
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class CrewkitError(Exception):
    """Base of all errors that crewkit raises on purpose."""


class DefinitionError(CrewkitError):
    """A mistake in a definition, found before anything runs."""


class InputError(CrewkitError):
    """A bad argument, input or run id, found before anything runs."""


class JournalError(CrewkitError):
    """The journal cannot be opened, read or written."""


class RunBusy(JournalError):
    """Another process is running this run."""


class ReplayError(CrewkitError):
    """The code asks for something else than what the journal recorded at the same path."""


class RunError(CrewkitError):
    """A run, or one task of it, could not go on."""

    def __init__(self, message: str, *, run_id: str = "", task: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id
        self.task = task


class LimitExceeded(RunError):
    """A cap on tokens, money, seconds, steps, rounds or depth was reached.

    `level` says whose cap: `the run`, `crew 'x'`, `Task 'draft'`, `Agent 'Editor'`. What is not under it can go on.
    """

    def __init__(
        self, message: str, *, limit: str = "", level: str = "", run_id: str = "", task: str = ""
    ) -> None:
        super().__init__(message, run_id=run_id, task=task)
        self.limit = limit
        self.level = level


class ModelError(RunError):
    """A model gave no usable answer.

    `retryable` is true for what may pass by itself: 408, 409, 429, 5xx, timeouts, broken connections and
    bodies. `status` is the HTTP status where there was one; `retry_after` is in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after


class ToolError(RunError):
    """Raise this in a tool to tell the model, in your own words, what went wrong.

    `retryable=True` says that it may pass by itself: the tool is tried again as often as its `retries` allow, after
    `retry_after` seconds where they are known.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        run_id: str = "",
        task: str = "",
    ) -> None:
        super().__init__(message, run_id=run_id, task=task)
        self.retryable = retryable
        self.retry_after = retry_after


class Denied(RunError):
    """A person or a check refused."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def expect(where: str, field: str, value: object, kind: type | tuple[type, ...], what: str) -> None:
    """Refuse a field of a definition that holds something of another type.

    Args:
        where: How the message begins, for example `Task 'draft'`.
        field: The field's name.
        value: What was given.
        kind: What it has to be an instance of.
        what: The same in words, for example `a Scope: Scope('search')`.

    Raises:
        DefinitionError: It is something else.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"something of type {type(value).__name__}"
        raise DefinitionError(f"{where}: {field} is {shown}, not {what}.")


def expect_number(
    where: str, field: str, value: object, least: float, *, whole: bool = False, above: bool = False
) -> None:
    """Refuse a field of a definition that holds no finite number, or too small a one.

    Args:
        where: How the message begins, for example `Task 'draft'`.
        field: The field's name.
        value: What was given.
        least: The smallest that will do.
        whole: It has to be an `int`.
        above: It has to be more than `least`.

    Raises:
        DefinitionError: It is something else.
    """
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number or not (least < value if above else least <= value) or value == math.inf:  # pyright: ignore[reportOperatorIssue,reportUnknownVariableType]
        bound = f" above {least:g}" if above else f", {least:g} at least"
        raise DefinitionError(
            f"{where}: {field}={value!r:.60} is not a {'whole ' if whole else ''}number{bound}."
        )
