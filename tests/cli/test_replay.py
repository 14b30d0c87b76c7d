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
