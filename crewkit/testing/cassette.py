"""A run that was recorded, as a test of the crew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crewkit.core.events import Event
from crewkit.crew.crew import Crew
from crewkit.crew.result import Result
from crewkit.errors import InputError, ReplayError
from crewkit.journal.cassette import read_cassette, write_cassette
from crewkit.models.recorded import RecordedModel
from crewkit.runs.replay import Replay, in_words, replay

_NAMED = 8
"""Further places named where a crew goes another way."""


@dataclass(frozen=True)
class Cassette:
    """What the models, tools and people of a run said, to run a crew against, without a network and without effects.

    ```python
    def test_the_plan_is_what_it_was():
        result = Cassette.read("tests/tides.yaml").replay_sync(crew)
        assert "noon" in result.output
    ```
    """

    events: Sequence[Event]
    name: str
    """How errors call it."""

    @classmethod
    def read(cls, path: str | Path) -> Cassette:
        """Read a file that `crewkit export RUN --format cassette` wrote.

        Raises:
            InputError: It is not there, or no cassette.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The cassette {path} cannot be read: {error.strerror}. Record it: crewkit run FILE, then "
                f"crewkit export @last --format cassette -o {path}"
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(f"The cassette {path} is no text in UTF-8: {error}") from error
        return cls(read_cassette(text, str(path)), str(path))

    @classmethod
    def of(cls, events: Iterable[Event]) -> Cassette:
        """Take a run's events as the journal has them."""
        history = list(events)
        return cls(history, f"run {history[-1].run}" if history else "an empty run")

    def write(self, path: str | Path) -> None:
        """Write it down for people to read, and for `read`."""
        Path(path).write_text(write_cassette(self.events), encoding="utf-8")

    def model(self) -> RecordedModel:
        """Return a model that gives the recorded answers, for a crew whose tools are to run."""
        return RecordedModel.of(self.events)

    async def replay(self, crew: Crew) -> Result:
        """Run a crew as it is now, with every model, tool and person answering as recorded.

        Raises:
            ReplayError: It goes another way than the recorded run; the message says where first, and what differs.
            InputError: It is no run of this crew.
        """
        told, result = await replay(crew, self.events)
        if not told.same:
            raise ReplayError(self._divergence(told))
        return result

    def replay_sync(self, crew: Crew) -> Result:
        """Do the same where no event loop runs."""
        return asyncio.run(self.replay(crew))

    def _divergence(self, told: Replay) -> str:
        first, *more = told.divergences
        lines = [f"Crew '{self._crew()}' goes another way than {self.name}.", *in_words(first)]
        if more:
            others = ", ".join(each.path for each in more[:_NAMED])
            lines.append(f"Also at {others}{', …' if len(more) > _NAMED else ''}.")
        lines.append(
            "Where that is meant, record it anew: crewkit run, then crewkit export --format cassette."
        )
        return "\n".join(lines)

    def _crew(self) -> str:
        return next((str(event.data.get("crew")) for event in self.events if "crew" in event.data), "")
