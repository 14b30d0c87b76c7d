"""Code that is written, reviewed and tested in a conversation, and goes back only by an explicit failure.

    crewkit run crews/code_review.py
    crewkit run crews/code_review.py -i code=@module.py --model anthropic/claude-sonnet-4-5

A writer hands its version to the review, the review hands it on to the tests, and either sends it back with a failure
that says why. Review and tests are plain functions: they cost no model call and say the same each time. A version is a
module in a fenced block, or the names of repairs that are made by rule, which is what the offline model can do.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from crewkit import Agent, Allow, Conversation, Crew, Input, Limits, Revise, Said, Task, Transitions, tool

SAMPLE = '''\
def average(numbers, seen=[]):
    """Return the mean of some numbers, 0.0 of none.

    >>> average([1, 2, 3])
    2.0
    >>> average([])
    0.0
    """
    try:
        seen.extend(numbers)
        return sum(seen) / len(seen)
    except:
        raise
'''

FENCED = re.compile(r"```(?:python)?\s*\n(.*?)\n```", re.DOTALL)
HARMLESS = frozenset({
    *("__future__", "collections", "dataclasses", "decimal", "enum", "fractions", "functools", "itertools"),
    *("math", "re", "statistics", "string", "typing"),
})  # fmt: skip
"""Modules that code under test may import: what runs here was written by a model."""
FORBIDDEN = frozenset({
    *("__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "input", "locals"),
    *("memoryview", "open", "setattr", "vars"),
})  # fmt: skip

REPAIRS = {
    "own-default": "make the default None, and a new one in each call",
    "name-exception": "catch Exception by name",
    "guard-empty": "divide by 1 where there is nothing",
}


def version(code: str, said: list[Said]) -> str:
    """Return the newest version of the code: what the writer wrote, or repaired by name."""
    for each in said:
        if each.speaker == "Writer":
            if blocks := FENCED.findall(each.text):
                code = blocks[-1] + "\n"
            else:
                code = repaired(code, [name for name in REPAIRS if name in each.text])
    return code


def repaired(code: str, names: list[str]) -> str:
    if "own-default" in names:
        code = own_defaults(code)
    if "name-exception" in names:
        code = re.sub(r"except\s*:", "except Exception:", code)
    if "guard-empty" in names:
        code = re.sub(r"/ len\((\w+)\)", r"/ max(len(\1), 1)", code)
    return code


def own_defaults(code: str) -> str:
    """Replace lists and dicts that all calls share by one for each call."""
    lines = code.splitlines()
    for node in reversed([each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.FunctionDef)]):
        named = zip(node.args.args[-len(node.args.defaults) :], node.args.defaults, strict=False)
        for argument, default in named if node.args.defaults else ():
            if not isinstance(default, ast.List | ast.Dict):
                continue
            text, first = ast.unparse(default), node.body[0]
            pattern = rf"\b{argument.arg}\s*=\s*{re.escape(text)}"
            lines[node.lineno - 1] = re.sub(pattern, f"{argument.arg}=None", lines[node.lineno - 1])
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            at = first.end_lineno if documented and first.end_lineno else first.lineno - 1
            own = f"{argument.arg} = {text} if {argument.arg} is None else {argument.arg}"
            lines.insert(at, " " * first.col_offset + own)
    return "\n".join(lines) + "\n"


def objections(code: str) -> list[str]:
    """Return what a reviewer does not let pass, each in a sentence."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [f"Line {error.lineno} cannot be read: {error.msg}."]
    return [*forbidden(tree), *careless(tree)]


def forbidden(tree: ast.Module) -> list[str]:
    """Return why code may not be run here."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            given = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
            names = [name for name in given if name.partition(".")[0] not in HARMLESS]
            found += [f"Line {node.lineno} imports '{name}', which no test needs." for name in names]
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN:
            found.append(f"Line {node.lineno} uses '{node.id}', which no test needs.")
        elif isinstance(node, ast.Attribute) and node.attr.startswith("__"):
            found.append(f"Line {node.lineno} reaches for '{node.attr}', which no test needs.")
    return found


def careless(tree: ast.Module) -> list[str]:
    """Return what goes wrong sooner or later."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            shared = [each for each in node.args.defaults if isinstance(each, ast.List | ast.Dict)]
            found += [f"Repair own-default: all calls of {node.name}() share one default." for _ in shared]
            if ast.get_docstring(node) is None:
                found.append(f"The function {node.name}() does not say what it does: no docstring.")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"Repair name-exception: line {node.lineno} catches everything, interrupts too.")
    return found


@tool(effects="read", trusted=True)
def review(code: str, said: list[Said]) -> Allow | Revise:
    """Read the newest version, and refuse what is careless or may not run here."""
    problems = objections(version(code, said))
    if problems:
        return Revise(" ".join(problems))
    return Allow("Nothing to object. To the tests.")


# It may be run again: it runs in a folder of its own, which is thrown away.
@tool(effects=["write"], idempotent=True, timeout=60, trusted=True)
def run_tests(code: str, said: list[Said]) -> Allow | Revise:
    """Run the examples in the docstrings of the newest version."""
    newest = version(code, said)
    if problems := objections(newest):
        return Revise(" ".join(problems))
    with TemporaryDirectory() as folder:
        module = Path(folder, "candidate.py")
        module.write_text(newest, encoding="utf-8")
        command = [sys.executable, "-I", "-m", "doctest", str(module)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=20, cwd=folder, env={}, check=False
            )
        except subprocess.TimeoutExpired:
            return Revise("The examples did not end within 20 seconds.")
    if done.returncode == 0:
        return Allow(f"All examples hold.\n\n```python\n{newest}```")
    failed = re.findall(r"Failed example:\n\s+(.*)", done.stdout)
    raised = re.findall(r"^\s+(\w+Error): (.*)$", done.stdout, re.MULTILINE)
    hint = " Repair guard-empty: it divides by nothing." if "ZeroDivisionError" in done.stdout else ""
    why = "; ".join(f"{kind}: {text}" for kind, text in dict.fromkeys(raised)) or "another result"
    return Revise(f"The example {', '.join(failed)} does not hold ({why}).{hint}")


writer = Agent(
    "Writer",
    "Write code that passes review and tests, and change no more than that takes.",
    "In your message stands the whole module in one fenced block. Where a failure names a repair, its name is enough: "
    + "; ".join(f"{name}: {what}" for name, what in REPAIRS.items()),
    max_tokens=4_000,
)
line = Transitions(
    {"Writer": ["review"], "review": ["run_tests"]},
    back={"review": ["Writer"], "run_tests": ["Writer"]},
)
reviewed = Task(
    "reviewed",
    "Bring this module into shape. Answer each failure with a new version, or with the repairs that it names.",
    "All repairs that the last failure names, or the module.",
    do=Conversation([writer, review, run_tests], speaker=line, rounds=16, pair=8),
)


@tool(effects="read", trusted=True)
def accepted(reviewed: str) -> str:
    """Return the module that passed, or say that none did."""
    blocks = FENCED.findall(reviewed)
    if not blocks or not reviewed.startswith("All examples hold."):
        return f"No version passed review and tests. {reviewed}"
    return blocks[-1] + "\n"


crew = Crew(
    [reviewed, Task("accepted", do=accepted, needs=[reviewed])],
    name="code_review",
    inputs={"code": Input("The module, with examples in its docstrings: -i code=@module.py", default=SAMPLE)},
    limits=Limits(tokens=200_000, seconds=1_800),
)
