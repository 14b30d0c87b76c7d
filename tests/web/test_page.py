"""The page in a real browser: what is there, what hostile runs can do, how large a run may be."""

from __future__ import annotations

from typing import Any

import pytest

from crewkit.core.events import Event

pytestmark = pytest.mark.slow


def hostile() -> list[Event]:
    """A run whose every text tries something."""
    bad = (
        "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        "<a href=\"javascript:document.title='owned'\">javascript:alert(1)</a>"
        "\x1b[2J\x1b]0;owned\x07 \u202egnitirw\u2066 \u200bhidden\U000e0041 {{7*7}} http://evil.example/x.png"
    )
    events: list[Event] = []

    def add(type: str, path: str = "", **data: object) -> None:
        seq = len(events) + 1
        ts = f"2026-01-01T00:00:{seq:02}.000000Z"
        events.append(Event("r-bad", seq, type, ts, seq, "s", path, path.partition("/")[0], bad, 1, data))

    task = {"name": "a", "needs": [], "agent": bad}
    add("run.started", crew=bad, inputs={bad: bad}, tasks=[task, {"name": bad, "needs": ["a", "gone"]}])
    add("task.started", "a", agent=bad, needs=[bad])
    add(
        "message.recorded",
        "a",
        id="b",
        kind="assignment",
        sender=bad,
        to=bad,
        thread="a",
        round=1,
        content=bad,
    )
    add("message.recorded", "a/0", id="m1", role="user", content=bad)
    add("model.started", "a/1/model", model=bad, messages={"new": ["m1"], "count": 1})
    calls = [{"id": "c", "name": bad, "arguments": bad}]
    add("message.recorded", "a/1/model", id="m2", role="assistant", content=bad, tool_calls=calls)
    add(
        "model.finished",
        "a/1/model",
        model=bad,
        message="m2",
        usage={"input_tokens": 1, "output_tokens": 1},
        usd=0.1,
    )
    chosen = [{"id": "c", "tool": bad, "arguments": '{"__proto__": {"x": 1}}'}]
    withheld = [{"tool": bad, "by": bad, "why": bad}]
    add(
        "decision.made",
        "a/1",
        offered=[bad],
        withheld=withheld,
        chosen=chosen,
        text=bad,
        budget={"tokens": 1},
    )
    add("tool.started", "a/1/tool:0", tool=bad, arguments={bad: bad, "__proto__": bad}, effects=[bad])
    add("memory.searched", "a/1/tool:0", query=bad, hits=[{"source": bad, "score": 1, "label": bad}])
    add("message.recorded", "a/1/tool:0", id="m3", role="tool", content="L" * 10_000_000 + bad)
    add("tool.finished", "a/1/tool:0", tool=bad, outcome="ok", message="m3", full=bad, received=9, selected=1)
    add("dream.dreamt", "a/2", of=bad)
    add("guardrail.checked", "a/2/guardrail:0", guardrail=bad, verdict="revise", why=bad)
    add("approval.requested", "a/2/ask", id="a-1", question=bad, tool=bad, arguments={"x": bad})
    add("task.finished", "a", status="failed", error={"type": bad, "message": bad})
    add("run.finished", status="failed", why=bad, output={"x": bad})
    return events


