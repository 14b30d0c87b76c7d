"""Caps on what a run, a task or an agent may use, and the meter that holds them.

A cap is reserved before a call is sent (its prompt and its longest possible answer) and settled when the
answer is there, so calls in parallel cannot overrun it together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final, Literal

from crewkit.errors import DefinitionError, LimitExceeded


class _Default(Enum):
    DEFAULT = "default"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default.DEFAULT
"""Left out: the default of the level applies. Write `None` for no cap."""

type_of_cap = Literal[_Default.DEFAULT]
