"""The values that a crew's tasks work with: its inputs, what finished tasks came to, and where each is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crewkit.agents.output import WrongAnswer, as_json
from crewkit.agents.prompt import UPSTREAM_CHARS, inline, shorten
from crewkit.coordinator.schedule import Outcome
from crewkit.core.label import NOTHING, UNKNOWN, USER, Label, shown
from crewkit.core.messages import COORDINATOR
from crewkit.crew.compile import Job, Plan
from crewkit.crew.compile import fill as fill_in
from crewkit.crew.each import NAME
from crewkit.crew.iteration import ITEM, PREVIOUS, REASON, Iteration
from crewkit.errors import ReplayError
from crewkit.journal.run import Run

Data = dict[str, Any]


class Values:
    """What is known in a crew while it runs, as types, as JSON data and as text in a prompt."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        prefix: str,
        inputs: Mapping[str, Any],
        labels: Mapping[str, Label] | None = None,
    ) -> None:
        self.inputs = inputs
        self.shown = {name: as_json(value, f"Input '{name}'") for name, value in inputs.items()}
        """The inputs as JSON data."""
        self._labels = dict(labels or dict.fromkeys(inputs, USER))
        """Of the inputs, and of the outputs of the tasks."""
        self.told = {name: shown(inline(value), self._labels[name]) for name, value in self.shown.items()}
        """The inputs as they stand in a prompt."""
        self.outcomes: Mapping[str, Outcome] = {}
        """What became of the tasks so far."""
        self._run = run
        self._plan = plan
        self._prefix = prefix

    def value(self, name: str) -> Any:
        """Return a finished task's output as its type; `None` where it did not complete."""
        outcome = self.outcomes[name]
        if outcome.status != "completed":
            return None
        try:
            return self._plan.jobs[name].output.load(outcome.output)
        except WrongAnswer as error:
            raise ReplayError(
                f"The recorded output of '{self._prefix}{name}' is no longer of its type: {error}"
            ) from error

    def data(self, name: str) -> Any:
        """Return an input, or a finished task's output, as JSON data; `None` where the task did not complete."""
        if name not in self._plan.jobs:
            return self.shown[name]
        outcome = self.outcomes[name]
        return outcome.output if outcome.status == "completed" else None

    def ended(self, name: str) -> tuple[Outcome, Data]:
        """Return what became of a task, and what `task.finished` said of it."""
        return self.outcomes[name], self._run.finished.get(self._prefix + name) or {}

    def outputs(self) -> dict[str, Any]:
        """Return the typed outputs of the tasks that completed."""
        return {
            name: self.value(name) for name in self._plan.jobs if self.outcomes[name].status == "completed"
        }

    def label(self, name: str) -> Label:
        """Return where an input or a task's output is from, and whether it is trusted."""
        finished = self._run.finished.get(self._prefix + name) if name in self._plan.jobs else None
        return Label.from_data(finished.get("label")) if finished else self._labels.get(name, UNKNOWN)

    def hold(self, job: Job, label: Label) -> None:
        """Hold the label of what a task came to, until its end is recorded."""
        self._labels[job.place] = label

    def source_label(self, job: Job, source: str, iteration: Iteration) -> Label:
        """Return the label of what fills a parameter; see `Walk.argument`."""
        if source == ITEM and job.item is not None:
            return job.item.label
        return iteration.label if source in (REASON, PREVIOUS) else self.label(source) if source else NOTHING

    def forget(self, job: Job) -> None:
        """Let go of the label of an item that is over."""
        self._labels.pop(job.place, None)

    # As text in a prompt

    def fill(self, text: str, job: Job | None = None) -> str:
        """Put the inputs into a text's placeholders, and the item where a task is done for one."""
        return fill_in(text, self.told if job is None else {**self.told, **self.told_of(job)})

    def told_of(self, job: Job) -> dict[str, str]:
        """Return the inputs as they stand in a task's prompt: of a list that it is done for, the item alone."""
        if job.item is None or job.each is None:
            return self.told
        others = {name: text for name, text in self.told.items() if name != job.each.source}
        return {**others, NAME: shown(inline(job.item.data), job.item.label)}

    def upstream(self, job: Job) -> dict[str, str]:
        """Return the earlier outputs that are put before the agent, as text; fenced where they are not trusted."""
        return {
            name: self._told(name)
            for name in job.context
            if self.outcomes[name].status == "completed" or name not in job.alternatives
        }

    def known(self, job: Job, colleague: str) -> dict[str, str]:
        """Return the results that a colleague may build on when it is asked about a task.

        Its own among what the task builds on; all of them for the coordinator. Only what the graph settles, so that
        it is the same after a resume.
        """
        ancestors: dict[str, None] = {}
        queue = list(job.needs)
        while queue:
            name = queue.pop()
            if name not in ancestors:
                ancestors[name] = None
                queue += self._plan.jobs[name].needs
        return {
            name: self._told(name)
            for name, each in self._plan.jobs.items()
            if name in ancestors
            and self.outcomes[name].status == "completed"
            and colleague in (COORDINATOR, each.worker)
        }

    def case(self, job: Job) -> str:
        """Return what a task is about, in this run: by this earlier ones like it are found."""
        inputs = [f"{name}: {text}" for name, text in self.told_of(job).items()]
        upstream = [f"{name}: {text}" for name, text in self.upstream(job).items()]
        return "\n".join([f"{job.name}: {self.fill(job.task.description, job)}", *inputs, *upstream])

    def _told(self, name: str) -> str:
        outcome = self.outcomes[name]
        if outcome.status != "completed":
            why = shown(outcome.why, Label(sources=(f"task {name}",)))
            return f"(There is no result: {why})"
        text = self._plan.jobs[name].output.text(outcome.output)
        text = f"{text}\n(Mind: {outcome.why})" if outcome.why else text
        return shown(shorten(text, UPSTREAM_CHARS), self.label(name))
