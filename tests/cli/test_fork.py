"""`crewkit fork` and `crewkit resume --changed`, as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path


def begun(invoke, *arguments: str) -> str:
    done = invoke("run", "finding.py", "-i", "topic=tides", "--json", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["run"]


def test_a_fork_is_run_and_show_tells_where_it_comes_from(invoke):
    run = begun(invoke)
    done = invoke("fork", run, "--from", "find/2", "--id", "r-second")
    assert done.exit_code == 0, done.stderr
    assert f"is a fork of {run} at find/2" in done.stderr
    shown = invoke("show", "r-second").stdout
    assert f"fork of    {run} at find/2, by " in shown
    assert "inherited" in shown
    lines = [json.loads(line) for line in invoke("show", "r-second", "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    listed = {row["run"]: row for row in map(json.loads, invoke("runs", "--json").stdout.splitlines())}
    assert listed["r-second"]["origin"] == run


def test_a_message_is_edited_and_the_fork_only_made(invoke, folder: Path):
    run = begun(invoke)
    (folder / "said.txt").write_text("Tides come twice a day.")
    done = invoke("fork", run, "--from", "find/1", "--edit-message", "@said.txt", "--no-run")
    assert done.exit_code == 0, done.stderr
    made = done.stdout.strip()
    resumed = invoke("resume", made)
    assert (resumed.exit_code, resumed.stdout) == (0, "Tides come twice a day.\n")


def test_another_input(invoke):
    run = begun(invoke)
    done = invoke("fork", run, "--set", "topic=the moon", "--json")
    assert done.exit_code == 0, done.stderr
    assert "the moon" in json.loads(done.stdout)["output"]


def test_wrong_use_is_refused_before_anything_is_made(invoke):
    run = begun(invoke)
    for arguments, said in (
        (("fork", run), "--from PATH, or --set NAME=VALUE"),
        (("fork", run, "--from", "fund"), "Did you mean 'find'"),
        (("fork", run, "--from", "find/9"), "There are: find"),
        (("fork", "r-nope", "--from", "find"), "no run 'r-nope'"),
        (("fork", run, "--set", "topik=x"), "no input 'topik'"),
        (("fork", run, "--set", "topic"), "--set topic: write NAME=TEXT"),
        (("fork", run, "--from", "find", "--edit-message", " "), "--edit-message is empty"),
        (("fork", run, "--from", "find/1", "--edit-message", "@nofile"), "cannot be read"),
        (("fork", run, "--from", "find", "--id", run), "There is a run"),
    ):
        done = invoke(*arguments)
        assert done.exit_code != 0, arguments
        assert said in done.stderr + str(done.exception), arguments
    assert len(invoke("runs", "--json").stdout.splitlines()) == 1


def test_a_changed_crew_is_named_and_done_again_as_asked(invoke, folder: Path):
    run = begun(invoke)
    crew = folder / "finding.py"
    crew.write_text(crew.read_text().replace("Look up {topic}.", "Look {topic} up."))
    kept = invoke("resume", run)
    assert kept.exit_code == 0
    assert "changed since  find: prompt (description)" in kept.stderr
    assert f"crewkit resume {run} --changed rerun" in kept.stderr
    again = invoke("resume", run, "--changed", "rerun")
    assert again.exit_code == 0, again.stderr
    assert "changed since: find (prompt (description)); done again: find" in again.stderr
