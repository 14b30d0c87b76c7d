"""A path is held to its folders, whichever way it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crewkit.checks.roots import Roots


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reports` in it, and links that lead out of that."""
    place = tmp_path_factory.mktemp("place")
    for folder in ("reports/deep", "secrets", "reports2"):
        (place / folder).mkdir(parents=True)
    for file in ("reports/a.txt", "reports/deep/b.txt", "secrets/key", "reports2/c.txt", "reports/a b.txt"):
        (place / file).write_text("x")
    (place / "reports" / "out").symlink_to(place / "secrets")
    (place / "reports" / "key.txt").symlink_to(place / "secrets" / "key")
    (place / "reports" / "loop").symlink_to(place / "reports" / "loop")
    (place / "reports" / "in").symlink_to(place / "reports" / "deep")
    (place / "link").symlink_to(place / "reports")
    return place


def problem(place: Path, value: Any, *folders: str) -> str:
    return Roots("path", folders or ("./reports",)).problem({"path": value}, place)


@pytest.mark.parametrize(
    "good",
    [
        "reports",
        "reports/a.txt",
        "./reports/a.txt",
        "reports/a b.txt",
        "reports/new.txt",
        "reports/new/newer.txt",
        "reports/deep/../a.txt",
        "reports/in/b.txt",
        "link/a.txt",
        "secrets/../reports/a.txt",
        "reports//a.txt",
        "reports/50%.txt",
        "reports/über.txt",
        "reports/{a}.txt",
        ["reports/a.txt", "reports/deep"],
    ],
)
def test_a_path_within_is_let_through(place: Path, good: Any):
    assert problem(place, good) == ""
    if isinstance(good, str):
        assert problem(place, str(place / good)) == ""


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "secrets/key",
        "/etc/passwd",
        "reports2/c.txt",
        "reports/../secrets/key",
        "reports/../../etc/passwd",
        "reports/nothing/../../secrets/key",
        "reports/out/key",
        "reports/out/new.txt",
        "reports/out",
        "reports/key.txt",
        "reports/in/../../../secrets/key",
        "REPORTS/a.txt",
        "Reports",
        "~",
        "~/reports",
        "~root/x",
        "reports/../~",
        "$HOME/x",
        "${HOME}",
        "reports/%2e%2e/secrets/key",
        "reports/%2E%2E%2Fsecrets/key",
        "reports/%252e%252e%252fsecrets%252fkey",
        "reports/..\\secrets\\key",
        "..\\..\\etc\\passwd",
        "reports/\uff0e\uff0e/secrets/key",
        "reports/\u2025/secrets/key",
        " /etc/passwd",
        "\u00a0/etc/passwd",
        "reports/a.txt\0.png",
        "reports/\0",
        "reports/a.txt\n",
        "reports/\ud800",
        "file:///etc/passwd",
        "file:reports/a.txt",
        "https://a.example/reports",
        "//etc/passwd",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd",
        "/dev/stdin",
        ["reports/a.txt", "secrets/key"],
        7,
        None,
        True,
        {"path": "reports"},
        ["reports", 7],
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(place: Path, bad: Any):
    assert problem(place, bad)


def test_what_is_left_out_is_refused(place: Path):
    assert problem(place, "reports") == ""
    assert "left out" in Roots("path", ("./reports",)).problem({}, place)


def test_a_loop_of_links_leads_nowhere(place: Path):
    assert problem(place, "reports/loop/../../secrets/key") or not os.path.exists(
        place / "reports/loop/../../secrets/key"
    )


def test_a_root_that_is_a_link_is_where_it_leads(place: Path):
    assert problem(place, "reports/a.txt", "link") == ""
    assert problem(place, "secrets/key", "link")


def test_several_folders_are_granted_each_whole(place: Path):
    assert problem(place, "secrets/key", "reports", "secrets") == ""
    assert problem(place, "reports2/c.txt", "reports", "secrets")
    assert problem(place, "/etc/passwd", "/") == ""


def test_the_refusal_names_what_is_granted(place: Path):
    assert problem(place, "/etc/passwd") == "'path': '/etc/passwd' lies outside of what is granted: ./reports"


parts = st.sampled_from(
    ["reports", "secrets", "out", "in", "deep", "..", ".", "", "a.txt", "key", "loop", "~"]
)


@given(st.lists(parts, min_size=1, max_size=8).map("/".join))
@example("reports/in/../out/key")
def test_whatever_is_let_through_opens_nothing_outside(place: Path, path: str):
    if problem(place, path):
        return
    try:
        opened = os.open(place / path, os.O_RDONLY)
    except OSError:
        return
    try:
        really = Path(os.readlink(f"/proc/self/fd/{opened}"))
    finally:
        os.close(opened)
    assert really.is_relative_to(place / "reports")
