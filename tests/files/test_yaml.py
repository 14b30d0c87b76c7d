import dataclasses
import inspect
import json
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from crewkit import Agent, Ask, Breaker, Capable, Crew, Grant, Limits, Retry, Route, Task, Tool
from crewkit.errors import CrewkitError, DefinitionError, InputError
from crewkit.files.load import load
from crewkit.files.schema import schema
from crewkit.files.yaml import load_yaml
from crewkit.resilience.throttle import Rate

TOOLS = '''
from crewkit import Crew, Task, tool
from pydantic import BaseModel

class Brief(BaseModel):
    title: str

@tool(effects=["write"], timeout=5)
def store(text: str) -> str:
    """Store a text."""
    return text

def look(topic: str) -> str:
    """Look a topic up."""
    return topic

def good(brief):
    return None

def late(topic: str) -> bool:
    return topic == "x"

def worth(said):
    return None if len(said) > 1 else "Say more."

class Passing(Exception):
    pass

inner = Crew([Task("one", do=look)], inputs=["topic"])
not_callable = 3
'''

WHOLE = """
name: whole
inputs: {topic: What it is about., days: {type: int, default: 7}}
model: strong
models:
  strong: offline
  cheap: {model: [offline], usd: [1, 2], capabilities: [tools], fallback: [strong]}
tools:
  look: {use: "my_tools:look", effects: read, timeout: 9}
  keep: my_tools:store
agents:
  Finder: {goal: Find., tools: [look], model: {capable: [tools], prefer: cheap}, limits: {steps: 3}}
  second: {role: Writer, goal: Write., tools: [keep], scope: [{tool: keep, approval: never}]}
tasks:
  find: {description: "Find {topic}.", agent: Finder, output: {title: str, hits: "list[str] | null"}}
  kind: {do: "my_tools:look", when: "topic == 'x'"}
  other: {do: "my_tools:inner", when: "my_tools:late"}
  write: {description: Write., agent: second, needs: [find, {any_of: [kind, other]}], output: "my_tools:Brief",
          guardrails: ["my_tools:good"], timeout: 20, on_failure: skip, limits: {usd: 1, tokens: null}}
limits: {usd: 2, seconds: null}
"""


EVERYTHING = """
name: everything
inputs: {topic: {default: x}, plan: {type: "dict[str, list[str]]", default: {parts: [a, b]}}}
notify: [terminal]
breaker: {failures: 9, window: 2m}
guardrails: {input: ["my_tools:good"], output: ["my_tools:good"]}
knowledge: []
models: {cheap: {model: offline, timeout: 10s, rate: 30/min, concurrency: 2, retries: 1}}
tools:
  look: {use: "my_tools:look", effects: read, cache_ttl: 1h, timeout: 2m, retries: {attempts: 3, first: 0.1},
         retry_on: ["my_tools:Passing", "builtins:OSError"], breaker: null, fallback: spare, rate: 5/s,
         control: [topic]}
  spare: {use: "my_tools:look", effects: [read, external], breaker: {failures: 2, pause: 5s}, preview: "my_tools:look"}
  keep: {use: "my_tools:store", undo: unkeep}
  unkeep: {use: "my_tools:store", effects: write, idempotent: true}
agents:
  Writer: {goal: Write., tools: [look, spare], window: {messages: 50, model: cheap},
           guardrails: {results: ["my_tools:good"]}}
  Critic: {goal: Criticise., scope: [], model: [offline, cheap]}
  Judge: {goal: Judge.}
tasks:
  way: {routes: {first: "topic == 'x'", second: else}}
  first: {do: look}
  second: {do: "my_tools:look"}
  talk:
    do: {conversation: {members: [Writer, Critic, "my_tools:worth"], speaker: in turn, rounds: 4, closing: Writer,
                        until: "my_tools:worth"}}
    description: Talk about {topic}.
  moderated: {do: {conversation: {members: [Writer, Critic], speaker: {agent: Judge}}}, description: Talk.}
  handed: {do: {conversation: {members: [Writer, Critic],
                speaker: {transitions: {onward: {Writer: [Critic], Critic: [end]}, back: {Critic: [Writer]}}}}},
           description: Talk.}
  one: {description: Say a number., agent: Writer, on_failure: continue}
  other: {description: Say a number., agent: Critic, deadline: 2d, human_input: "Is it good?"}
  settled: {needs: [one, other], do: {resolve: [vote, {priority: [one, other]}, {agent: Judge}, {ask: "Which?"}]}}
  each: {description: "Do {item}.", agent: Writer, for_each: plan.parts, concurrency: 2, min_success: 0.5,
         fallback: [cheap, {capable: [tools]}, {agent: Judge}, {ask: {question: "Good?", expires: 1d}}],
         requires_tools: [look], until: "len_ok", iterations: 2, timeout: 5m, limits: {seconds: 1h}}
  planned: {description: Do it., do: {plan: {agents: [Writer, Critic], agent: Judge, tasks: 3, approval: true}}}
  text: {do: "my_tools:look"}
  kept: {do: keep, needs: [text]}
  waits: {wait_for: something_happened, deadline: 7d}
  later: {wait_for: 30s}
""".replace('until: "len_ok", ', "")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_tools", raising=False)
    (tmp_path / "my_tools.py").write_text(TOOLS)
    return tmp_path