def large(count: int) -> list[Event]:
    """A run of about so many events."""
    events = [
        Event(
            "r-big",
            1,
            "run.started",
            "2026-01-01T00:00:00.000000Z",
            0,
            "s",
            data={"crew": "big", "tasks": []},
        )
    ]

    def add(type: str, path: str, **data: object) -> None:
        seq = len(events) + 1
        at = seq / 50
        ts = f"2026-01-01T{int(at // 3600):02}:{int(at % 3600 // 60):02}:{at % 60:09.6f}Z"
        events.append(Event("r-big", seq, type, ts, at, "s", path, path.partition("/")[0], "Ann", 1, data))

    task = 0
    while len(events) < count:
        task += 1
        add("task.started", f"t{task}", agent="Ann", needs=[])
        for turn in range(1, 101):
            at = f"t{task}/{turn}"
            add("model.started", f"{at}/model", model="m", messages={"new": [], "count": turn})
            add(
                "message.recorded",
                f"{at}/model",
                id=f"m{task}-{turn}",
                role="assistant",
                content=f"I look at {turn}.",
            )
            usage = {"input_tokens": 100, "output_tokens": 10}
            add("model.finished", f"{at}/model", model="m", message=f"m{task}-{turn}", usage=usage, usd=0.001)
            add(
                "decision.made", at, offered=["look"], chosen=[{"tool": "look", "arguments": "{}"}], budget={}
            )
            add("tool.started", f"{at}/tool:0", tool="look", arguments={"at": turn}, effects=["read"])
            add(
                "message.recorded",
                f"{at}/tool:0",
                id=f"r{task}-{turn}",
                role="tool",
                content=f"Seen: {turn}.",
            )
            add(
                "tool.finished",
                f"{at}/tool:0",
                tool="look",
                outcome="ok",
                message=f"r{task}-{turn}",
                selected=8,
            )
        add("task.finished", f"t{task}", status="completed", output="done", seconds=14)
    add("run.finished", "", status="completed", why="done", output="done")
    return events


