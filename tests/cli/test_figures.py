"""`stats` and `diff` against figures counted from the event lines that `show --json` prints, by other code."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import datetime
from statistics import mean
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CREW = '''
from crewkit import Agent, Crew, Task, recall, remember, tool
from crewkit.testing import ScriptedModel, call

@tool(effects="read")
def look_up(topic: str) -> str:
    """Look a topic up."""
    if "storm" in topic:
        raise ValueError("no data in a storm")
    return f"What is known of {topic}."

@tool
def publish(text: str) -> str:
    """Publish a text."""
    return "published"

def say(request):
    turn = sum(message.role == "assistant" for message in request.messages)
    names = {tool.name for tool in request.tools}
    if turn == 0 and "publish" in names:
        return call("publish", text="Tides come twice a day.")
    if turn == 0 and "remember" in names:
        return call("remember", fact="sea.md says: tides come twice a day.")
    if turn == 1 and "recall" in names:
        return call("recall", query="tides twice a day")
    if turn == 0 and "look_up" in names:
        topic = "tides" if "tides" in request.messages[-1].content else "a storm"
        return [call("look_up", topic=topic), call("look_up", topic="the moon")]
    return f"Answer {turn}: {request.messages[-1].content[-400:]}"

def twice(output: str) -> str | None:
    return None if output.startswith("Answer 2") else "Say it again."

def topics() -> list[str]:
    return ["tides", "a storm"]

def judge(find: list[str]) -> float:
    return 0.5

model = ScriptedModel(say, name="scripted/one")
other = ScriptedModel(say, name="scripted/two")
finder = Agent("Finder", "Find things.", tools=[look_up], model=model)
keeper = Agent("Keeper", "Keep things.", tools=[recall, remember], model=other)
editor = Agent("Editor", "Publish things.", tools=[publish], model=other)
find = Task("find", "Look up {item}.", "A fact.", finder, needs=["topics"], for_each="topics", guardrails=[twice])
keep = Task("keep", "Keep what {topic} is.", "A fact.", keeper)
release = Task("release", "Publish it.", "Done.", editor, needs=[keep])
crew = Crew([Task("topics", do=topics), find, Task("judge", do=judge, needs=["find"]), keep, release],
            inputs=["topic"], name="sea")
small = Crew([Task("find", "Look up {topic}.", "A fact.", finder)], inputs=["topic"], name="small")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    """A folder in which several runs ended in several ways, and what is printed there."""
    from click.testing import CliRunner

    from crewkit.cli.group import crewkit

    folder = tmp_path_factory.mktemp("figures")
    (folder / "sea.py").write_text(CREW)

    def call(*arguments: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for name in ("CREWKIT_HOME", "CREWKIT_MODEL"):
                patch.delenv(name, raising=False)
            return CliRunner().invoke(crewkit, list(arguments), standalone_mode=False)

    for topic, decision in (("tides", "approve"), ("moons", "deny"), ("suns", "")):
        call("run", "sea.py", "-i", f"topic={topic}")
        if decision:
            asked = json.loads(call("approvals", "--json").stdout.splitlines()[0])
            call(decision, asked["id"], "--note", "So be it.")
            call("resume", asked["run"])
    for topic in ("tides", "a storm"):
        call("run", "sea.py:small", "-i", f"topic={topic}")
    return call


@pytest.fixture(scope="module")
def lines(place) -> dict[str, list[dict[str, Any]]]:
    runs = [json.loads(line)["run"] for line in place("runs", "--json").stdout.splitlines()]
    assert len(runs) == 5
    return {
        run: [json.loads(line) for line in place("show", run, "--json").stdout.splitlines()] for run in runs
    }


def of(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] == kind]


def rank(values: list[float], part: float) -> float | None:
    return sorted(values)[max(math.ceil(part * len(values)), 1) - 1] if values else None


def spread(values: list[float]) -> dict[str, float | None]:
    return {"p50": rank(values, 0.5), "p90": rank(values, 0.9), "max": max(values, default=None)}


def part(some: float, whole: float) -> float | None:
    return round(some / whole, 6) if whole else None


def written_after(line: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """Return what agents wrote in a line's task after it; here they only answer."""
    later = [other for other in lines if other["seq"] > line["seq"] and other["task"] == line["task"]]
    said = of(later, "message.recorded")
    return " ".join(other["data"]["content"] for other in said if other["data"].get("role") == "assistant")


