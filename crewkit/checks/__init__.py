"""Checks: may this call be made, is this answer good enough."""

from crewkit.checks.call import CallContext, check_call

__all__ = ["CallContext", "check_call"]
