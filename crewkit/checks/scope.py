"""The permission scope: which tools may be called, and when a person is asked first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from crewkit.core.verdict import Allow, Ask, Deny, Verdict
from crewkit.errors import DefinitionError, did_you_mean, expect
from crewkit.tools.tool import Tool

Asking = Literal["always", "effects", "never"]

_STRICTEST: tuple[Asking, ...] = ("always", "effects", "never")


@dataclass(frozen=True)
class Grant:
    """Leave to call one tool, by its exact name."""

    tool: str
    approval: Asking = "effects"
    """Whether a person is asked before each call: `always`; `effects`, where the tool does more than read; or
    `never`. Where several grants meet, the strictest word counts."""

    def __post_init__(self) -> None:
        if self.approval not in _STRICTEST:
            known = ", ".join(map(repr, _STRICTEST))
            raise DefinitionError(f"Grant({self.tool!r}): approval={self.approval!r} is not one of {known}.")

    def __and__(self, other: Grant) -> Grant:
        return Grant(self.tool, next(word for word in _STRICTEST if word in (self.approval, other.approval)))


class Scope:
    """Grants; what is not granted is not allowed. An empty scope allows nothing."""

    def __init__(self, *grants: Grant | str) -> None:
        self._grants: dict[str, Grant] = {}
        for given in grants:
            expect("Scope", "a grant", given, (Grant, str), "a tool's name or a Grant: Grant('send')")
            grant = Grant(given) if isinstance(given, str) else given
            held = self._grants.get(grant.tool)
            self._grants[grant.tool] = held & grant if held else grant

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._grants.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self._grants == other._grants

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._grants)))

    def __repr__(self) -> str:
        return f"Scope({', '.join(map(repr, self))})"

    def __and__(self, other: Scope) -> Scope:
        """Return what both allow: narrowing intersects and never replaces."""
        return Scope(
            *(grant & other._grants[name] for name, grant in self._grants.items() if name in other._grants)
        )

    def grant(self, tool: str) -> Grant | None:
        """Return the grant for a tool of exactly this name."""
        return self._grants.get(tool)

    def check(self, tool: Tool) -> Verdict:
        """Say whether a tool may be called: allowed, denied, or only after a person was asked."""
        grant = self.grant(tool.name)
        if grant is None:
            return Deny(f"The scope has no grant for '{tool.name}'.")
        if grant.approval == "always" or (grant.approval == "effects" and not tool.reads_only):
            effects = " and ".join(tool.effects) or "no declared effect"
            return Ask(f"May '{tool.name}' ({effects}) be called?")
        return Allow()

    def known(self, tools: Iterable[Tool], where: str) -> None:
        """Refuse grants for tools that are not there.

        Raises:
            DefinitionError: A grant names no tool of `tools`; the message says where and what is near.
        """
        names = [tool.name for tool in tools]
        for grant in self:
            if grant.tool not in names:
                raise DefinitionError(
                    f"{where} has a grant for '{grant.tool}', which is none of its tools."
                    f"{did_you_mean(grant.tool, names)} Tools: {', '.join(names) or 'none'}."
                )


def granted(tools: Iterable[Tool], *narrowing: Scope | None) -> Scope:
    """Return what a list of tools grants, as far as the scopes over it go.

    A list has no word on asking where a scope has one; without any, it is the default of a grant.
    """
    scopes = [scope for scope in narrowing if scope is not None]
    asking: Asking = "never" if scopes else "effects"
    allowed = Scope(*(Grant(tool.name, asking) for tool in tools))
    for scope in scopes:
        allowed = allowed & scope
    return allowed
