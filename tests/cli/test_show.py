import io
import json
import sqlite3

from inline_snapshot import snapshot
from rich.console import Console

from crewkit.cli.group import serve
from crewkit.cli.lines import Line
from crewkit.cli.show import drawn
from crewkit.cli.transcript import Transcript
from crewkit.core.events import Draft


def test_the_transcript_tells_everything(kept, invoke):
    assert invoke("show", kept).output == snapshot("""\
run r-kept  crew digest  failed
  why        Task 'draft' failed.
  input      topic = tides
  models     openai/gpt-5-mini
  took       17 s of work, begun 2026-11-21 09:00:00
  used       1,200 tokens in, 1,000 of them cached, 80 out · unknown cost · 1 model step · 1 tool call
  limits     200,000 tokens · 0.5 usd
  crew file  digest.py, in /home/ada
  ✗ draft  Writer  failed: sent back too often
  - release  Writer  after draft  skipped: It needs 'draft', which failed.

✗ draft  Writer  failed
  used       12 s · 1,200 tokens in, 1,000 of them cached, 80 out · unknown cost · 1 model step · 1 tool call
  assignment  coordinator → Writer
    | # Task: draft
    | Write.
  who it is
    | You are Writer.
  turn 1  openai/gpt-5-mini · 1,200 tokens in, 80 out · unknown cost · 1.5 s
    retry      after 2.0 s: 429 Too Many Requests
    sent       2 messages, 2 of them new, temperature 0.2
    said
      | I search first.
    could call search
    withheld   publish: scope, no grant
    decided    search(query="tides")
    left       198,720 tokens · 0.49 usd · 24 steps
    search(query="tides") → ok · 900 characters, of which the agent saw 20 · 0.2 s
      recalled   1 passage for 'tides'
        0.9  sea.md:3-40
      | \\x1b[2Jtwo \\u202etides [red]a day[/red]
  turn 2
    guardrail  enough_sources: revise: Cite three.
  why        sent back too often

- release    skipped
  why        It needs 'draft', which failed.

history
  09:00:00  started by pid 7 on ada
  09:00:17  finished: failed. Task 'draft' failed.
""")


def test_what_a_run_went_through_is_told_where_it_happened(rescued):
    text = "\n".join(
        f"{'  ' * line.indent}{''.join(said for said, _ in line.spans)}"
        for line in Transcript(rescued, alive=False)
    )
    for told in (
        'table(name="T1") → ok · 14 characters · kept from rates/1/tool:1,',
        'rates(day="Monday") → ok · 16 characters · stale, kept from rates/1/tool:0,',
        'called instead\n      archive(path="/x") → ok',
        "withheld   fetch: breaker, it failed 2 times within 600 seconds",
        "the circuit of fetch is open until ",
        "summarised 11 messages · cheap/summariser · 223 tokens in, 7 out",
        "escalated  to Senior",
        "waits      for the event 'contract_signed', since",
        "came       told by Ann",
        "inbox      Ann: Keep it short.",
        "event 'contract_signed' told by Ann",
    ):
        assert told in text
    order = [
        text.index(told)
        for told in ("      One\n", "revise: Two words", "Answer again", "turn 11 ", "Three words")
    ]
    assert order == sorted(order), "what was sent back stands after the answer that it was said of"
    assert "interrupted" not in text


def test_json_is_exactly_the_events(kept, invoke):
    lines = [json.loads(line) for line in invoke("show", kept, "--json").output.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 19))
    assert list(lines[0]) == [
        *("v", "seq", "ts", "t", "run", "seg", "type", "span", "parent"),
        *("task", "agent", "path", "attempt", "data"),
    ]


def test_filters_narrow_what_is_shown(kept, invoke):
    by_type = invoke("show", kept, "--type", "tool.finished", "--json").output.splitlines()
    assert [json.loads(line)["type"] for line in by_type] == ["tool.finished"]
    by_task = invoke("show", kept, "--task", "release", "--json").output.splitlines()
    assert {json.loads(line)["task"] for line in by_task} == {"release"}
    assert "crew digest" not in invoke("show", kept, "--task", "draft").output
    assert "search(" in invoke("show", kept, "--agent", "Writer").output


def test_a_filter_that_names_nothing_says_what_there_is(kept, invoke):
    assert str(invoke("show", kept, "--task", "drft").exception) == (
        "The run has no task 'drft'. Did you mean 'draft'? It has: draft, release."
    )