def tokens(line: dict[str, Any]) -> int:
    usage = line["data"].get("usage") or {}
    return usage.get("input_tokens", 0) + usage.get("output_tokens", 0)


def told(place, by: str) -> dict[str, dict[str, Any]]:
    printed = [json.loads(line) for line in place("stats", "--by", by, "--json").stdout.splitlines()]
    return {figures["name"]: figures for figures in printed}


def test_by_crew(place, lines):
    said = told(place, "crew")
    named = {run: of(events, "run.started")[0]["data"]["crew"] for run, events in lines.items()}
    assert set(said) == set(named.values()) == {"sea", "small"}
    for crew, figures in said.items():
        runs = [events for run, events in lines.items() if named[run] == crew]
        every = [line for events in runs for line in events]
        answered = [line for line in of(every, "model.finished") if "failed" not in line["data"]]
        assert figures["runs"] == len(runs)
        assert figures["tokens"]["total"] == sum(map(tokens, answered)) > 0
        assert figures["tokens"]["per_run"] == part(sum(map(tokens, answered)), len(runs))
        steps = [len(of(events, "model.finished")) for events in runs]
        assert figures["steps"] == {"total": len(answered), **spread(steps)}
        calls = Counter(line["data"]["outcome"] for line in of(every, "tool.finished"))
        assert figures["tools"]["outcomes"] == calls
        assert figures["tools"]["success_rate"] == part(calls["ok"], calls.total())
        verdicts = [line["data"]["verdict"] for line in of(every, "guardrail.checked")]
        rejected = sum(verdict != "allow" for verdict in verdicts)
        rejection = {
            "checked": len(verdicts),
            "rejected": rejected,
            "rejection_rate": part(rejected, len(verdicts)),
        }
        assert figures["guardrails"] == rejection
        asked = {line["data"]["id"]: line for line in of(every, "approval.requested")}
        decided = of(every, "approval.decided")
        assert figures["approvals"]["asked"] == len(asked)
        assert figures["approvals"]["decisions"] == Counter(line["data"]["decision"] for line in decided)
        waits = [
            (
                datetime.fromisoformat(d["ts"]) - datetime.fromisoformat(asked[d["data"]["id"]]["ts"])
            ).total_seconds()
            for d in decided
        ]
        waited = {
            "total": round(sum(waits), 6),
            "mean": round(mean(waits), 6) if waits else None,
            **spread(waits),
        }
        assert figures["approvals"]["waited_seconds"] == waited
        found = [(line, hit) for line in of(every, "memory.searched") for hit in line["data"]["hits"]]
        used = [hit for line, hit in found if hit["source"] in written_after(line, lines[line["run"]])]
        memory = {"searches": len(of(every, "memory.searched")), "hits": len(found), "used": len(used)}
        assert figures["memory"] == {**memory, "use_rate": part(len(used), len(found))}
    sea = said["sea"]
    assert sea["statuses"] == {"completed": 1, "paused": 1, "failed": 1} or sea["runs"] == 3
    assert sea["approvals"]["asked"] == 3
    assert sea["guardrails"]["rejected"]
    assert sea["memory"]["used"]
    assert said["small"]["tools"]["outcomes"]["error"]


