import json
import re
import urllib.request

import pytest


def test_a_run_is_written_as_one_page(kept, folder, invoke):
    said = invoke("export", kept, "-o", "run.html")
    assert "run.html  " in said.output
    text = (folder / "run.html").read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    given = json.loads(data[1])
    assert given["run"] == kept
    assert len(given["data"]["events"]) == 18


def test_lines_are_those_that_show_prints(kept, invoke):
    assert invoke("export", kept, "--format", "jsonl").output == invoke("show", kept, "--json").output


def test_json_is_one_object_with_everything(kept, invoke):
    whole = json.loads(invoke("export", kept, "--format", "json").output)
    assert whole["run"]["status"] == "failed"
    assert [event["seq"] for event in whole["events"]] == list(range(1, 19))


@pytest.mark.parametrize("format", ["html", "json", "jsonl"])
def test_what_was_said_can_be_left_out(kept, folder, invoke, format):
    invoke("export", kept, "--format", format, "--content", "none", "-o", "run")
    text = (folder / "run").read_text()
    for said in ("You are Writer", "I search first", "two_words", "topic"):
        assert said not in text
    for known in ("enough_sources", "openai/gpt-5-mini", "429", "search"):
        assert known in text


def test_a_file_that_cannot_be_written_is_one_message(kept, invoke):
    said = invoke("export", kept, "-o", "no/such/folder/run.html")
    assert str(said.exception).startswith("'no/such/folder/run.html' cannot be written")


def test_view_prints_an_address_that_lets_one_in(kept, start):
    process = start("view", kept)
    try:
        address = process.stdout.readline().strip()
        assert f"/runs/{kept}?token=" in address
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({})
        )
        assert b'"mode":"served"' in opener.open(address, timeout=30).read()
    finally:
        process.send_signal(2)
        assert process.wait(timeout=30) == 0
        process.stdout.close()
        process.stderr.close()