def test_following_a_run_that_is_over_ends(kept, invoke):
    told = invoke("show", kept, "--follow").output.splitlines()
    assert told[-1] == "09:00:17  failed: Task 'draft' failed."
    assert '09:00:09    draft  turn 1 calls: search({"query": "tides"})' in told


def test_following_a_run_whose_process_died_ends(write_run, invoke):
    write_run("r-dead", [Draft("run.started", data={"crew": "x"})])
    followed = invoke("show", "r-dead", "--follow")
    assert "its process is gone: crewkit resume r-dead" in followed.output


def test_a_run_whose_process_died_says_so(write_run, invoke):
    write_run("r-dead", [Draft("run.started", data={"crew": "x"})])
    assert (
        "Its process died, or was killed, without a word. It can be resumed."
        in invoke("show", "r-dead").output
    )


def test_questions_between_agents_stand_in_their_thread(write_run, invoke):
    said = {"thread": "draft Ann and Bob", "round": 1, "data": {}}
    write_run(
        "r-talk",
        [
            Draft("run.started", data={"crew": "x"}),
            Draft("task.started", "draft", {"agent": "Ann"}, "draft", "Ann"),
            Draft(
                "message.recorded",
                "draft Ann and Bob",
                {
                    "id": "q",
                    "kind": "question",
                    "sender": "Ann",
                    "to": "Bob",
                    "content": "When is it due?",
                    **said,
                },
                "draft",
                "Ann",
            ),
            Draft(
                "message.recorded",
                "draft Ann and Bob",
                {"id": "a", "kind": "answer", "sender": "Bob", "to": "Ann", "content": "On Monday.", **said},
                "draft",
                "Bob",
            ),
            Draft("decision.made", "draft/1/tool:0/Bob/1", {"offered": []}, "draft", "Bob"),
        ],
    )
    shown = invoke("show", "r-talk").output
    thread = shown[shown.index("  thread draft Ann and Bob") : shown.index("history")]
    assert thread.split("\n")[1:5] == [
        "    question  Ann → Bob, round 1",
        "      | When is it due?",
        "    answer  Bob → Ann, round 1",
        "      | On Monday.",
    ]
    assert "Bob, turn 1" in shown


def test_a_journal_that_is_no_journal_is_one_clear_message(folder, capsys):
    (folder / ".crewkit").mkdir()
    (folder / ".crewkit" / "journal.db").write_bytes(b"not a database, but long enough" * 100)
    assert serve(["show", "@last"]) == 1
    assert capsys.readouterr().err.startswith("Error: The journal ")


def test_a_damaged_journal_is_shown_as_far_as_it_goes(kept, folder, invoke):
    with sqlite3.connect(folder / ".crewkit" / "journal.db") as db:
        db.execute("UPDATE events SET data = '{\"half' WHERE seq = 12")
    db.close()
    shown = invoke("show", kept)
    assert shown.exit_code == 0
    assert "retry" in shown.output
    assert "DAMAGED: nothing after event 11 can be read" in shown.output


def test_an_event_of_a_newer_kind_is_passed_over(write_run, invoke):
    write_run(
        "r-new",
        [Draft("run.started"), Draft("dream.dreamt", "x/1", {"of": "sheep"}, "x"), Draft("run.paused")],
    )
    assert invoke("show", "r-new").exit_code == 0
    assert "sheep" in invoke("show", "r-new", "--type", "dream.dreamt").output


def test_a_narrow_terminal_wraps_under_the_bar():
    out = io.StringIO()
    draw = drawn(Console(file=out, width=24, force_terminal=False, markup=False))
    draw(Line([("a long line of content that goes on [red]", "")], indent=1, bar=True))
    assert out.getvalue() == snapshot("""\
  │ a long line of \n\
  │ content that goes \n\
  │ on [red]
""")


def test_a_task_without_an_agent_is_shown_by_what_does_it(folder, invoke):
    (folder / "plain.py").write_text(
        "from crewkit import Agent, Crew, Task\n"
        "def add() -> str:\n    return 'sum'\n"
        "inner = Crew([Task('write', 'Write.', agent=Agent('write', 'Write.'))])\n"
        "crew = Crew([Task('add', do=add), Task('nested', do=inner)])\n"
    )
    invoke("run", "plain.py")
    shown = invoke("show", "@last").output
    assert "  ✓ add  add()  completed" in shown
    assert "  ✓ nested  a crew  completed" in shown
    assert "✓ nested/write  write  completed" in shown


