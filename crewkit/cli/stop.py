"""Ctrl-C: once to stop in order, twice to leave at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_LEFT = 130


class Stop:
    """While it is entered, SIGINT and SIGTERM cancel a task; the second one ends the process on the spot.

    Plain signal handlers, and not the event loop's: a second Ctrl-C must work while user code blocks it.
    """

    def __init__(self, task: asyncio.Task[Any], told: Callable[[], None]) -> None:
        self.pressed = False
        self._task = task
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.pressed:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # the view has hidden the cursor
            os._exit(_LEFT)
        self.pressed = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._told()
        self._task.cancel()
