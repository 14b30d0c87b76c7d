"""A question as a Slack message: Block Kit, within its limits, and nothing in it that could act.

What the model, its tools or anybody else wrote is escaped (`&`, `<`, `>`), so it can mention nobody and link nowhere,
and `verbatim` keeps Slack from finding links and names in it by itself. Content stands in code blocks that it cannot
close.

Limits: https://docs.slack.dev/reference/block-kit/blocks and …/block-elements, as of 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from crewkit.core.text import safe
from crewkit.journal.read import Pending
from crewkit.notify.words import Part, commands, parts, until, where

Block = dict[str, Any]

MOST_BLOCKS = 50
LONGEST_TEXT = 3_000
"""Characters of a section's text."""
LONGEST_HEADER = 150
LONGEST_VALUE = 2_000
"""Characters of a button's value."""
LONGEST_NOTE = 1_000
"""Characters of a note: ours, below Slack's 3,000."""
LONGEST_FALLBACK = 3_000
"""Characters of the text beside the blocks: far below Slack's 40,000, as it is for notifications."""

APPROVE, DENY, NOTE = "crewkit_approve", "crewkit_deny", "crewkit_note"
"""Ids of the actions (255 characters at most)."""

_HEADS = {
    "tool": "May this call be made?",
    "output": "Is this result good?",
    "unknown": "It is not known whether this happened",
}
_LABELS = {
    "call": "Call",
    "origin": "Where its arguments are from",
    "shows": "What it would do",
    "reason": "The agent's reason",
    "again": "Asked again because",
    "output": "Result",
    "takes": "What counts if you approve",
}
_CUT = " …"
_TICKS = re.compile("`(?=`)")
"""Between them goes a separator that is not drawn: three in a row would close the block of code around them."""


def escape(text: str) -> str:
    """Write a text so that Slack shows it as it is.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped(text: str, most: int) -> tuple[str, bool]:
    """Escape a text and cut it to a length, between characters; say whether something is gone."""
    text = _TICKS.sub("`\u2063", safe(text)) or "(nothing)"
    whole = escape(text)
    if len(whole) <= most:
        return whole, False
    room, kept = most - len(_CUT), 0
    for char in text:
        room -= len(escape(char))
        if room < 0:
            break
        kept += 1
    return escape(text[:kept]) + _CUT, True


def message(question: Pending) -> dict[str, Any]:
    """Return a question as arguments of `chat.postMessage`."""
    said, _ = escaped(f"{question.question} ({where(question)})", LONGEST_FALLBACK)
    return {
        "text": said,
        "blocks": blocks(question),
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def blocks(question: Pending) -> list[Block]:
    """Return a question as blocks: what is asked, all that is needed to decide it, a note, two buttons."""
    head = _HEADS.get(question.kind, "A person must decide")[:LONGEST_HEADER]
    when = until(question)
    told = list(_sections(question))
    made: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": head, "emoji": False}},
        _section(question.question),
        _context(where(question) + (f" · {when}" if when else "")),
        *told[: MOST_BLOCKS - 6],
        {
            "type": "input",
            "block_id": NOTE,
            "optional": True,
            "label": {"type": "plain_text", "text": "Note (the agent reads it)", "emoji": False},
            "element": {"type": "plain_text_input", "action_id": NOTE, "max_length": LONGEST_NOTE},
        },
        {"type": "actions", "block_id": f"crewkit:{question.id}"[:255], "elements": _buttons(question)},
        _context(f"Or, with other arguments too: {commands(question)}"),
    ]
    return made


def decided(shown: Sequence[Mapping[str, Any]], said: str) -> list[Block]:
    """Return a message's blocks without what can be pressed, and with what became of it."""
    kept = [dict(block) for block in shown if block.get("type") not in ("input", "actions")]
    return [*kept[: MOST_BLOCKS - 1], _section(said)]


def value_of(question: Pending) -> str:
    """Return what a button carries: which question, and all that the decision is bound to."""
    return json.dumps({"run": question.run, "id": question.id, "binding": question.binding})[:LONGEST_VALUE]


def _buttons(question: Pending) -> list[Block]:
    value = value_of(question)
    return [
        {
            "type": "button",
            "action_id": action,
            "style": style,
            "text": {"type": "plain_text", "text": text, "emoji": False},
            "value": value,
        }
        for action, style, text in ((APPROVE, "primary", "Approve"), (DENY, "danger", "Deny"))
    ]


def _sections(question: Pending) -> Iterator[Block]:
    """Yield what is needed to decide, each kind under its name."""
    by_label: dict[str, list[Part]] = {}
    for part in parts(question):
        by_label.setdefault(part.label, []).append(part)
    for label, together in by_label.items():
        head = f"*{_LABELS.get(label, label.capitalize())}*\n"
        content = "\n".join(part.text for part in together)
        rest = f"\nThere is more: `crewkit approvals {escape(question.run)}`"
        text, was_cut = escaped(content, LONGEST_TEXT - len(head) - len(rest) - 8)
        yield _mrkdwn_section(f"{head}```\n{text}\n```{rest if was_cut else ''}")


def _section(text: str) -> Block:
    return _mrkdwn_section(escaped(text, LONGEST_TEXT)[0])


def _mrkdwn_section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _context(text: str) -> Block:
    said, _ = escaped(text, LONGEST_TEXT)
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": said, "verbatim": True}]}


def blocks_of(payload: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the blocks of the message that an interaction came from."""
    shown: object = cast("Mapping[str, Any]", payload.get("message") or {}).get("blocks")
    return (
        [block for block in cast("list[Any]", shown) if isinstance(block, dict)]
        if isinstance(shown, list)
        else []
    )
