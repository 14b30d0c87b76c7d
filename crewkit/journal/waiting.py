"""What keeps a step from being finished, and is no error of it."""

from __future__ import annotations

from collections.abc import Iterable


class Waiting(Exception):
    """A person, a time or something outside has to come first. Not an error: the task is left, and entered again."""

    def __init__(
        self,
        approvals: Iterable[str] = (),
        *,
        waits: Iterable[str] = (),
        until: str = "",
        why: str = "A person must decide.",
    ) -> None:
        super().__init__(why)
        self.approvals = tuple(approvals)
        self.waits = tuple(waits)
        """Ids of the waits for a time or an event."""
        self.until = until
        """RFC 3339: from then on it can go on by itself. Empty: never."""

    @classmethod
    def joined(cls, several: Iterable[Waiting]) -> Waiting:
        """Return several as one."""
        all = list(several)
        return cls(
            (id for each in all for id in each.approvals),
            waits=(id for each in all for id in each.waits),
            until=min((each.until for each in all if each.until), default=""),
            why=" ".join(dict.fromkeys(str(each) for each in all)),
        )


class UnknownOutcome(Exception):
    """An effect was begun and nobody knows whether it happened: a question for a person, not an error."""

    def __init__(self, path: str, attempt: int) -> None:
        super().__init__(path)
        self.path = path
        self.attempt = attempt
        """The attempt that nobody knows about. Leave to try again is leave for the next one alone."""


class LostOutcome(Exception):
    """Raise this from what a step does: it was sent off and did not come back, so it may have happened."""
