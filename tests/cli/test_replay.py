"""`crewkit replay`, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

from crewkit.cli.group import serve


def test_a_replay_is_the_same_or_says_where_it_is_not(invoke, folder: Path, capsys):
    run = json.loads(invoke("run", "finding.py", "-i", "topic=tides", "--json").stdout)["run"]
    same = invoke("replay", run)
    assert (same.exit_code, same.stdout) == (0, "same: 3 recorded answers given, nothing else asked\n")
    crew = folder / "finding.py"
    crew.write_text(crew.read_text().replace("Look up {topic}.", "Look {topic} up."))
    told = invoke("replay", run)
    assert serve(["replay", run]) == 1
    capsys.readouterr()
    assert "different at find/1/model: Another request is made here." in told.stdout
    assert "-Look up tides." in told.stdout
    assert "+Look tides up." in told.stdout
    data = json.loads(invoke("replay", run, "--json").stdout)
    assert (data["same"], data["divergences"][0]["path"]) == (False, "find/1/model")
    assert len(invoke("runs", "--json").stdout.splitlines()) == 1


def test_a_run_is_written_down_and_replayed_from_the_file(invoke, folder: Path):
    assert invoke("run", "finding.py", "-i", "topic=tides").exit_code == 0
    written = invoke("export", "@last", "--format", "cassette", "-o", "run.yaml")
    assert written.exit_code == 0, written.stderr
    same = invoke("replay", "run.yaml")
    assert (same.exit_code, same.stdout) == (0, "same: 3 recorded answers given, nothing else asked\n")
    crew = folder / "finding.py"
    crew.write_text(crew.read_text().replace("Look up {topic}.", "Look {topic} up."))
    assert "different at find/1/model" in invoke("replay", "run.yaml").stdout
    invoke("runs", "prune", "@last", "--content", "none", "--yes")
    for command in (
        ("replay", "@last"),
        ("fork", "@last", "--from", "find"),
        ("export", "@last", "--format", "cassette"),
    ):
        refused = invoke(*command, standalone_mode=False)
        assert "content of run" in str(refused.exception), command
