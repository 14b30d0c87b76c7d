import json

from inline_snapshot import snapshot


def test_a_crew_s_figures_are_a_block(kept, invoke):
    assert invoke("stats").output == snapshot("""\
digest  1 run: 1 failed
  tokens     1,280 a run, 1,280 in all
  cost       unknown: 1 call without a known price, 0 usd for the others
  steps      p50 1 · p90 1 · max 1 a run, 1 in all
  tools      100 % of 1 call ok
  retries    1, 0 model calls failed
  guardrails 100 % of 1 check rejected (1)
  memory     1 search, 1 hit, 0 % used (0)
""")


def test_tools_and_models_are_tables(kept, invoke):
    assert invoke("stats", "--by", "tool").output == snapshot("""\
tool    runs  calls  ok     otherwise  seconds p50 · p90 · max  approvals
search  1     1      100 %             0.25 · 0.25 · 0.25     \n\
""")
    assert invoke("stats", "--by", "model").output == snapshot("""\
model              runs  calls  failed  retries  tokens in  out  cost          seconds p50 · p90 · max
openai/gpt-5-mini  1     1      0       1        1,200      80   unknown cost  1.5 · 1.5 · 1.5        \n\
""")


def test_runs_can_be_named_and_narrowed(kept, invoke):
    invoke("run", "finding.py", "-i", "topic=tides")
    names = [json.loads(line)["name"] for line in invoke("stats", "--json").output.splitlines()]
    assert names == ["digest", "finding"]
    assert "finding" not in invoke("stats", kept).output
    assert "digest" not in invoke("stats", "--crew", "finding").output
    assert "digest" not in invoke("stats", "--last", "1").output


def test_json_has_the_figures_of_the_event_lines(folder, invoke):
    for topic in ("tides", "moons"):
        invoke("run", "finding.py", "-i", f"topic={topic}")
    runs = [json.loads(line)["run"] for line in invoke("runs", "--json").output.splitlines()]
    lines = [json.loads(line) for run in runs for line in invoke("show", run, "--json").output.splitlines()]
    answered = [line["data"] for line in lines if line["type"] == "model.finished"]
    tokens = sum(data["usage"]["input_tokens"] + data["usage"]["output_tokens"] for data in answered)
    said = json.loads(invoke("stats", "--json").output)
    assert said["runs"] == 2
    assert said["tokens"]["total"] == tokens
    assert said["steps"]["total"] == len(answered)
    assert said["tools"]["calls"] == sum(line["type"] == "tool.finished" for line in lines)


def test_nothing_to_count_is_said(folder, invoke):
    assert "nothing to count" in invoke("stats").output