def written(folder: Path, text: str) -> Crew:
    (folder / "crew.yaml").write_text(text)
    return load_yaml(folder / "crew.yaml")


def test_a_file_makes_the_same_definitions_as_python(folder):
    crew = written(folder, WHOLE)
    jobs = crew.plan.jobs
    assert (crew.name, crew.model, crew.limits) == ("whole", "strong", Limits(usd=2, seconds=None))
    assert crew.models["cheap"] == Route(["offline"], usd=(1, 2), capabilities=["tools"], fallback=["strong"])
    assert crew.plan.inputs["days"].default == 7
    finder, writer = jobs["find"].agent, jobs["write"].agent
    assert (finder.role, finder.model, finder.limits.cap("steps")) == (
        "Finder",
        Capable("tools", prefer="cheap"),
        3,
    )
    assert (writer.role, [grant.approval for grant in writer.scope]) == ("Writer", ["never"])
    look, keep = finder.tools[0], writer.tools[0]
    assert (look.name, look.effects, look.timeout) == ("look", ("read",), 9)
    assert (keep.name, keep.effects, keep.timeout) == ("keep", ("write",), 5)
    assert jobs["write"].after == "find, one of kind or other"
    task = jobs["write"].task
    assert (task.timeout, task.on_failure, task.limits) == (20, "skip", Limits(usd=1, tokens=None))
    assert task.output_type.__name__ == "Brief"
    assert jobs["find"].output.load({"title": "a", "hits": None}).hits is None
    assert jobs["kind"].when.says == "topic == 'x'"
    assert jobs["other"].when.says == "late()"
    assert jobs["other"].kind == "crew"


def test_all_that_python_can_say_can_be_said(folder):
    crew = written(folder, EVERYTHING)
    jobs, tasks = crew.plan.jobs, {task.name: task for task in crew.tasks}
    assert crew.breaker == Breaker(failures=9, window=120)
    assert [len(points) for points in (crew.guardrails.input, crew.guardrails.output)] == [1, 1]
    assert (crew.notify, crew.models["cheap"].timeout, crew.models["cheap"].rate) == (
        ("terminal",),
        10,
        Rate(30, 60.0),
    )
    writer = tasks["one"].agent
    look = writer.tools[0]
    assert (look.cache_ttl, look.timeout, look.retries) == (3600, 120, Retry(attempts=3, first=0.1))
    assert [error.__name__ for error in look.retry_on] == ["Passing", "OSError"]
    assert (look.breaker, look.fallback.name, look.fallback.breaker) == (None, "spare", Breaker(2, pause=5))
    assert (writer.window.messages, writer.window.model) == (50, "cheap")
    assert jobs["first"].when.says == "way == 'first'"
    talk = tasks["talk"].do
    assert [getattr(each, "role", "") for each in talk.members] == ["Writer", "Critic", ""]
    assert (talk.rounds, talk.closing.role) == (4, "Writer")
    assert tasks["moderated"].do.speaker.role == "Judge"
    assert tasks["handed"].do.speaker.back == {"Critic": ["Writer"]}
    assert [type(rule).__name__ for rule in tasks["settled"].do.rules] == ["str", "Priority", "Agent", "Ask"]
    each = tasks["each"]
    assert (each.for_each, each.concurrency, each.min_success) == ("plan.parts", 2, 0.5)
    assert [type(rung).__name__ for rung in each.fallback] == ["str", "Capable", "Agent", "Ask"]
    assert each.fallback[3] == Ask("Good?", expires=86_400)
    assert (each.timeout, each.limits.seconds, tasks["waits"].deadline) == (300, 3600, timedelta(days=7))
    planner = tasks["planned"].do
    assert ([each.role for each in planner.agents], planner.who.role) == (["Writer", "Critic"], "Judge")
    assert tasks["kept"].do.undo.name == "unkeep"
    assert tasks["later"].wait_for == timedelta(seconds=30)


