import json
import re

from inline_snapshot import snapshot


def ids(invoke) -> list[str]:
    return [json.loads(line)["run"] for line in invoke("runs", "--json").output.splitlines()][::-1]


def test_runs_of_the_same_are_the_same(folder, invoke):
    for _ in range(2):
        invoke("run", "finding.py", "-i", "topic=tides")
    one, other = ids(invoke)
    for by in ("task", "decision", "cost"):
        said = invoke("diff", one, other, "--by", by, standalone_mode=False)
        assert said.return_value == 0
        assert said.output == f"{one} and {other} are the same by {by}.\n"


def test_the_first_divergence_is_shown_with_both_sides(folder, invoke):
    invoke("run", "finding.py", "-i", "topic=tides")
    invoke("run", "finding.py", "-i", "topic=moons")
    one, other = ids(invoke)
    said = invoke("diff", one, other, "--by", "decision", standalone_mode=False)
    assert said.return_value == 1
    assert said.output.replace(one, "r-one").replace(other, "r-two") == snapshot("""\
first divergence  find/1  chosen
- r-one
-   chosen   look_up(topic="tides")
+ r-two
+   chosen   look_up(topic="moons")

1 more difference
  find/2  answer
""")
    data = json.loads(invoke("diff", one, other, "--by", "decision", "--json").output)
    assert (data["same"], data["first"]["at"], data["first"]["differs"]) == (False, "find/1", ["chosen"])
    assert data["first"]["a"]["chosen"] == [{"tool": "look_up", "arguments": {"topic": "tides"}}]


def test_a_run_that_failed_differs_from_none_that_did(folder, invoke, kept):
    invoke("run", "finding.py", "-i", "topic=tides")
    other = next(run for run in ids(invoke) if run != kept)
    said = invoke("diff", kept, other, standalone_mode=False)
    assert said.return_value == 1
    assert said.output.replace(other, "r-two") == snapshot("""\
first divergence  find  only in r-two
- r-kept  has no such place
+ r-two
+   status   completed
+   agent    Finder
+   output   What is known of tides. (look_up topic=tides)
+            \n\
+            (offline model: extracted by rule, not written by a language model)
+   why      none

2 more differences
  draft  only in r-kept
  release  only in r-kept
""")
    cost = invoke("diff", kept, other, "--by", "cost").output.replace(other, "r-two")
    # What an agent is told changes with the framework.
    assert re.sub(r"(tokens +[\d,]+ → )\d+", r"\1N", cost) == snapshot("""\
find
  only in r-two
draft
  only in r-kept
release
  only in r-kept
the whole run
  tokens        1,280 → N
  input tokens  1,200 → N
  output tokens 80 → N
  usd           unknown cost → 0 usd
  steps         1 → 2
""")
