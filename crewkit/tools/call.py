"""Running a tool: whatever its function does, there is an outcome, and in time."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from traceback import walk_tb
from typing import Any, Literal, cast

from crewkit.errors import ToolError
from crewkit.tools.result import KEPT_CHARS, to_text
from crewkit.tools.tool import Tool, ToolContext

GRACE = 1.0
"""Seconds that a cancelled tool has to clean up before it is left behind."""
MAX_ERROR_CHARS = 2_000
"""Longest message of an error that a model is shown."""

Ended = tuple[Any, BaseException | None]
"""What a function returned, or what it raised."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended."""

    outcome: Literal["ok", "error", "timeout", "unavailable"]
    """`unavailable`: nothing was called."""
    text: str
    """The result, or what went wrong, for the model. Past `KEPT_CHARS` it is cut."""
    error: dict[str, str] | None = None
    """`type` and `message`, where the call failed; `where`, the line of the tool's file that raised."""
    received: int = 0
    """Characters of the whole result."""
    seconds: float = 0.0
    may_pass: bool = False
    """It failed in a way that may pass by itself."""
    retry_after: float | None = None
    """Seconds that the service asks us to wait."""


async def execute(
    tool: Tool, arguments: Mapping[str, Any], context: ToolContext, *, timeout: float | None = None
) -> Outcome:
    """Call a tool with converted arguments, and wait for it no longer than its timeout.

    An async function runs in a task of its own, a sync one in a thread of its own that does not keep the
    process alive. Cancelling this cancels the tool; a sync function cannot be stopped and is left behind.

    Args:
        tool: The tool.
        arguments: What the function takes: `convert_arguments` made it of what `parse_arguments` read.
        context: Filled in where the function asks for it.
        timeout: Seconds; the tool's own where left out.
    """
    began = time.monotonic()
    allowed = tool.timeout if timeout is None else timeout
    values = dict(arguments)
    if tool.context:
        values[tool.context] = context
    task = asyncio.ensure_future(_run(tool.function, values))
    if not await _finished(task, allowed):
        return _timed_out(tool, allowed, began)
    if task.cancelled():
        return _failed(tool, asyncio.CancelledError("the tool cancelled itself"), began)
    value, error = task.result()
    return _failed(tool, error, began) if error is not None else _returned(tool, value, began)


async def invoke(
    function: Callable[..., Any], values: Mapping[str, Any], timeout: float | None = None
) -> Any:
    """Call a function as `execute` does, and return what it returns.

    Raises:
        TimeoutError: It did not return within `timeout` seconds (`None`: no limit).
        BaseException: Whatever the function raised; where it raised no `Exception`, wrapped in a `RuntimeError`.
    """
    task = asyncio.ensure_future(_run(function, values))
    if not await _finished(task, timeout):
        raise TimeoutError(f"it did not return within {timeout:g} seconds")
    if task.cancelled():
        raise RuntimeError("it cancelled itself")
    value, error = task.result()
    if error is None:
        return value
    if isinstance(error, Exception):
        raise error
    raise RuntimeError(f"{type(error).__name__}: {error}") from error


def raised_at(error: BaseException, function: Callable[..., Any]) -> str:
    """Return the line of a function's own file that an error came through last; empty where it has none."""
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", "")
    own = [(frame, line) for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    if not own:
        return ""
    frame, line = own[-1]
    return f"{Path(file).name}, line {line}, in {frame.f_code.co_name}"


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """Tell a model that it named no tool of its own. Nothing near is ever called instead."""
    tools = ", ".join(known)
    offer = f"Tools you can call: {tools}." if tools else "There are no tools you can call."
    return f"There is no tool '{_short(name, 100)}'. {offer}"


async def _finished(task: asyncio.Future[Ended], seconds: float | None) -> bool:
    """Wait for the task; after the timeout, or when we are cancelled, see to it that it ends."""
    try:
        await asyncio.wait((task,), timeout=seconds)
        return task.done()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=GRACE)


async def _run(function: Callable[..., Any], values: Mapping[str, Any]) -> Ended:
    try:
        if inspect.iscoroutinefunction(function):
            return await function(**values), None
        value, error = await _in_thread(function, values)
        if error is None and inspect.isawaitable(value):
            value = await value
        return value, error
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 — a tool's body; its SystemExit must not end the run
        return None, error


async def _in_thread(function: Callable[..., Any], values: Mapping[str, Any]) -> Ended:
    """Call a sync function in a daemon thread: there is no pool to fill up, and exit does not wait for it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ended] = loop.create_future()
    call = partial(contextvars.copy_context().run, function, **values)
    Thread(
        target=_work, args=(call, loop, ended), name=getattr(function, "__name__", "tool"), daemon=True
    ).start()
    contexts = [value for value in values.values() if isinstance(value, ToolContext)]
    try:
        return await (asyncio.shield(ended) if contexts else ended)
    except asyncio.CancelledError:
        for context in contexts:
            context.stopping.set()
        if contexts:
            await asyncio.wait((ended,), timeout=GRACE)
        raise


def _work(call: Callable[[], Any], loop: asyncio.AbstractEventLoop, ended: asyncio.Future[Ended]) -> None:
    result: Ended = (None, SystemExit("the tool's thread was ended"))
    try:
        result = (call(), None)
    except BaseException as error:  # noqa: BLE001 — a tool's body; SystemExit and its like end only the call
        result = (None, error)
    finally:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, ended, result)


def _settle(ended: asyncio.Future[Ended], result: Ended) -> None:
    if not ended.done():
        ended.set_result(result)


def _returned(tool: Tool, value: object, began: float) -> Outcome:
    try:
        text = to_text(value)
    except ToolError as error:
        return _failed(tool, error, began, note=f"'{tool.name}' ran to its end; only its result is lost. ")
    return Outcome("ok", text[:KEPT_CHARS], None, len(text), _since(began))


def _timed_out(tool: Tool, seconds: float, began: float) -> Outcome:
    text = f"'{tool.name}' did not end within {seconds:g} seconds and was given up."
    if not tool.reads_only:
        text += " It may still have happened, or happen yet: check before you call it again."
    ended = _error("timeout", "Timeout", text, text, began)
    return replace(ended, may_pass=tool.may_pass(TimeoutError()))


def _failed(tool: Tool, error: BaseException, began: float, note: str = "") -> Outcome:
    kind, message = type(error).__name__, _message(error)
    if isinstance(error, ToolError):
        ended = _error("error", kind, message, note + message, began)
    else:
        text = f"'{tool.name}' failed. {kind}: {message}"
        ended = _error("error", kind, message, text, began, raised_at(error, tool.function))
    after = error.retry_after if isinstance(error, ToolError) else None
    return replace(ended, may_pass=tool.may_pass(error), retry_after=after)


def _error(
    outcome: Literal["error", "timeout"], kind: str, message: str, text: str, began: float, where: str = ""
) -> Outcome:
    error = {"type": kind, "message": message} | ({"where": where} if where else {})
    return Outcome(outcome, text, error, len(text), _since(began))


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        inner = "; ".join(f"{type(e).__name__}: {_message(e)}" for e in group.exceptions[:5])
        return _short(f"{group.message}: {inner}", MAX_ERROR_CHARS)
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001 — an exception's own __str__
        text = ""
    return _short(text, MAX_ERROR_CHARS) or "no message"


def _short(text: str, allowance: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= allowance else f"{text[: allowance - 1]}…"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 6)
