"""Sequences of calls on stateful objects, through a whole crew and by hand: the same world at the end."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from random import Random
from typing import Any, Literal, Optional, Union

import pytest
from pydantic import BaseModel, create_model

from crewkit import Agent, Crew, Grant, Limits, Scope, Task, Tool, tool, tool_from_schema
from crewkit.models.scripted import ScriptedModel, call


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Item(BaseModel):
    name: str
    price: float = 1.5
    tags: list[str] = []


@dataclass
class Place:
    street: str
    number: int | None = None


class World:
    """State of all kinds, and methods that change it in all the ways in which methods take arguments."""

    def __init__(self) -> None:
        self.at = ["/"]
        self.files: dict[str, str] = {}
        self.stock: list[Any] = []
        self.count = 0
        self.log: list[Any] = []

    def cd(self, folder: str) -> dict[str, str]:
        """Change the folder."""
        self.at = self.at[:-1] or ["/"] if folder == ".." else [*self.at, folder]
        return {"at": "/".join(self.at)}

    def echo(self, content: str, file_name: Optional[str] = None) -> Union[dict[str, str], None]:  # noqa: UP007, UP045
        """Print, or write into a file of the folder."""
        if file_name is None:
            return {"out": content}
        self.files["/".join([*self.at, file_name])] = content
        return None

    def rm(self, file_name: str) -> str:
        """Delete a file; one that is not there is an error."""
        del self.files["/".join([*self.at, file_name])]
        return "gone"

    def ls(self, a: bool = False, depth: int = 1) -> list[str]:
        """List the files."""
        return sorted(self.files)[:depth] if not a else sorted(self.files)

    def add(self, item: Item, count: int = 1, mood: Mood = Mood.GOOD) -> int:
        """Put something on the shelf."""
        self.stock.append((item.name, item.price, tuple(item.tags), count, mood.value))
        return len(self.stock)

    def move(
        self, to: Place, on: date, via: Literal["road", "rail"] = "road", *, fast: bool | None = None
    ) -> str:
        """Move everything."""
        self.log.append((to.street, to.number, on.isoformat(), via, fast))
        return f"moved on {on:%d.%m.%Y}"

    def increase(self, by: float | int = 1, times: int = 1) -> float:
        """Count."""
        for _ in range(times):
            self.count += by
        return self.count

    async def note(
        self, data: dict[str, Any], tags: list[str] | None = None, pairs: tuple[int, str] = (0, "")
    ) -> None:
        """Keep any data."""
        self.log.append((copy.deepcopy(data), tags, tuple(pairs)))

    def reset(self) -> None:
        """Forget the count."""
        self.count = 0


def anything(random: Random, depth: int = 2) -> Any:
    plain = [None, True, False, 0, -7, 2**60, 1.5, -0.25, "", "x", "äö🙂", "a\nb", '{"a": 1}', "null", "12"]
    if depth and random.random() < 0.4:
        inside = [anything(random, depth - 1) for _ in range(random.randint(0, 3))]
        return inside if random.random() < 0.5 else {f"k{i}": each for i, each in enumerate(inside)}
    return random.choice(plain)


CALLS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "cd": lambda r: {"folder": r.choice(["a", "b", ".."])},
    "echo": lambda r: {
        "content": r.choice(["x", "", "ä"]),
        **r.choice([{}, {"file_name": "f"}, {"file_name": None}]),
    },
    "rm": lambda r: {"file_name": r.choice(["f", "g"])},
    "ls": lambda r: r.choice([{}, {"a": True}, {"depth": 2, "a": False}]),
    "add": lambda r: {
        "item": {"name": "n", **r.choice([{}, {"price": 2}, {"tags": ["a", "b"], "price": 0.5}])},
        **r.choice([{}, {"count": 3}, {"mood": "bad"}]),
    },
    "move": lambda r: {
        "to": r.choice([{"street": "s"}, {"street": "s", "number": 3}, {"street": "s", "number": None}]),
        "on": r.choice(["2024-02-29", "2025-01-01"]),
        **r.choice([{}, {"via": "rail"}, {"fast": True}, {"fast": None}]),
    },
    "increase": lambda r: r.choice([{}, {"by": 2}, {"by": 0.5, "times": 3}, {"times": 0}]),
    "note": lambda r: {
        "data": {"x": anything(r)},
        **r.choice([{}, {"tags": None}, {"tags": []}, {"tags": ["a"]}, {"pairs": [1, "x"]}]),
    },
    "reset": lambda r: {},
}


def converted(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as the method takes them, by hand."""
    makers: dict[str, Callable[[Any], Any]] = {
        "item": lambda data: Item(**data),
        "mood": Mood,
        "to": lambda data: Place(**data),
        "on": date.fromisoformat,
    }
    return {key: makers[key](value) if key in makers else value for key, value in arguments.items()}


async def by_hand(calls: list[tuple[str, dict[str, Any]]]) -> World:
    world = World()
    for name, arguments in calls:
        try:
            value = getattr(world, name)(**converted(name, arguments))
            if inspect.isawaitable(value):
                await value
        except KeyError:
            pass
    return world


def native(method: Any, effects: Any) -> Tool:
    return tool(method, effects=effects)


def foreign(method: Any, effects: Any) -> Tool:
    """Make a tool of a schema that somebody else made, and a function that takes whatever comes."""
    fields: dict[str, Any] = {
        name: (each.annotation, ... if each.default is each.empty else each.default)
        for name, each in inspect.signature(method, eval_str=True).parameters.items()
    }

    async def function(**arguments: Any) -> Any:
        value = method(**converted(method.__name__, arguments))
        return await value if inspect.isawaitable(value) else value

    schema = create_model(method.__name__, **fields).model_json_schema()
    return tool_from_schema(method.__name__, inspect.getdoc(method) or "", schema, function, effects=effects)


@pytest.mark.slow
@pytest.mark.parametrize("make", [native, foreign])
@pytest.mark.parametrize("at_once", [1, 3, 8])
async def test_sequences_of_calls_leave_the_same_world(make_options, make: Any, at_once: int):
    for seed in range(15):
        random = Random(f"{seed} {at_once}")
        names = [random.choice(list(CALLS)) for _ in range(12)]
        calls = [(name, CALLS[name](random)) for name in names]
        world = World()
        tools = [make(getattr(world, name), "read" if name == "ls" else "write") for name in CALLS]
        turns = [[call(n, **a) for n, a in calls[i : i + at_once]] for i in range(0, len(calls), at_once)]
        scope = Scope(*(Grant(name, "never") for name in CALLS))
        agent = Agent("Clerk", "Work.", tools=tools, scope=scope, model=ScriptedModel([*turns, "Done."]))
        crew = Crew([Task("t", "Do it.", agent=agent)], limits=Limits(tokens=None))
        result = await crew.run({}, make_options())
        assert result.ok, (seed, result.why)
        assert vars(world) == vars(await by_hand(calls)), (seed, calls)