SAID_OTHERWISE = {
    Task: {"name", "output_type"},
    Tool: {"name", "function", "parameters", "context", "convert"},
    Agent: set(),
    Crew: {"tasks", "agents"},
}


@pytest.mark.parametrize("definition", SAID_OTHERWISE)
def test_every_field_of_a_definition_is_in_the_schema(definition):
    whole = schema()["properties"]
    parts = {
        Crew: whole,
        Task: whole["tasks"]["additionalProperties"]["anyOf"][1]["properties"],
        Agent: whole["agents"]["additionalProperties"]["properties"],
        Tool: whole["tools"]["additionalProperties"]["anyOf"][1]["properties"],
    }
    fields = {each.name for each in dataclasses.fields(definition) if each.init and each.name[0] != "_"}
    assert fields - SAID_OTHERWISE[definition] <= set(parts[definition])
    for name in fields - SAID_OTHERWISE[definition]:
        assert set(parts[definition][name]) - {"description", "default"}, f"{name} may be anything"


def test_a_crew_in_a_file_does_a_task_of_another(folder):
    (folder / "inner.yaml").write_text("inputs: [topic]\ntasks: {one: {do: 'my_tools:look'}}")
    crew = written(folder, "inputs: [topic]\ntasks: {outer: {do: inner.yaml}}")
    assert crew.run_sync({"topic": "tides"}).output == "tides"


