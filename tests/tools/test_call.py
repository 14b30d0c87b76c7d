import asyncio
import contextvars
import ctypes
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from crewkit.errors import ToolError
from crewkit.memory.base import Hit, Record
from crewkit.tools.arguments import convert_arguments, parse_arguments
from crewkit.tools.call import Outcome, execute, unknown_tool
from crewkit.tools.result import NOTHING
from crewkit.tools.tool import Tool, ToolContext, tool, tool_from_schema


class Blank:
    """A memory that holds nothing."""

    async def add(self, records: Sequence[Record]) -> list[str]:
        return []

    async def recall(self, query: str, *, k: int = 5) -> list[Hit]:
        return []


CONTEXT = ToolContext("r-1", "draft", "Editor", "draft/1/tool:0", "key-1", Blank())


def made(function: Any, **options: Any) -> Tool:
    """Make a tool of a function of no arguments."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    return tool_from_schema("probe", "Probe.", schema, function, **{"effects": "read", **options})


async def outcome_of(function: Any, **options: Any) -> Outcome:
    return await execute(made(function, **options), {}, CONTEXT)


def sync(value: Any) -> Any:
    return lambda: value


def asynchronous(value: Any) -> Any:
    async def give() -> Any:
        return value

    return give


def raising(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return fail


def raising_later(error: BaseException) -> Any:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    return fail


@pytest.mark.parametrize("giving", [sync, asynchronous])
async def test_what_a_tool_returns_is_shown(giving: Any):
    outcome = await outcome_of(giving("found"))
    assert (outcome.outcome, outcome.text, outcome.error) == ("ok", "found", None)
    assert outcome.received == 5
    assert outcome.seconds >= 0
    assert (await outcome_of(giving(None))).text == NOTHING
    assert (await outcome_of(giving([1, {"a": 2}]))).text == '[1,{"a":2}]'


async def test_arguments_and_context_reach_the_function():
    @tool(effects="read")
    async def whoami(greeting: str, context: ToolContext) -> str:
        """Tell who is asking."""
        return f"{greeting} {context.agent}, {context.idempotency_key}"

    values = convert_arguments(parse_arguments('{"greeting": "Hello"}', whoami), whoami)
    assert (await execute(whoami, values, CONTEXT)).text == "Hello Editor, key-1"
    assert values == {"greeting": "Hello"}


async def test_a_hundred_megabytes_are_not_kept_whole():
    outcome = await outcome_of(sync("x" * 100_000_000))
    assert outcome.outcome == "ok"
    assert outcome.received == 100_000_000
    assert len(outcome.text) == 1_000_000


@pytest.mark.parametrize("giving", [sync, asynchronous])
async def test_a_result_that_cannot_be_shown_says_that_the_tool_did_run(giving: Any):
    outcome = await outcome_of(giving(b"\x00" * 10))
    assert outcome.outcome == "error"
    assert outcome.text == (
        "'probe' ran to its end; only its result is lost. "
        "The result is binary (bytes, 10 bytes) and cannot be shown as text."
    )
    assert outcome.error == {
        "type": "UnusableResult",
        "message": "The result is binary (bytes, 10 bytes) and cannot be shown as text.",
    }


@pytest.mark.parametrize("failing", [raising, raising_later])
async def test_a_tool_error_reaches_the_model_verbatim(failing: Any):
    outcome = await outcome_of(failing(ToolError("No page named 'x'. Try 'y'.")))
    assert outcome.outcome == "error"
    assert outcome.text == "No page named 'x'. Try 'y'."
    assert outcome.error == {"type": "ToolError", "message": "No page named 'x'. Try 'y'."}


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("failing", [raising, raising_later])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such place"), "'probe' failed. ValueError: no such place"),
        (TimeoutError("socket"), "'probe' failed. TimeoutError: socket"),
        (KeyError("x"), "'probe' failed. KeyError: 'x'"),
        (SystemExit(3), "'probe' failed. SystemExit: 3"),
        (GeneratorExit(), "'probe' failed. GeneratorExit: no message"),
        (Mute(), "'probe' failed. Mute: no message"),
        (ValueError("half \ud800"), "'probe' failed. ValueError: half ?"),
        (
            BaseExceptionGroup("both", [ValueError("a"), SystemExit(1)]),
            "'probe' failed. BaseExceptionGroup: both: ValueError: a; SystemExit: 1",
        ),
        (
            ExceptionGroup("all", [ExceptionGroup("inner", [KeyError("k")])]),
            "'probe' failed. ExceptionGroup: all: ExceptionGroup: inner: KeyError: 'k'",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_a_tool_raises_is_an_error_for_the_model(
    failing: Any, error: BaseException, text: str
):
    outcome = await outcome_of(failing(error))
    assert outcome.outcome == "error"
    assert outcome.text == text
    assert "Traceback" not in outcome.text


async def test_a_long_error_is_cut():
    outcome = await outcome_of(raising(ValueError("x" * 1_000_000)))
    assert len(outcome.text) < 2_100
    assert outcome.error is not None
    assert len(outcome.error["message"]) == 2_000


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(), StopIteration(5), asyncio.CancelledError(), StopAsyncIteration()],
)
async def test_a_tool_that_ends_its_thread_ends_only_its_call(error: BaseException):
    outcome = await outcome_of(raising(error))
    assert outcome.outcome == "error"
    assert outcome.error is not None
    assert outcome.error["type"] == type(error).__name__


async def test_an_exception_thrown_into_the_thread_from_outside_ends_only_its_call():
    def struck() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit)
        )
        while True:
            time.sleep(0.001)

    outcome = await outcome_of(struck)
    assert outcome.outcome == "error"
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["message"]) == ("SystemExit", "no message")


async def test_an_error_says_where_in_the_tools_own_file_it_was_raised():
    def parse() -> Any:
        return json.loads("{")

    outcome = await outcome_of(parse)
    assert outcome.error is not None
    line = parse.__code__.co_firstlineno + 1
    assert outcome.error["where"] == f"test_call.py, line {line}, in parse"
    assert "test_call.py" not in outcome.text


async def test_an_async_tool_that_cancels_itself_does_not_cancel_its_caller():
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    for function in (cancel, raising_later(asyncio.CancelledError())):
        outcome = await outcome_of(function)
        assert outcome.outcome == "error"
        assert outcome.error == {"type": "CancelledError", "message": "the tool cancelled itself"}


async def test_a_sync_function_may_return_an_awaitable():
    def start() -> Any:
        return asynchronous("awaited")()

    def raising_later_when_called() -> Any:
        return raising_later(ValueError("late"))()

    assert (await outcome_of(start)).text == "awaited"
    assert (await outcome_of(raising_later_when_called)).text == "'probe' failed. ValueError: late"
    slow = await outcome_of(lambda: asyncio.sleep(30), timeout=0.05)
    assert slow.outcome == "timeout"


async def test_an_async_tool_is_stopped_at_its_timeout():
    stopped = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()

    outcome = await outcome_of(wait, timeout=0.05)
    assert outcome.outcome == "timeout"
    assert outcome.text == "'probe' did not end within 0.05 seconds and was given up."
    assert outcome.error == {"type": "Timeout", "message": outcome.text}
    assert stopped.is_set()


async def test_a_sync_tool_is_left_behind_at_its_timeout():
    go = threading.Event()
    outcome = await outcome_of(lambda: go.wait(30), timeout=0.05)
    assert outcome.outcome == "timeout"
    assert outcome.seconds < 10
    go.set()


async def test_a_timeout_of_an_effect_says_that_it_may_have_happened():
    outcome = await outcome_of(lambda: asyncio.sleep(30), timeout=0.05, effects="write")
    assert "It may still have happened" in outcome.text


async def test_the_caller_can_give_another_timeout():
    outcome = await execute(made(lambda: asyncio.sleep(30)), {}, CONTEXT, timeout=0.05)
    assert outcome.outcome == "timeout"


async def test_a_tool_that_ignores_its_cancellation_is_given_up():
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    outcome = await outcome_of(stubborn, timeout=0.05)
    assert outcome.outcome == "timeout"
    release.set()
    await asyncio.sleep(0)


async def test_cancelling_a_call_cancels_an_async_tool_and_is_not_swallowed():
    began, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            stopped.set()

    call = asyncio.create_task(execute(made(wait), {}, CONTEXT))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stopped.is_set()


async def test_cancelling_a_call_of_a_sync_tool_returns_at_once():
    began, go = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        go.wait(30)

    call = asyncio.create_task(execute(made(wait), {}, CONTEXT))
    while not began.is_set():
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()


async def test_three_hundred_sync_tools_wait_at_the_same_time():
    everyone = threading.Barrier(300)
    outcomes = await asyncio.gather(*(outcome_of(lambda: everyone.wait(60) >= 0) for _ in range(300)))
    assert {outcome.text for outcome in outcomes} == {"true"}


async def test_a_sync_tool_does_not_block_the_loop():
    go = threading.Event()
    call = asyncio.create_task(outcome_of(lambda: go.wait(30)))
    for _ in range(3):
        await asyncio.sleep(0.001)
    assert not call.done()
    go.set()
    assert (await call).text == "true"


async def test_a_sync_tool_sees_the_callers_context_variables():
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    who.set("caller")
    assert (await outcome_of(who.get)).text == "caller"


@pytest.mark.slow
def test_a_tool_that_never_ends_does_not_keep_the_process_alive():
    program = """
import asyncio, time
from crewkit.tools.call import execute
from crewkit.tools.tool import ToolContext, tool_from_schema

def forever() -> None:
    while True:
        time.sleep(3600)

sleeper = tool_from_schema("sleeper", "Sleep.", {"type": "object"}, forever, effects="read", timeout=0.1)
print(asyncio.run(execute(sleeper, {}, ToolContext("r", "t", "a", "p", "k", None))).outcome)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "timeout\n", "")


async def test_a_thread_that_cannot_start_is_an_error_of_the_call():
    size = threading.stack_size()
    threading.stack_size(1 << 46)
    try:
        outcome = await outcome_of(sync("x"))
    finally:
        threading.stack_size(size)
    assert outcome.outcome == "error"
    assert "RuntimeError" in outcome.text


def test_an_unknown_tool_is_answered_with_the_tools_there_are():
    assert unknown_tool("web_serch", ["web_search", "read_page"]) == (
        "There is no tool 'web_serch'. Tools you can call: web_search, read_page."
    )
    assert unknown_tool("x", []) == "There is no tool 'x'. There are no tools you can call."
    assert len(unknown_tool("x" * 10_000, ["y"])) < 200
    unknown_tool("\ud800", []).encode()
