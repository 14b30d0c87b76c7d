"""The bus: the only way between the coordinator and the agents, and among agents."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from crewkit.core.label import CREW, USER, label_of
from crewkit.core.messages import COORDINATOR, Message
from crewkit.errors import RunError

Answering = Callable[[Message], Awaitable[Message]]
"""Someone on the bus: takes an assignment or a question, and answers with a report, a failure or an answer."""


_REPLIES = {"assignment": ("report", "failure"), "question": ("answer",)}
"""What may come back for what."""


class Bus:
    """Carries typed messages, each to one mailbox, and tells each to the transcript.

    A message belongs to a thread; a thread has rounds, a message and its reply each. A mailbox is known by who reads
    it and in which thread, so exchanges in parallel never mix.
    """

    def __init__(self, record: Callable[[Message], None]) -> None:
        self._record = record
        self._boxes: dict[tuple[str, str], deque[Message]] = {}

    def send(self, message: Message, among: Iterable[str] | None = None) -> None:
        """Record a message and put it into its mailbox, or into the mailboxes of all those in `among`."""
        self._record(message)
        if among is None:
            self.deliver(message)
        else:
            for name in among:
                self.deliver(message, name)

    def deliver(self, message: Message, name: str = "") -> None:
        """Put a message into its mailbox, or that of another who may read it. A test overrides this to lose some."""
        self._boxes.setdefault((name or message.to, message.thread), deque()).append(message)

    def take(self, to: str, thread: str) -> Message | None:
        """Return the oldest unread message of a mailbox; `None` where there is none."""
        box = self._boxes.get((to, thread))
        message = box.popleft() if box else None
        if box is not None and not box:
            del self._boxes[to, thread]
        return message

    async def exchange(self, message: Message, answering: Answering) -> Message:
        """Send a message and return the reply to it: one round.

        The one it is for works only from what arrives in its mailbox, and is heard only by what it puts into the
        sender's.

        Raises:
            RunError: The message or the reply was lost, or is not from whom it has to be.
        """
        self.send(message)
        received = self.take(message.to, message.thread)
        if received is None:
            raise RunError(
                f"The {message.kind} never reached '{message.to}', so it did nothing.", task=message.thread
            )
        if received != message:
            raise RunError(
                f"A message to '{message.to}' was put into its mailbox that '{message.sender}' did not send.",
                task=message.thread,
            )
        self.send(await answering(received))
        reply = self.take(message.sender, message.thread)
        if reply is None:
            raise RunError(f"'{message.to}' ended without a word to '{message.sender}'.", task=message.thread)
        if reply.sender != message.to or reply.kind not in _REPLIES.get(message.kind, ()):
            raise RunError(
                f"The reply to '{message.sender}' is a {reply.kind} of '{reply.sender}', not of '{message.to}', "
                "whom it asked.",
                task=message.thread,
            )
        return reply


def assignment(to: str, thread: str, content: str, task: str = "") -> Message:
    """Return the coordinator's message that gives a task to someone.

    Args:
        to: Who is to do it.
        thread: The exchange it opens.
        content: What is said; in it, what is not trusted is fenced.
        task: The task's path, where it is not the thread's name.
    """
    label = label_of(content, CREW | USER)
    return Message("assignment", COORDINATOR, to, thread, 1, content, {"task": task or thread}, label)
