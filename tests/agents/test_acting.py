"""The calls of one turn: reads at once, effects in their order, all questions together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from crewkit import Agent, Crew, Grant, Scope, Task, Tool, tool
from crewkit.core.label import unfenced
from crewkit.models.scripted import ScriptedModel, call


def crew_of(model: ScriptedModel, *tools: Tool, **agent: Any) -> Crew:
    return Crew([Task("job", "Do it.", agent=Agent("Clerk", "Work.", tools=tools, model=model, **agent))])


def told(model: ScriptedModel) -> list[str]:
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


class Shelf:
    """State that tools share, as a file system is."""

    def __init__(self, pace: float = 0) -> None:
        self.folders: list[str] = []
        self.at = ""
        self.most = self._under_way = 0
        self._pace = pace

    async def _slowly(self, share: float) -> None:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self._pace * share)
        self._under_way -= 1

    async def make(self, name: str) -> str:
        """Make a folder."""
        await self._slowly(1 / (1 + len(self.folders)))
        self.folders.append(f"{self.at}/{name}")
        return f"made {self.at}/{name}"

    async def enter(self, name: str) -> str:
        """Enter a folder."""
        await self._slowly(0.1)
        self.at = f"{self.at}/{name}"
        return self.at

    async def list(self) -> list[str]:
        """List all folders."""
        await self._slowly(0.5)
        return [*self.folders]


async def test_effects_of_one_turn_happen_in_the_order_in_which_they_were_chosen(make_options):
    shelf = Shelf(0.01)
    tools = (
        tool(shelf.make, effects="write"),
        tool(shelf.enter, effects="write"),
        tool(shelf.list, effects="read"),
    )
    turn = [
        call("list"),
        call("make", name="a"),
        call("enter", name="a"),
        call("make", name="b"),
        call("list"),
        call("make", name="c"),
    ]
    model = ScriptedModel([turn, "Done."])
    scope = Scope(Grant("make", "never"), Grant("enter", "never"), "list")
    assert (await crew_of(model, *tools, scope=scope).run({}, make_options())).ok
    assert shelf.folders == ["/a", "/a/b", "/a/c"]
    assert told(model) == ["[]", "made /a", "/a", "made /a/b", '["/a","/a/b"]', "made /a/c"]
    assert shelf.most == 1


async def test_reads_of_one_turn_happen_at_once(make_options):
    shelf = Shelf(0.05)
    model = ScriptedModel([[call("list")] * 5, "Done."])
    assert (await crew_of(model, tool(shelf.list, effects="read")).run({}, make_options())).ok
    assert shelf.most == 5


async def test_an_approved_call_waits_for_the_one_before_it_to_be_decided(make_options, decide):
    shelf = Shelf()
    tools = (tool(shelf.make, effects="write"), tool(shelf.list, effects="read"))
    turn = [call("make", name="a"), call("make", name="b"), call("list")]
    model = ScriptedModel([turn, "Done."])
    crew, options = crew_of(model, *tools), make_options()
    result = await crew.run({}, options)
    assert (result.status, len(result.approvals)) == ("paused", 2), "both questions are put at once"
    decide(result.run_id, only="tool:1")
    again = await crew.resume(result.run_id, options)
    assert (again.status, shelf.folders) == ("paused", [])
    decide(result.run_id, "deny", "not that one", only="tool:0")
    assert (await crew.resume(result.run_id, options)).ok
    assert shelf.folders == ["/b"]
    assert told(model) == ["A person denied this call: not that one", "made /b", '["/b"]']


async def test_a_check_looks_again_after_what_came_before_it_in_the_turn(make_options, tmp_path: Path):
    (tmp_path / "open").mkdir()
    (tmp_path / "secret.txt").write_text("the key")

    @tool(effects="write")
    def link(name: str) -> str:
        """Make a link to what lies above."""
        (tmp_path / "open" / name).symlink_to(tmp_path)
        return "linked"

    @tool(effects="read")
    def read(path: str) -> str:
        """Read a file."""
        return Path(path).read_text()

    through = str(tmp_path / "open" / "up" / "secret.txt")
    model = ScriptedModel([[call("link", name="up"), call("read", path=through)], "Done."])
    scope = Scope(Grant("link", "never"), Grant("read", roots={"path": [str(tmp_path / "open")]}))
    assert (await crew_of(model, link, read, scope=scope).run({}, make_options())).ok
    linked, refused = told(model)
    assert linked == "linked"
    assert "lies outside of what is granted" in refused