def test_a_function_that_raised_is_shown_with_its_line(folder, invoke):
    lines = (folder / "finding.py").read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "raise RuntimeError" in text)
    invoke("run", "finding.py:failing")
    assert f"raised in  finding.py, line {line}, in fail" in invoke("show", "@last").output


def test_a_timeline_has_a_row_for_each_task_on_one_clock(kept, invoke):
    assert invoke("show", kept, "--timeline").output == snapshot("""\
         0⋯                                                                 17 s
draft    ██████████████████████████████████████████████████████████████████████        14 s    1,280
release                                                                        █      0.0 s
⋯ nothing under way
""")


def test_a_task_s_timeline_has_its_steps(kept, invoke):
    shown = invoke("show", kept, "--timeline", "--task", "draft").output
    assert [line.split()[0] for line in shown.splitlines()[1:]] == snapshot(
        ["draft", "turn", "search", "turn", "⋯"]
    )


def test_a_timeline_as_data_has_every_bar(kept, invoke):
    data = json.loads(invoke("show", kept, "--timeline", "--json").output)
    assert data["bars"]["draft/1/tool:0"] == [{"start": 10.0, "end": 13.0, "kind": "work"}]
    assert data["end"] == 17.0


def test_a_wait_for_a_person_is_drawn_as_one(write_run, invoke):
    write_run(
        "r-wait",
        [
            Draft("run.started", data={"crew": "x"}),
            Draft("task.started", "a", {}, "a"),
            Draft("approval.requested", "a/1/ask", {"id": "q"}, "a"),
            Draft("approval.decided", "a/1/ask", {"id": "q", "decision": "approve"}, "a"),
            Draft("task.finished", "a", {"status": "completed"}, "a"),
        ],
    )
    shown = invoke("show", "r-wait", "--timeline", "--task", "a").output
    assert "░" in shown
    assert "waits for a person" in shown


def test_decisions_say_out_of_what_and_what_was_left(kept, invoke):
    assert invoke("show", kept, "--decisions").output == snapshot("""\
draft/1  Writer
  decided   search(query="tides")
  of        search
  withheld  publish: scope, no grant
  left      198,720 tokens · 0.4900 usd · 24 steps
""")
    [line] = invoke("show", kept, "--decisions", "--json").output.splitlines()
    assert json.loads(line)["type"] == "decision.made"


def test_one_step_is_shown_alone(kept, invoke):
    shown = invoke("show", kept, "--step", "draft/1/tool:0").output
    assert shown.startswith('draft/1/tool:0\nsearch(query="tides") → ok')
    assert "could call" not in shown
    lines = invoke("show", kept, "--step", "draft/1/tool:0", "--json").output.splitlines()
    assert {json.loads(line)["path"] for line in lines} == {"draft/1/tool:0"}
    assert "has no step 'draft/9'" in str(invoke("show", kept, "--step", "draft/9").exception)


def test_without_content_figures_and_decisions_are_left(kept, invoke):
    shown = invoke("show", kept, "--content", "none").output
    for said in ("two ", "I search first", "You are Writer", "Write.", "= tides"):
        assert said not in shown
    assert 'decided    search(query="tides")' in shown
    assert "1,200 tokens in" in shown


def test_a_summary_is_shown_with_its_text_and_its_cost(folder, invoke):
    (folder / "long.py").write_text(
        """
from crewkit import Agent, Crew, Task, Window, tool
from crewkit.testing import ScriptedModel, call

@tool(effects="read", trusted=True)
def look(place: int) -> str:
    "Look at a place."
    return f"Place {place} is Rome."

def say(request):
    return call("look", place=request.turn) if request.turn < 9 else "Done."

cheap = ScriptedModel(["Rome was looked at."] * 9)
for name, model in {"by_model": cheap, "by_sentences": None}.items():
    agent = Agent("Walker", "Look.", tools=[look], model=ScriptedModel(say), window=Window(14, every=10, model=model))
    globals()[name] = Crew([Task("walk", "Look.", agent=agent)], name=name)
"""
    )
    assert invoke("run", "long.py:by_model").exit_code == 0
    shown = invoke("show", "@last").output
    assert "summarised 12 messages · scripted · " in shown
    assert "      | Rome was looked at.\n" in shown
    assert invoke("run", "long.py:by_sentences").exit_code == 0
    shown = invoke("show", "@last").output
    assert "summarised 12 messages · sentences taken from them, no model\n" in shown
    assert "      | look(place=2): Place 2 is Rome.\n" in shown
