"""What a function does, as a hash: found through all that it refers to, and blind to what a run changes."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crewkit.crew.code import code_hash

SOURCE = """
import functools, json, re
from dataclasses import dataclass
from enum import Enum
from pydantic import BaseModel, field_validator

LIMIT = 10
PRICES = {"pump": 90.0, "hose": [1, 2]}
WORD = re.compile("a+")
calls = []
count = 0

class Size(Enum):
    small = 1

@dataclass(frozen=True)
class Rate:
    percent: float = 5.0

RATE = Rate()

class Item(BaseModel):
    name: str
    @field_validator("name")
    @classmethod
    def check(cls, name):
        return name.strip()

def helper(n):
    return inner(n) + 1

def inner(n):
    return n * LIMIT

def other(n):
    return n

class Shop:
    def price(self, n):
        return helper(n)

def logged(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        calls.append(args)
        return fn(*args)
    return wrapper

def make(factor):
    def times(n):
        return n * factor
    return times

scaled = make(3)

def work(n=1, *, size=Size.small):
    global count
    count += 1
    calls.append(n)
    return Shop().price(n), PRICES, WORD, Item(name=json.dumps(n)), RATE.percent, scaled(n), [x for x in (1, 2)]

@logged
def decorated(n):
    return helper(n)

partial = functools.partial(work, 2)

def recursive(n):
    return ping(n)

def ping(n):
    return pong(n - 1) if n else 0

def pong(n):
    return ping(n)
"""

numbers = itertools.count()


def module(folder: Path, source: str) -> Any:
    name = f"made_{next(numbers)}"
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("shop", file)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules["shop"] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(autouse=True)
def _no_trace():
    yield
    sys.modules.pop("shop", None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("LIMIT = 10", "LIMIT = 11"),
        ('"pump": 90.0', '"pump": 91.0'),
        ("[1, 2]}", "[1, 3]}"),
        ('re.compile("a+")', 're.compile("b+")'),
        ("return n * LIMIT", "return n * LIMIT + 1"),
        ("return inner(n) + 1", "return other(n) + 1"),
        ("def work(n=1", "def work(n=2"),
        ("small = 1", "small = 2"),
        ("return name.strip()", "return name.upper()"),
        ("name: str\n", "name: str = 'x'\n"),
        ("percent: float = 5.0", "percent: float = 6.0"),
        ("scaled = make(3)", "scaled = make(4)"),
        ("return n * factor", "return n + factor"),
        ("for x in (1, 2)", "for x in (1, 3)"),
    ],
)
def test_a_change_anywhere_below_a_function_changes_its_hash(tmp_path, before: str, after: str):
    assert before in SOURCE
    first = code_hash(module(tmp_path, SOURCE).work)
    assert code_hash(module(tmp_path, SOURCE.replace(before, after, 1)).work) != first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def other(n):\n    return n", "def other(n):\n    return n + 1"),
        ("LIMIT = 10", "\n\n\nLIMIT = 10  # a word about it"),
        ("count = 0", "count = 7"),
        ("def recursive", "def unrelated():\n    return 1\n\ndef recursive"),
    ],
)
def test_what_a_function_does_not_reach_does_not_change_its_hash(tmp_path, before: str, after: str):
    first = code_hash(module(tmp_path, SOURCE).work)
    assert code_hash(module(tmp_path, SOURCE.replace(before, after, 1)).work) == first


def test_what_a_program_changes_while_it_runs_does_not_count(tmp_path):
    shop = module(tmp_path, SOURCE)
    first = code_hash(shop.work), code_hash(shop.decorated)
    shop.work()
    shop.decorated(1)
    assert (code_hash(shop.work), code_hash(shop.decorated)) == first


@pytest.mark.parametrize("name", ["decorated", "partial", "recursive"])
def test_decorated_partial_and_circular_functions_are_followed(tmp_path, name: str):
    changed = SOURCE.replace("return n * LIMIT", "return n").replace("return ping(n)", "return 1 + ping(n)")
    first = code_hash(getattr(module(tmp_path, SOURCE), name))
    assert code_hash(getattr(module(tmp_path, SOURCE), name)) == first
    assert code_hash(getattr(module(tmp_path, changed), name)) != first


def test_a_file_that_moves_stays_the_same(tmp_path):
    first = code_hash(module(tmp_path, SOURCE).work)
    (tmp_path / "moved.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("moved", tmp_path / "moved.py")
    assert spec
    assert spec.loader
    moved = sys.modules["moved"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(moved)
    assert code_hash(moved.work) == first
    del sys.modules["moved"]


def test_a_helper_in_a_module_beside_it_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "import beside\nfrom beside import second\ndef work():\n    return beside.first() + second()\n"
    hashes = set()
    for first, second in ((1, 1), (2, 1), (1, 2)):
        (tmp_path / "beside.py").write_text(
            f"def first():\n    return {first}\ndef second():\n    return {second}\n"
        )
        sys.modules.pop("beside", None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        hashes.add(code_hash(module(tmp_path, source).work))
        sys.dont_write_bytecode = before
    sys.modules.pop("beside", None)
    assert len(hashes) == 3


def test_the_hash_is_the_same_in_every_process(tmp_path):
    (tmp_path / "shop.py").write_text(SOURCE)
    code = "import shop\nfrom crewkit.crew.code import code_hash\n"
    code += "print(code_hash(shop.work, shop.Item, {1, 'a', (2,)}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_installed_code_counts_by_name_and_anything_has_a_hash():
    class Odd:
        @property
        def __wrapped__(self) -> Any:
            return None

    assert code_hash(len) != code_hash(print)
    assert code_hash(pytest.raises) == code_hash(pytest.raises)
    for value in (
        object(),
        Odd(),
        [],
        {},
        lambda: None,
        type,
        list[int],
        int | str,
        None,
        NotImplemented,
        sys,
    ):
        assert len(code_hash(value)) == 16
