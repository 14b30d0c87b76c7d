"""What people answer in Slack: a pressed button, checked, and recorded as their decision.

Whoever sees the channel may press; `CREWKIT_SLACK_APPROVERS` names those who may, where not all should. A decision is
for the very call that the message showed: the button carries the hash of all that the question is bound to, and the
run compares it again with the call that it makes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from crewkit.errors import InputError, JournalError
from crewkit.journal.base import Journal
from crewkit.journal.decide import decide, find_question
from crewkit.journal.redact import Redactor
from crewkit.notify.blocks import APPROVE, DENY, LONGEST_NOTE, NOTE, Block, blocks_of, decided, escape

Data = Mapping[str, Any]

APPROVERS = "CREWKIT_SLACK_APPROVERS"
"""The variable with the ids of the Slack users (`U…`) who may decide, with blanks between them. Empty: all who can."""

_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_NAME = re.compile(r"[\w.-]{1,80}")


@dataclass(frozen=True)
class Answered:
    """What follows from a pressed button."""

    text: str
    """For whoever reads the message; escaped."""
    blocks: list[Block] = field(default_factory=list[Block])
    """What the message is to be from now on. Empty: as it was, and `text` is for who pressed alone."""
    channel: str = ""
    ts: str = ""
    """Which message of the channel."""
    user: str = ""
    """Who pressed."""


@dataclass(frozen=True)
class Answers:
    """Takes what is pressed in Slack for the runs of one journal. Whoever calls has verified where it is from."""

    journal: Journal
    redactor: Redactor
    approvers: frozenset[str] = frozenset()

    @classmethod
    def from_environ(cls, journal: Journal, environ: Mapping[str, str]) -> Answers:
        """Let those decide whom the environment names."""
        names = environ.get(APPROVERS, "").replace(",", " ").split()
        if wrong := next((name for name in names if not _USER.fullmatch(name)), None):
            raise InputError(
                f"{APPROVERS}: '{wrong}' is no id of a Slack user. It begins with U or W: see the user's profile, "
                "'Copy member ID'."
            )
        return cls(journal, Redactor.from_environ(environ), frozenset(names))

    def take(self, payload: Data) -> Answered | None:
        """Take an interaction; return what follows, `None` where it is none of ours.

        Raises:
            JournalError: The decision cannot be written; Slack sends nothing again, so the person is told.
        """
        pressed = _pressed(payload)
        if pressed is None:
            return None
        user = _object(payload.get("user"))
        id, name = str(user.get("id") or ""), str(user.get("username") or user.get("name") or "")
        container = _object(payload.get("container"))
        channel = str(container.get("channel_id") or _object(payload.get("channel")).get("id") or "")
        ts = str(container.get("message_ts") or "")
        if not _USER.fullmatch(id) or (self.approvers and id not in self.approvers):
            return Answered("You may not decide this. Ask one of those who may.", [], channel, ts, id)
        by = f"{name} (Slack {id})" if _NAME.fullmatch(name) else f"Slack {id}"
        action, value = pressed
        decision = "approve" if action == APPROVE else "deny"
        note = self.redactor.text(_note(payload)) or (
            f"denied in Slack by {by}" if decision == "deny" else ""
        )
        try:
            self._decide(value, decision, note, by)
        except InputError as refused:
            return Answered(escape(str(refused)), decided(blocks_of(payload), str(refused)), channel, ts, id)
        except JournalError:
            return Answered(
                "The journal cannot be written. Nothing is decided: press again.", [], channel, ts, id
            )
        verb = "Approved" if decision == "approve" else "Denied"
        said = f"{verb} by {by}" + (f": {note}" if _note(payload).strip() else "")
        return Answered(escape(said), decided(blocks_of(payload), said), channel, ts, id)

    def _decide(self, value: Data, decision: str, note: str, by: str) -> None:
        run, id = str(value.get("run") or ""), str(value.get("id") or "")
        if not self.journal.last(run):
            raise InputError(f"There is no run '{run}' here: this message is about another journal.")
        question = find_question(self.journal, [run], id)
        if question.id != id or question.binding != value.get("binding"):
            raise InputError(f"{id} is not what this message shows any more. See: crewkit approvals {run}")
        decide(self.journal, question, decision, note, by=by)


def read_form(body: bytes) -> Data:
    """Return the interaction in the body of a request from Slack; an empty one where there is none."""
    from urllib.parse import parse_qs

    try:
        fields = parse_qs(body.decode(), max_num_fields=20)
        return _object(json.loads(fields.get("payload", ["{}"])[0]))
    except (ValueError, RecursionError):
        return {}


def _pressed(payload: Data) -> tuple[str, Data] | None:
    """Return which of our buttons was pressed, and what it carries."""
    actions: object = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list):
        return None
    for action in (_object(each) for each in cast("list[Any]", actions)):
        if action.get("action_id") in (APPROVE, DENY):
            try:
                return str(action["action_id"]), _object(json.loads(str(action.get("value"))))
            except (ValueError, RecursionError):
                return None
    return None


def _note(payload: Data) -> str:
    values = _object(_object(payload.get("state")).get("values"))
    given = _object(_object(values.get(NOTE)).get(NOTE)).get("value")
    return given[:LONGEST_NOTE] if isinstance(given, str) else ""


def _object(value: Any) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}
