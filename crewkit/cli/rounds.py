"""What was said in the rounds of conversations."""

from __future__ import annotations

from crewkit.cli.lines import as_data
from crewkit.core.events import Event
from crewkit.journal.tree import Node


def sent(node: Node) -> list[Event]:
    """Return the messages that were sent over the bus at a node."""
    return [event for event in node.events if event.type == "message.recorded" and "kind" in event.data]


def rounds(root: Node) -> dict[str, list[Event]]:
    """Return what was said in the rounds of conversations, by the paths of the rounds."""
    nodes = {node.path: node for node in root.walk()}
    found: dict[str, list[Event]] = {}
    for event in (event for node in nodes.values() for event in sent(node)):
        at = str(as_data(event.data.get("data")).get("at") or "")
        path = f"{event.data.get('thread')}/{event.data.get('round')}"
        if at.startswith(f"{path}/") and path in nodes:
            found.setdefault(path, []).append(event)
    return found
