"""The crew that learns: the fifty-first case finds the seventh, and takes fewer steps for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crewkit import Options, SemanticMemory
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from crews.invoices import crew

LOOK_UPS = ("find_receipts", "find_credit_notes", "find_payments", "find_agreements")


def clerk(request: Request) -> Any:
    """Look up one thing after the other until the difference is explained, by what stands in the prompt alone.

    Where an earlier case of the same supplier is told of, what explained it there is looked up first.
    """
    prompt = request.messages[1].content
    number = re.search(r"number: (INV-\d+)", prompt)[1]
    supplier = re.search(r'"supplier": "([^"]+)"', prompt)[1]
    amount = float(re.search(r'"amount": ([\d.]+)', prompt)[1])
    results = {}
    for message in request.messages:
        results |= {c.id: c.name for c in message.tool_calls}
    said = {results[m.tool_call_id]: m.content for m in request.messages if m.role == "tool"}
    if "find_order" not in said:
        return call("find_order", order=number.replace("INV", "PO"))
    difference = round(amount - float(said["find_order"]), 2)
    documents = [doc for name in LOOK_UPS if name in said for doc in json.loads(said[name])]
    explained = round(sum(doc["adds"] for doc in documents), 2)
    left = [name for name in [*hints(prompt, supplier), *LOOK_UPS] if name not in said]
    if explained == difference or not left:
        why = documents[0]["says"] if documents else "The amounts are the same."
        return json.dumps({"documents": documents, "reason": why})
    return call(left[0], invoice=number)


def hints(prompt: str, supplier: str) -> list[str]:
    """Return what found something in the earlier cases of this supplier that the prompt tells of."""
    cases = [case for case in prompt.split("### An earlier case that worked")[1:] if supplier in case]
    return [name for case in cases for name in re.findall(r"(\w+)\([^)]*\) → \[\{", case)]


@pytest.fixture
def run(tmp_path: Path):
    memory = SemanticMemory(tmp_path / "memory", embedder=None)
    with SqliteJournal(tmp_path / "journal.db") as journal:

        async def run(number: str, *, remembering: bool):
            model = ScriptedModel(clerk)
            one = crew if remembering else replace(crew, memory=None)
            options = Options(journal=journal, environ={}, memory=memory, model=model)
            result = await one.run({"number": number}, options)
            assert result.ok, result.why
            return result, model

        yield run, journal


async def test_the_fifty_first_case_finds_the_seventh_and_takes_fewer_steps(run) -> None:
    run, journal = run
    for place in range(1, 51):
        result, _ = await run(f"INV-{place:04}", remembering=True)
        assert result.output.decision == "pay"
    without, blank = await run("INV-0051", remembering=False)
    informed, model = await run("INV-0051", remembering=True)

    assert without.output == informed.output
    assert "harbour due" in informed.output.reason
    assert len(blank.requests) == 6
    assert len(model.requests) == 3
    assert informed.usage["steps"] < without.usage["steps"]

    prompt, plain = model.requests[0].messages[1].content, blank.requests[0].messages[1].content
    assert "INV-0007" in prompt
    assert "find_agreements(invoice=INV-0007)" in prompt
    head, _, rest = prompt.partition("## Earlier cases")
    assert head + rest[rest.index("## Form of the answer") :] == plain, "nothing else tells the two apart"

    (recalled,) = journal.events(informed.run_id, types=["memory.recalled"])
    assert recalled.path == "finding/0/recall"
    first = recalled.data["chosen"][0]
    assert first["as"] == "example"
    assert re.fullmatch(r"likeness 1\.00, worked, met 1 time, last 0 days ago", first["why"])
    assert not list(journal.events(without.run_id, types=["memory.recalled"]))


async def test_cases_of_one_kind_are_one_episode_that_is_counted(run) -> None:
    run, journal = run
    for number in ("INV-0001", "INV-0008", "INV-0015", "INV-0022"):
        result, model = await run(number, remembering=True)
    assert "that worked, 3 times" in model.requests[0].messages[1].content
    (written,) = journal.events(result.run_id, types=["memory.written"])
    assert written.data["namespace"] == "crew:invoices/episodes"


async def test_offline_it_pays_what_is_explained(tmp_path: Path) -> None:
    memory = SemanticMemory(tmp_path / "memory", embedder=None)
    with SqliteJournal(tmp_path / "journal.db") as journal:
        for number in ("INV-0001", "INV-0007", "INV-0051"):
            options = Options(journal=journal, environ={}, memory=memory)
            result = await crew.run({"number": number}, options)
            assert result.ok, result.why
            assert result.output.decision == "pay"
    await memory.close()
