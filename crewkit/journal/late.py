"""What an owner who lost a run or a task may still say: how a tool call ended that it had begun itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.sql import plain

if TYPE_CHECKING:
    from crewkit.journal.link import Connection

_BEGUN: Final = """
    SELECT 1 FROM events begun WHERE run = %s AND type = 'tool.started' AND path = %s AND attempt = %s AND seg = %s
    AND NOT EXISTS (SELECT 1 FROM events done WHERE done.run = begun.run AND done.type = 'tool.finished'
                    AND done.path = begun.path AND done.attempt = begun.attempt)
"""


def late_ends(db: Connection, write: Write) -> Iterator[Write]:
    """Yield what of a refused write is appended all the same, as from outside."""
    ends = [draft for draft in write.drafts if draft.type == "tool.finished" and not draft.data.get("lost")]
    for end in ends:
        begun = db.execute(_BEGUN, (write.run, plain(end.path), end.attempt, plain(end.seg))).fetchall()
        if begun:
            said = [d for d in write.drafts if d.type == "message.recorded" and d.path == end.path]
            late = [_late(draft, i) for i, draft in enumerate([*said, end])]
            id = f"late:{end.path}:{end.attempt}"
            told = Draft("run.signal", data={"signal": "late", "path": end.path, "id": id}, key=id)
            yield Write(write.run, [*late, told], None, durable=True)


def _late(draft: Draft, number: int) -> Draft:
    key = f"late:{draft.path}:{draft.attempt}:{draft.seg}:{number}"
    return replace(draft, data=draft.data | {"late": True}, key=key)
