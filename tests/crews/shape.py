"""What a transcript looks like, for tests of crews."""

from __future__ import annotations

from collections.abc import Sequence

from crewkit.core.events import Event


def shape(events: Sequence[Event], *types: str) -> list[str]:
    """Return what happened where, sorted: what runs side by side has no order."""
    return sorted(f"{e.type} {e.path}" for e in events if e.type in types)
