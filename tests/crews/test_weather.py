"""The weather report: a cheap model fetches, a strong one writes, another stands in where it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from crewkit import Crew, ModelError, Route
from crewkit.files.load import load
from crewkit.files.schema import schema
from crewkit.models.scripted import ScriptedModel

FILE = Path(__file__).parents[2] / "crews" / "weather.yaml"


@pytest.fixture
def crew() -> Crew:
    return load(str(FILE))


def failing(request: Any) -> Any:
    raise ModelError("It is out of order.", retryable=False)


def shape(runs: Any, run: str) -> list[tuple[str, str]]:
    """What the transcript tells, without what the bus and messages say."""
    left_out = ("message.recorded", "agent.started", "agent.finished")
    return [(e.type, e.path) for e in runs.events(run) if e.type not in left_out]


def answered(runs: Any, run: str) -> dict[str, str]:
    """By task, the route of the model table that gave the last answer."""
    return {e.task: e.data["route"] for e in runs.events(run, types=("model.finished",)) if "route" in e.data}


async def test_it_runs_offline_and_its_transcript_has_this_shape(crew, make_options, runs):
    result = await crew.run({"city": "Lisbon"}, make_options())
    assert result.status == "completed", result.why
    assert "12 to 19 degrees" in result.output
    assert answered(runs, result.run_id) == {"fetched": "cheap", "copy": "strong"}
    assert shape(runs, result.run_id) == [
        ("run.started", ""),
        ("task.started", "fetched"),
        ("model.started", "fetched/1/model"),
        ("model.finished", "fetched/1/model"),
        ("decision.made", "fetched/1"),
        ("tool.checked", "fetched/1/tool:0"),
        ("tool.started", "fetched/1/tool:0"),
        ("tool.finished", "fetched/1/tool:0"),
        ("model.started", "fetched/2/model"),
        ("model.finished", "fetched/2/model"),
        ("decision.made", "fetched/2"),
        ("task.finished", "fetched"),
        ("task.started", "copy"),
        ("model.started", "copy/1/model"),
        ("model.finished", "copy/1/model"),
        ("decision.made", "copy/1"),
        ("guardrail.checked", "copy/1/guardrail:output:0"),
        ("task.finished", "copy"),
        ("run.finished", ""),
    ]


async def test_where_the_strong_model_fails_the_spare_one_writes(crew, make_options, runs):
    broken = replace(crew.models["strong"], model=ScriptedModel(failing))
    crew = replace(
        crew, models={**crew.models, "strong": broken, "spare": Route(ScriptedModel(["Sunny."]), usd=(1, 5))}
    )
    result = await crew.run({"city": "Lisbon"}, make_options())
    assert (result.status, result.output) == ("completed", "Sunny.")
    assert answered(runs, result.run_id)["copy"] == "spare"
    [again] = runs.events(result.run_id, types=("retry.scheduled",))
    assert (again.task, again.data["route"]) == ("copy", "strong")
    assert "Asking 'spare' instead." in again.data["why"]


async def test_a_city_without_a_forecast_is_not_made_up(crew, make_options, runs):
    result = await crew.run({"city": "Atlantis"}, make_options())
    assert result.status == "failed"
    ended = list(runs.events(result.run_id, types=("tool.finished",)))
    assert "There is no forecast for Atlantis" in str(ended[0].data)


def test_the_file_is_as_the_schema_for_editors_wants_it():
    import yaml

    assert not list(
        Draft202012Validator(schema()).iter_errors(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    )
