"""Timeout, retry, circuit breaker: wrappers around an awaitable."""