def until(page: Any, condition: str) -> None:
    """Wait for a condition in the page, which its policy keeps Playwright itself from evaluating."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"it never came to this: {condition}")


def outside(requests: list[str]) -> list[str]:
    return [url for url in requests if not url.startswith(("file:", "data:", "http://127.0.0.1:"))]


def test_a_run_is_there_at_a_glance_and_nothing_leaves_the_page(open_run, events):
    seen = open_run(events)
    assert seen.text("h1") == "launch"
    assert "5 of 7" in seen.text(".stats")
    assert "Go to what failed" in seen.text(".banner")
    names = seen.page.locator(".row .name").all_inner_texts()
    assert {"market", "risks", "figures", "read", "Researcher"} <= set(names)
    assert seen.page.locator(".graph .box").count() == 7
    assert outside(seen.requests) == []
    assert seen.complaints == []


CROSSED = """() => [...document.querySelectorAll(".graph .arrow")].map((arrow) => {
  const boxes = [...document.querySelectorAll(".graph .box")].map((box) => box.transform.baseVal[0].matrix);
  const points = Array.from({ length: 200 }, (_, i) => arrow.getPointAtLength(i / 200 * arrow.getTotalLength()));
  const inside = (x, y) => x > 1 && x < 141 && y > 1 && y < 39;
  return points.filter(({ x, y }) => boxes.some(({ e, f }) => inside(x - e, y - f))).length;
})"""
"""For each arrow, how many of 200 points of it lie in a box."""


def test_no_arrow_of_the_graph_leads_through_a_box(open_run):
    needs = {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"], "e": ["a", "b", "d"], "f": ["b", "c", "e"]}
    tasks = [
        {"name": name, "needs": needed, "agent": "", "kind": "function"} for name, needed in needs.items()
    ]
    at = "2026-01-01T00:00:00.000000Z"
    events = [Event("r-1", 1, "run.started", at, 0, "s", data={"crew": "steps", "tasks": tasks})]
    events += [Event("r-1", i, "task.started", at, 0, "s", path=name) for i, name in enumerate(needs, 2)]
    assert open_run(events).page.evaluate(CROSSED) == [0] * sum(map(len, needs.values()))


def test_a_link_leads_to_its_step_and_the_address_follows_the_eye(open_run, events):
    seen = open_run(events, "#/risks/1")
    card = seen.page.locator('[data-path="risks/1"] .decision')
    assert "order_parts scope: not granted" in card.inner_text().replace("\n", " ")
    assert seen.page.locator('.row[aria-selected="true"]').inner_text().startswith("1")
    seen.page.locator(".banner a").click()
    until(seen.page, "location.hash.startsWith('#/german/2')")
    assert "The sources are gone." in seen.text('[data-path="german/2"]')


def test_a_turn_shows_what_is_new_and_all_that_was_sent(open_run, events):
    seen = open_run(events, "#/market/2")
    turn = seen.page.locator('[data-path="market/2"]')
    assert turn.locator(".sent .message:visible").count() == 2
    turn.get_by_text("All 5 messages that were sent").click()
    assert turn.locator(".all-sent > .message").count() == 5


def test_a_result_that_was_cut_is_there_whole_on_demand(open_run, events):
    seen = open_run(events, "#/market/1/tool:0")
    block = seen.page.locator('[data-path="market/1/tool:0"]')
    assert "characters received" in block.inner_text()
    assert "pump/6" not in block.inner_text()
    block.get_by_text("All that came back").click()
    block.get_by_text("Show all").click()
    assert "pump/6" in block.inner_text()


def test_who_decided_when_and_with_which_words(open_run, events):
    seen = open_run(events, "#/release/1/tool:0/ask")
    said = seen.text('[data-path="release/1/tool:0/ask"]')
    assert "approved" in said
    assert "Only on the news channel." in said
    assert seen.page.locator(".bar.wait").count() > 0


def test_what_a_run_went_through_is_told_and_nothing_of_it_raw(open_run, rescued):
    seen = open_run(rescued, "#/rates/3")
    assert "kept" not in seen.text('[data-path="rates/1/tool:0"] .block-head')
    assert "stale" in seen.text('[data-path="rates/3/tool:1"] .block-head')
    assert "instead of" in seen.text('[data-path="rates/3/tool:0/fallback"]')
    seen = open_run(rescued, "#/rates/6/summary")
    assert "11 oldest messages summarised cheap/summariser" in seen.text("details.summary summary").replace(
        "\n", " "
    )
    seen = open_run(rescued, "#/rates/fallback:1")
    assert "Escalated to Senior" in seen.text('[data-path="rates/fallback:1"]')
    assert "interrupted" not in seen.text("main")
    seen = open_run(rescued, "#/signed/wait")
    assert "for the event contract_signed" in seen.text('[data-path="signed/wait"]')
    seen = open_run(rescued, "#/filing/1")
    assert "Ann: Keep it short." in seen.text('[data-path="filing/1"] .inbox')
    seen = open_run(rescued)
    history = seen.text(".history")
    assert "The circuit of fetch is open" in history
    assert "event “contract_signed” told by Ann" in history
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert seen.page.locator(".unknown code").count() == 0, "no event is shown as JSON"
    assert seen.complaints == []


def test_plans_conversations_maps_and_what_was_taken_back_are_told(open_run, ventured):
    seen = open_run(ventured, "#/notice/plan:2/proposal", height=2400)
    rows = [" ".join(row.split()) for row in seen.page.locator(".c-name").all_inner_texts()]
    told = " | ".join(rows)
    for row in (
        "plan 2 tasks",
        "given up latin failed",
        "plan 1 task",
        "Optimist round 1",
        "Pessimist round 2",
    ):
        assert row in told
    for row in (
        "3 ends The 2 rounds of the conversation are used up.",
        "rated 3 items",
        "cancel undoes book",
    ):
        assert row in told
    plan = seen.text('[data-path="notice/plan:2/proposal"]')
    assert "1 task by Chief; kept: find" in plan
    assert "Writer after find" in plan
    seen.page.evaluate("location.hash = '#/debate/3'")
    assert "The 2 rounds of the conversation are used up." in seen.text('[data-path="debate/3"]')
    seen.page.evaluate("location.hash = '#/rated[1]/1/tool:0'")
    assert "<b>rust</b> cannot be rated" in seen.text('[data-path="rated[1]/1/tool:0"]')
    seen.page.evaluate("location.hash = '#/fair/undo'")
    undone = seen.text('[data-path="fair/undo"]')
    assert "Nothing undoes announce()." in undone
    seen.page.locator("#tab-messages").click()
    thread = seen.text('.thread:has-text("slogan")')
    assert "check → Sloganist failure, round 2" in " ".join(thread.split())
    assert "Eight words at most." in thread
    assert (seen.complaints, seen.page.locator(".unknown code").count()) == ([], 0)


def test_the_keyboard_alone_reaches_everything(open_run, events):
    seen = open_run(events)
    page = seen.page
    page.keyboard.press("e")
    until(page, "location.hash === '#/german/2/guardrail:output:0'")
    page.keyboard.press("o")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    until(page, "location.hash === '#/market'")
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')") == "row-1"
    page.keyboard.press("ArrowLeft")
    assert page.locator("#row-1").get_attribute("aria-expanded") == "false"
    page.keyboard.press("/")
    page.keyboard.type("halden")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.filter .matches').textContent.startsWith('1 of ')")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("dialog.help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    # A thread is painted, and only then counts as text, when it comes into view.
    until(page, "document.querySelector('.messages')?.innerText.includes('2 of 8 rounds')")


def test_filters_leave_what_matches_and_what_is_around_it(open_run, events):
    seen = open_run(events)
    page = seen.page
    page.get_by_role("button", name="errors").click()
    shown = page.locator(".row .name").all_inner_texts()
    assert "read_page" in shown
    assert "search_web" not in shown
    page.get_by_text("Clear").click()
    page.get_by_label("Only this tool").select_option("publish")
    assert page.locator(".row.task .name").all_inner_texts() == ["release"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen(open_run, events, width, scheme):
    seen = open_run(events, "#/market/1", width=width, scheme=scheme)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    for block in seen.page.locator(".block").all():
        box = block.bounding_box()
        assert box["x"] + box["width"] <= width + 1
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",")[0]) > 128) == (scheme == "light")


def test_a_print_has_all_blocks_and_no_controls(open_run, events):
    seen = open_run(events)
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    seen.page.emulate_media(media="print")
    assert not seen.page.locator(".outline").is_visible()
    assert not seen.page.locator(".bar-row").is_visible()
    assert "Published: https://example.org/news/114" in seen.text(".transcript")
    assert seen.page.locator(".block.task").count() == 9


def test_a_hostile_run_is_shown_as_text(open_run):
    seen = open_run(hostile(), "#/a/1/tool:0")
    page = seen.page
    page.get_by_text("Show all 10,000,").first.click()
    until(page, "document.body.textContent.length > 10_000_000")
    for way in ("1", "2", "3"):
        page.keyboard.press(way)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert "owned" not in page.title() or "<script>" in page.title()
    assert page.locator("#app img, #app script, #app iframe").count() == 0
    assert page.locator('a[href^="javascript:"]').count() == 0
    shown = page.evaluate("document.body.innerText.slice(0, 200000)")
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert page.evaluate("({}).x") is None
    assert outside(seen.requests) == []
    assert seen.complaints == []


def test_an_event_of_a_kind_that_the_page_does_not_know_is_shown_as_it_is(open_run):
    seen = open_run(hostile(), "#/a/2")
    assert "dream.dreamt" in seen.text(".pane")


def test_a_run_of_100_000_events_stays_usable(open_run):
    events = large(100_000)
    seen = open_run(events)
    page = seen.page
    assert page.locator(".row").count() < 80
    page.evaluate("location.hash = '#/t100/50/tool:0'")
    page.wait_for_selector('[data-path="t100/50/tool:0"].here')
    assert page.locator(".block").count() < 200
    page.evaluate("document.querySelector('.transcript').scrollTop += 5000")
    until(page, "!location.hash.includes('t100/50/')")
    assert page.locator(".block").count() < 200
    assert seen.complaints == []
