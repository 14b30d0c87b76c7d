"""What a tool may say of how its calls are taken care of, checked when it is defined."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import TYPE_CHECKING

from crewkit.core.guardrails import as_guardrails
from crewkit.errors import DefinitionError, expect, expect_number
from crewkit.resilience.breaker import Breaker
from crewkit.resilience.retry import Retry
from crewkit.resilience.throttle import Rate

if TYPE_CHECKING:
    from crewkit.tools.tool import Tool

MAY_PASS: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)
"""Errors that may pass by themselves; a tool that names others names all of its own."""
BREAKER = Breaker()
"""The breaker of a tool that has no other."""


def check_care(tool: Tool) -> None:
    """Check a tool's timeout, retries, cache, caps, breaker, allowance and guardrails; bring them into form.

    Raises:
        DefinitionError: One of them cannot hold.
    """
    where = f"Tool '{tool.name}'"
    for field in ("idempotent", "trusted", "sensitive", "stale_on_failure"):
        expect(where, field, getattr(tool, field), bool, "True or False")
    expect_number(where, "timeout", tool.timeout, 0, above=True)
    expect_number(where, "max_tokens", tool.max_tokens, 1, whole=True)
    _check_retries(tool, where)
    _check_cache(tool, where)
    if isinstance(tool.rate, str):
        object.__setattr__(tool, "rate", Rate.parse(tool.rate, where))
    expect(where, "rate", tool.rate, (Rate, NoneType), "calls in a time: rate='30/min'")
    if tool.concurrency is not None:
        expect_number(where, "concurrency", tool.concurrency, 1, whole=True)
    if tool.breaker is not None and not isinstance(tool.breaker, Breaker):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where}: breaker={tool.breaker!r} is not a Breaker: Breaker(failures=5).")
    _check_guardrails(tool, where)
    _check_fallback(tool, where)


def _check_fallback(tool: Tool, where: str) -> None:
    from crewkit.tools.tool import Tool

    if tool.fallback is not None and not isinstance(tool.fallback, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where}: fallback={tool.fallback!r:.60} is not a tool.")


def _check_retries(tool: Tool, where: str) -> None:
    given = tool.retries
    if not isinstance(given, Retry) and (isinstance(given, bool) or not isinstance(given, int) or given < 0):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where} has retries={given!r}. Give a number from 0 up, or a Retry.")
    if tool.retry.attempts > 1 and not tool.repeatable:
        raise DefinitionError(
            f"{where} has retries={given!r}, but what it does must not be done twice. Leave the retries out, or say "
            "idempotent=True if running it twice with one idempotency key is as good as once."
        )
    expect(where, "retry_on", tool.retry_on, Iterable, "a list of errors: retry_on=(ConnectionError,)")
    for kind in tool.retry_on:
        if not isinstance(kind, type) or not issubclass(kind, Exception):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"{where} has retry_on={kind!r}, which is no kind of error: retry_on=(ConnectionError,)."
            )


def _check_cache(tool: Tool, where: str) -> None:
    expect_number(where, "cache_ttl", tool.cache_ttl, 0)
    if tool.cache_ttl and not tool.reads_only:
        raise DefinitionError(
            f"{where} has cache_ttl={tool.cache_ttl:g}, but it does more than read: an effect is never answered from "
            "a cache. Leave it out."
        )
    if tool.stale_on_failure and not tool.cache_ttl:
        raise DefinitionError(
            f"{where} has stale_on_failure=True, but keeps no results. Say for how long: cache_ttl=…"
        )


def _check_guardrails(tool: Tool, where: str) -> None:
    guardrails = as_guardrails(tool.guardrails, where, "results")
    for point in ("input", "messages", "output", "memory"):
        if guardrails.at(point):
            raise DefinitionError(
                f"{where} has guardrails for '{point}', but a tool has 'arguments' and 'results'. Put them on the "
                "task, the agent or the crew."
            )
    object.__setattr__(tool, "guardrails", guardrails)
