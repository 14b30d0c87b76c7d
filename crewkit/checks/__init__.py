"""Checks: may this call be made, is this answer good enough."""