def test_a_folder_with_a_yaml_file_is_a_target(folder):
    written(folder, "tasks: {one: {do: 'my_tools:inner'}}\ninputs: [topic]")
    assert load(".").name == load("crew.yaml").name == "crew"
    with pytest.raises(InputError, match="holds one crew"):
        load("crew.yaml:crew")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "tasks:\n  a:\n    description: x\n    agnt: b",
            "line 4: tasks.a has no field 'agnt'. Did you mean 'agent'?",
        ),
        ("nmae: x\ntasks: {}", "line 1: there is no section 'nmae'. Did you mean 'name'?"),
        ("tasks:\n  a: {do: 'my_tools:lok'}", "line 2: there is no 'lok' in my_tools. Did you mean 'look'?"),
        ("tasks:\n  a: {do: 'no_such:x'}", "line 2: no_such cannot be imported: ModuleNotFoundError"),
        ("tasks:\n  a: {do: look}", "line 2: 'look' names no code: write module:function."),
        ("tools:\n  a: {use: 'my_tools:not_callable'}\ntasks: {}", "line 2: "),
        (
            "agents:\n  A: {role: B}\ntasks: {}",
            "line 2: agents.A has no 'goal'. Write goal: …",
        ),
        ("models:\n  a: null\ntasks: {}", "line 2: models.a is None, not a mapping."),
        ("inputs: {a: 5}\ntasks: {}", "line 1: inputs.a is 5, not a mapping."),
        ("tools:\n  a: {use: 'my_tools:look', undo: []}\ntasks: {}", "line 2: there is no tool '[]'."),
        ("tasks:\n  a: {description: x, routes: [null, b]}", "line 2: Task 'a': None is no route"),
        ("tasks:\n  a: {routes: {b: []}}\n  b: x", "line 2: Task 'a': [] is no condition of a route."),
        (
            "agents: {A: {goal: g}, B: {goal: g}}\ntasks:\n  a: {description: x, do: {conversation: {members: [A, B],"
            " speaker: {transitions: {onward: x}}}}}",
            "line 3: Conversation of A, B: its transitions are 'x'",
        ),
        ("agents:\n  A: {goal: g, tools: [nothing]}\ntasks: {}", "line 2: there is no tool 'nothing'."),
        (
            "inputs: [topic]\nagents: {A: {goal: g}}\ntasks:\n  a: x\n  b: {description: y, needs: [c]}",
            "line 5: Task 'b' needs 'c'",
        ),
        (
            "agents: {A: {goal: g}}\ntasks:\n  a:\n    description: x\n    output: {n: itn}",
            "line 5: 'itn' is no type.",
        ),
        ("tasks: [a]", "line 1: tasks is no mapping."),
        ("name: x", "line 1: there are no tasks. Write at least one: tasks: {first: {…}}."),
        (
            "name: x\ntasks:\n\ta: b",
            "line 3: found character '\\t' that cannot start any token. Indent with spaces.",
        ),
        (
            "tasks:\n  a: Note: this",
            "line 2: mapping values are not allowed here. A text with ': ' in it goes",
        ),
        ("tasks: {a: b}\n---\nname: y", "line 2: found another document. A file holds one crew"),
        (
            "tasks: &a\n  b: *a",
            "line 2: it is nested too deeply, or an alias stands inside of what it stands for",
        ),
        ("tasks: " + "[" * 3000, "crew.yaml is nested too deeply: 50 levels at most."),
        (
            "tasks:\n  a: &a {do: 'my_tools:look'}\n  b: {<<: *a}",
            "line 3: merge keys (<<) are not read. Write the fields out.",
        ),
        ("tasks:\n  ? [a]\n  : b", "line 2: a key is a name."),
        ("tasks:\n  ~: Say it.", "line 2: Task '~': a name is letters"),
        (
            "agents: {A: {goal: yes}}\ntasks: {a: b}",
            "line 1: Agent 'A': goal is True, not a text. Put it in quotation",
        ),
        (
            "agents: {A: {goal: g}}\ntasks:\n  on: Say it.\n  b: {description: x, needs: [on]}",
            "line 4: tasks.b.needs.0 is True, not a name. A name that YAML reads otherwise goes in quotation marks.",
        ),
        (
            "agents: {on: {goal: g}}\ntasks:\n  b: {description: x, agent: on}",
            "line 3: tasks.b.agent is True, not a name.",
        ),
        ("tasks:\n  a: {do: other.yaml}", "line 2: "),
        ("tasks:\n  a: {do: crew.yaml}", "line 2: a crew cannot do a task of itself: crew.yaml → crew.yaml."),
        (
            "inputs: [topic]\ntasks:\n  a: {do: 'my_tools:inner', needs: [b]}\n  b: {do: 'my_tools:inner', needs: [a]}",
            "line 3: Tasks wait for each other in a circle",
        ),
        (
            "tasks:\n  a: {do: 'my_tools:inner', needs: [{any_of: b}]}",
            "line 2: any_of is 'b', not a list: [b].",
        ),
        (
            "tasks:\n  a: {do: 'my_tools:inner', timeout: soon}",
            "line 2: timeout is 'soon', not a duration: 30s, 10m, 2h, 7d, 1w, or a number of seconds.",
        ),
        (
            "tools:\n  t: {use: 'my_tools:look', effects: read, cache_ttl: never}\ntasks: {a: b}",
            "line 2: cache_ttl is 'never', not a duration",
        ),
        (
            "agents:\n  A: {goal: g, scope: [nothing]}\ntasks: {a: b}",
            "line 2: The scope of agent 'A' has a grant for 'nothing'",
        ),
        ("tools:\n  a: {use: 'my_tools:look', fallback: b}\ntasks: {}", "line 2: there is no tool 'b'."),
        (
            "tools:\n  a: {use: 'my_tools:look', fallback: b}\n  b: {use: 'my_tools:look', fallback: a}\ntasks: {}",
            "line 3: tool 'b' falls back on itself.",
        ),
        ("breaker:\n  failures: 0\ntasks: {}", "line 1: Breaker: failures=0 is not a number above 0."),
        (
            "breaker:\n  failurs: 2\ntasks: {}",
            "line 2: breaker has no field 'failurs'. Did you mean 'failures'?",
        ),
        ("breaker: often\ntasks: {}", "line 1: breaker is 'often', not a mapping: {failures: 5, window: 60s"),
        (
            "guardrails: {ouput: []}\ntasks: {}",
            "line 1: guardrails has no field 'ouput'. Did you mean 'output'?",
        ),
        (
            "agents: {A: {goal: g}}\ntasks:\n  t:\n    description: x\n    fallback:\n    - {agent: B}",
            "line 6: there is no agent 'B'. There are: A.",
        ),
        (
            "agents: {A: {goal: g}}\ntasks:\n  t:\n    description: x\n    do:\n      conversation: {members: [A, C]}",
            "line 6: there is no agent 'C'. There are: A.",
        ),
        (
            "tasks:\n  t: {do: {resolve: [vote, {ask: x, agent: y}]}}",
            "line 2: write one of these alone: priority, agent",
        ),
        ("tasks:\n  t: {do: {resolve: vote}}", "line 2: resolve is 'vote', not a list"),
        ("tasks:\n  t: {do: {converse: {}}}", "line 2: tasks.t.do has no field 'converse'."),
        ("tasks:\n  t: {do: {}}", "line 2: write one of these alone: conversation, plan, resolve."),
        ("tasks:\n  t: {routes: {u: 'x =='}}\n  u: {do: 'my_tools:look'}", "line 2: Task 't': routes['u']"),
        ("tasks:\n  a: x\n  a: y", "line 3: 'a' stands twice."),
        ("a: [1", "line 1: "),
        ("- 1", "holds no mapping"),
        ("limits: {usd: -1}\ntasks: {}", "line 1: Limits(usd=-1): a cap is a number above 0"),
        (
            "tasks: !!python/object/apply:os.system ['echo']",
            "line 1: the tag '!!python/object/apply:os.system'",
        ),
        ("", "line 1: there are no tasks."),
    ],
)
def test_a_mistake_is_said_with_its_line(folder, text, said):
    with pytest.raises(DefinitionError) as caught:
        written(folder, text)
    assert str(caught.value).startswith("crew.yaml")
    assert said in str(caught.value)


