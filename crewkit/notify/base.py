"""What can tell a person that a question waits for them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from crewkit.journal.read import Pending


class Unreached(Exception):
    """Nobody could be told.

    Args:
        why: For the journal: neither the URL nor what the other side said may stand in it.
        again: Another try may do better.
        after: Seconds before which no other try is wanted.
    """

    def __init__(self, why: str, *, again: bool = True, after: float = 0.0) -> None:
        super().__init__(why)
        self.again = again
        self.after = after


@runtime_checkable
class Notifier(Protocol):
    """Tells people of a question. Nothing of the run hangs on it: it is called in the background.

    A call that takes more than 5 seconds is cancelled and counts as a failure. After a crash in the middle the same
    question may be told again: its id is the same.
    """

    @property
    def name(self) -> str:
        """What it is called in journal and transcript; no secret stands in it."""
        ...

    async def tell(self, question: Pending) -> None:
        """Tell of a question; whatever is raised counts as a failure.

        Raises:
            Unreached: Nobody could be told, and why.
        """
        ...
