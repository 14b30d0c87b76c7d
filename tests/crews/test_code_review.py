"""Code that is written, reviewed and tested: back only by an explicit failure, and on until all examples hold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from crewkit import Revise, Said
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel

FILE = Path(__file__).parents[2] / "crews" / "code_review.py"


@pytest.fixture(scope="module")
def code_review() -> Any:
    spec = importlib.util.spec_from_file_location("code_review", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["code_review"] = module
    spec.loader.exec_module(module)
    return module


def said(runs: Any, run: str) -> list[str]:
    bus = [e.data for e in runs.events(run, types=("message.recorded",)) if "kind" in e.data]
    return [f"{m['round']} {m['kind']} {m['sender']} → {m['to']}" for m in bus if m["thread"] == "reviewed"]


async def test_offline_it_goes_back_twice_and_ends_with_code_that_holds(make_options, runs, code_review):
    result = await code_review.crew.run({}, make_options())
    assert result.ok, result.why
    assert said(runs, result.run_id) == snapshot(
        [
            "1 assignment coordinator → everyone",
            "1 handoff Writer → review",
            "2 failure review → Writer",
            "3 handoff Writer → review",
            "4 handoff review → run_tests",
            "5 failure run_tests → Writer",
            "6 handoff Writer → review",
            "7 handoff review → run_tests",
            "8 handoff run_tests → coordinator",
            "1 report reviewed → coordinator",
        ]
    )
    scope: dict[str, Any] = {}
    exec(result.output, scope)
    assert (scope["average"]([1, 2, 3]), scope["average"]([])) == (2.0, 0.0)
    steps = [e.path for e in runs.events(result.run_id, types=("model.started", "tool.started"))]
    assert steps[:3] == ["reviewed/1/Writer/1/model", "reviewed/2/review/tool:0", "reviewed/3/Writer/1/model"]
    assert steps[-2:] == ["reviewed/8/run_tests/tool:0", "accepted/1/tool:0"]


async def test_a_writer_who_writes_whole_modules_is_read_from_the_fence(make_options, runs, code_review):
    good = '```python\ndef two():\n    """Say two.\n\n    >>> two()\n    2\n    """\n    return 2\n```'
    lines = iter(["```\ndef two(): return 2\n```", good.replace("return 2", "return 3"), good])

    def script(_: Request) -> str:
        return next(lines)

    result = await code_review.crew.run({"code": "x = 1\n"}, make_options(model=ScriptedModel(script)))
    assert "return 2" in result.output
    failures = [line for line in said(runs, result.run_id) if " failure " in line]
    assert failures == ["2 failure review → Writer", "5 failure run_tests → Writer"]


async def test_a_writer_who_never_gets_there_is_cut_off_and_the_work_is_kept(make_options, runs, code_review):
    def script(request: Request) -> str:
        return "My last word." if "Your last word" in request.messages[1].content else "I see no problem."

    result = await code_review.crew.run({}, make_options(model=ScriptedModel(script)))
    assert result.status == "completed"
    assert result.output == "No version passed review and tests. Writer: My last word."
    [closed] = runs.events(result.run_id, types=("round.closed",))
    assert closed.data["why"].startswith("It went in circles")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os\n", "imports 'os'"),
        ("from subprocess import run\n", "imports 'subprocess'"),
        ("x = eval('1')\n", "uses 'eval'"),
        ("x = ().__class__\n", "reaches for '__class__'"),
        ("def f(:\n", "cannot be read"),
    ],
)
async def test_code_that_reaches_out_is_never_run(code_review, code, why):
    written = [Said("Writer", f"```python\n{code}```")]
    for check in (code_review.review, code_review.run_tests):
        verdict = check.function(code="", said=written)
        assert isinstance(verdict, Revise)
        assert why in verdict.reason


def test_repairs_are_made_by_rule(code_review):
    head = 'def f(a, b={}, c=[]):\n    """Say it."""\n'
    code = f"{head}    try:\n        return b[a] / len(c)\n    except:\n        raise\n"
    repaired = code_review.repaired(code, list(code_review.REPAIRS))
    assert code_review.objections(repaired) == []
    assert "b=None, c=None" in repaired
    assert "b = {} if b is None else b" in repaired
    assert "max(len(c), 1)" in repaired