def test_names_are_taken_as_they_are_written(folder):
    written(
        folder,
        """
        agents: {no: {goal: g}}
        inputs: ["y"]
        tasks:
          on: Say it.
          _1: {wait_for: 5, needs: ["on"]}
        """,
    )
    plan = load("crew.yaml").plan
    assert (list(plan.jobs), list(plan.agents)) == (["on", "_1"], ["no"])
    assert plan.jobs["_1"].task.wait_for == timedelta(seconds=5)


def test_aliases_that_multiply_are_refused(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(DefinitionError, match="holds more than 20,000 values"):
        written(folder, "\n".join(lines))


def test_durations_are_written_with_their_unit():
    from crewkit.files.values import duration

    assert [duration(text) for text in ("30s", "1.5h", "7d", "signed", 5)] == [
        timedelta(seconds=30),
        timedelta(hours=1.5),
        timedelta(days=7),
        "signed",
        5,
    ]


def test_only_the_modules_that_a_file_names_are_imported(folder):
    (folder / "crew.yaml").write_text("inputs: [topic]\ntasks: {one: {do: 'my_tools:look'}}")
    (folder / "other.py").write_text("raise SystemExit('imported')")
    (folder / "yaml_tools.py").write_text("raise SystemExit('imported')")
    code = "import sys; from crewkit.files.load import load; load('crew.yaml'); "
    code += "print('my_tools' in sys.modules, 'litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_the_schema_knows_all_that_a_grant_takes():
    known = set(inspect.signature(Grant).parameters)
    assert set(schema()["$defs"]["grant"]["properties"]) == known


def test_the_schema_for_editors_takes_what_the_reader_takes():
    validator = Draft202012Validator(schema())
    Draft202012Validator.check_schema(schema())
    starter = Path(__file__).parents[2] / "crewkit/cli/starter.yaml.txt"
    for text in (WHOLE, EVERYTHING, starter.read_text().replace("@NAME@", "n").replace("@MODULE@", "m")):
        errors = [error.message for error in validator.iter_errors(yaml.safe_load(text))]
        assert not errors
    for wrong in (
        {},
        {"tasks": {}},
        {"tasks": {"a": {"needz": []}}},
        {"tasks": {"a b": "x"}},
        {"tasks": {"a": {"iterations": 0}}},
        {"tasks": {"a": {"timeout": -1}}},
        {"tasks": {"a": {"needs": [{"any_of": []}]}}},
        {"tasks": {"a": {"do": {"conversation": {"members": ["A"]}}}}},
        {"tasks": {"a": "x"}, "limits": {"usd": "x"}},
        {"tasks": {"a": "x"}, "limits": {"tokens": 0}},
        {"tasks": {"a": "x"}, "models": {"cheap": {"usd": [1, 2]}}},
        {"tasks": {"a": "x"}, "models": {"cheap": {"model": "offline", "usd": [1]}}},
        {"tasks": {"a": "x"}, "models": {"cheap": {"model": "offline", "rate": "fast"}}},
    ):
        assert not validator.is_valid(wrong), wrong
    assert "placeholders" in json.dumps(schema())


@given(
    st.text(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "tasks",
                        "agents",
                        "tools",
                        "a",
                        "needs",
                        "do",
                        "goal",
                        "description",
                        "limits",
                        "inputs",
                        "models",
                        "scope",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ).map(json.dumps)
)
def test_whatever_a_file_holds_it_is_a_crew_or_an_error_of_ours(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("yaml") / "crew.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(CrewkitError):
        assert isinstance(load_yaml(file), Crew)
