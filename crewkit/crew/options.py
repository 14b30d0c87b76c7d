"""How a crew is run, as far as the crew itself does not say."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from crewkit.core.clock import Clock, SystemClock
from crewkit.core.environ import environment
from crewkit.core.events import Event
from crewkit.core.limits import Limits
from crewkit.core.messages import Message
from crewkit.journal.base import Journal
from crewkit.memory.base import Memory
from crewkit.models.route import ModelSpec
from crewkit.resilience.places import Places

Changed = Literal["stop", "keep", "rerun"]
"""`stop`: a run is not carried on where an unfinished task changed. `keep`: what is finished keeps its results, and
the rest goes on under its new definition. `rerun`: what changed is done again, with all that depends on it."""

if TYPE_CHECKING:
    from crewkit.coordinator.bus import Bus
    from crewkit.crew.part import Doing
    from crewkit.journal.run import Run
    from crewkit.journal.writer import Writer


@dataclass(frozen=True)
class Options:
    """Everything has a default that is right for a program run by a person."""

    journal: Journal | None = None
    """`None`: what `CREWKIT_JOURNAL` names, or SQLite under `.crewkit`, found upwards, or in `CREWKIT_HOME`."""
    model: ModelSpec = None
    """For whoever has no model: goes after task, agent and crew, before `CREWKIT_MODEL`."""
    limits: Limits = field(default_factory=Limits)
    """Replace the crew's, cap by cap."""
    environ: Mapping[str, str] = field(default_factory=environment)
    """Where keys and settings come from: the environment, and under it the nearest `.env`."""
    memory: Memory | None = None
    """`None`: the semantic memory beside the journal."""
    listener: Callable[[Event], None] | None = None
    """Called with every event as it happens."""
    target: str = ""
    """How to load the crew again; kept with the run, for `crewkit resume`."""
    queue: str = ""
    """The workers that carry the run on: the run is begun for them, or this process is one of them."""
    wait: bool = False
    """Stay with a run that has to wait, for a person, an event or a time, and carry it on when that comes. Otherwise it
    is paused and returned."""
    changed: Changed = "stop"
    """What becomes of a run that is carried on, where its crew is not what it was."""
    repeat_effects: bool = False
    """Effects that happened may happen again, where a changed task is done again or a run is forked before them."""
    run_id: str = ""
    """A run id of one's own instead of a fresh one."""
    clock: Clock = field(default_factory=SystemClock)
    places: Places | None = None
    """The places at tools and models with a rate or a cap on concurrency, where runs share them. `None`: the run's own.
    """
    doing: Doing | None = None
    """How tasks are done, where other processes may do them. `None`: all in this process."""
    watch: Callable[[Run], Coroutine[Any, Any, None]] | None = None
    """Lets the run look for what others appended, until cancelled. `None`: every half second."""
    writer: Writer | None = None
    """Makes the calls to `journal`, where several runs share one."""
    bus: Callable[[Callable[[Message], None]], Bus] | None = None
    """Makes the bus, from what records its messages; a test passes a bus that loses some."""
