"""The page for whoever does not see it, or sees little of it: the checks of axe, in light and dark, wide and narrow."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_whoever_hears_the_page_or_sees_little_can_use_it(open_run, events, rescued, ventured, width, scheme):
    for run, place in (
        (events, ""),
        (events, "#/release/1/tool:0/ask"),
        (events, "#messages"),
        (events, "#events"),
        (rescued, "#/rates/3"),
        (rescued, "#/rates/6/summary"),
        (ventured, "#/debate/3"),
    ):
        seen = open_run(run, place, width=width, scheme=scheme)
        assert seen.violations() == [], place


def test_a_row_says_all_that_its_columns_show(open_run, events):
    seen = open_run(events)
    label = seen.page.locator("#row-1").get_attribute("aria-label")
    assert label.startswith("market Researcher completed. 2.7k tokens, $0.00")
    assert "on the way to what failed" in seen.page.locator(".row.red").first.get_attribute("aria-label")


def test_the_arrow_keys_go_from_tab_to_tab(open_run, events):
    seen = open_run(events)
    seen.page.locator("#tab-transcript").focus()
    seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_selector('#tab-messages[aria-selected="true"]:focus')
    seen.page.keyboard.press("ArrowLeft")
    seen.page.wait_for_selector('#tab-transcript[aria-selected="true"]:focus')