def test_by_agent_and_by_model(place, lines):
    every = [line for events in lines.values() for line in events]
    for by, key in (("agent", lambda line: line["agent"]), ("model", lambda line: line["data"]["model"])):
        said = told(place, by)
        answered = of(every, "model.finished")
        assert set(said) == {key(line) for line in answered}
        for name, figures in said.items():
            own = [line for line in answered if key(line) == name]
            assert figures["tokens"]["total"] == sum(map(tokens, own))
            assert figures["steps"]["total"] == len(own)
            runs = Counter(line["run"] for line in own)
            assert {k: figures["steps"][k] for k in ("p50", "p90", "max")} == spread(list(runs.values()))
            assert figures["models"]["seconds"] == spread([line["data"]["seconds"] for line in own])
            if by == "agent":
                calls = Counter(
                    d["data"]["outcome"] for d in of(every, "tool.finished") if d["agent"] == name
                )
                assert figures["tools"]["outcomes"] == calls


def test_by_tool(place, lines):
    every = [line for events in lines.values() for line in events]
    name_of = {
        (line["run"], line["path"]): line["data"]["tool"] for line in every if line["data"].get("tool")
    }
    ended = of(every, "tool.finished")
    said = told(place, "tool")
    for tool in ("look_up", "publish", "remember", "recall"):
        own = [line for line in ended if name_of[line["run"], line["path"]] == tool]
        calls = Counter(line["data"]["outcome"] for line in own)
        assert said[tool]["tools"]["outcomes"] == calls
        assert said[tool]["tools"]["success_rate"] == part(calls["ok"], calls.total())
        asked = [line for line in of(every, "approval.requested") if line["data"].get("tool") == tool]
        assert said[tool]["approvals"]["asked"] == len(asked)


@pytest.mark.parametrize("by", ["task", "decision", "cost"])
def test_two_runs_differ_where_their_lines_do(place, lines, by):
    runs = list(lines)[::-1]  # the oldest first
    for one, other in ((runs[0], runs[1]), (runs[0], runs[2]), (runs[3], runs[4]), (runs[0], runs[0])):
        places = [_places(lines[run], by) for run in (one, other)]
        differing = {at for at in {**places[0], **places[1]} if places[0].get(at) != places[1].get(at)}
        done = place("diff", one, other, "--by", by, "--json")
        said = json.loads(done.stdout)
        assert {each["at"] for each in said["differences"]} == differing
        assert done.return_value == (1 if differing else 0)
        assert said["same"] is not bool(differing)
        if differing:
            assert said["first"] == said["differences"][0]
            common = [at for at in places[0] if at in differing]
            firsts = {common[0] if common else None, next((at for at in places[1] if at in differing), None)}
            assert said["first"]["at"] in firsts


def _places(lines: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """Return what there is to compare of a run, place by place."""
    found: dict[str, Any] = {}
    if by == "task":
        for line in lines:
            data = line["data"]
            if line["type"] == "task.started":
                found[line["path"]] = {"who": data.get("agent"), "status": "unfinished"}
            elif line["type"] == "task.finished":
                mine = found.setdefault(line["path"], {"who": line["agent"]})
                why = (data.get("error") or {}).get("message") or data.get("why")
                mine |= {"status": data["status"], "output": data.get("output"), "why": why}
    elif by == "decision":
        for line in of(lines, "decision.made"):
            data = line["data"]
            chosen = [(call["tool"], json.loads(call["arguments"])) for call in data["chosen"]]
            text = None if chosen else data["text"]
            found[line["path"]] = (data["offered"], data["withheld"], chosen, text)
    else:
        for line in [*of(lines, "model.finished"), *of(lines, "tool.finished")]:
            for at in (line["task"], ""):
                usage = line["data"].get("usage") or {}
                used = found.setdefault(at, Counter())
                used["in"] += usage.get("input_tokens", 0)
                used["out"] += usage.get("output_tokens", 0)
                used[line["data"].get("outcome", "answers")] += 1
        found[""] = found.pop("")  # the whole run comes last
    return found
