"""The permission scope: which tools may be called, with which arguments, how often, and when a person is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from crewkit.checks.constraint import Constraint, complete, named
from crewkit.checks.hosts import Hosts, check_entry
from crewkit.checks.roots import Roots
from crewkit.checks.where import where as schema_constraint
from crewkit.errors import DefinitionError, did_you_mean, expect, expect_number
from crewkit.tools.tool import Tool

Asking = Literal["always", "effects", "tainted", "never"]

_STRICTEST: tuple[Asking, ...] = ("always", "effects", "tainted", "never")


class Grant:
    """Leave to call one tool, by its exact name, as far as its constraints go.

    ```python
    Grant("read_file", roots={"path": ["./reports"]})
    Grant("fetch", hosts={"url": ["api.example.org"]})
    Grant("pay", where={"properties": {"amount": {"maximum": 100}}}, max_calls=2, approval="always")
    ```

    Two grants of one tool intersect, `a & b`: what the result allows, both allow.
    """

    def __init__(
        self,
        tool: str,
        approval: Asking = "effects",
        *,
        where: Mapping[str, Any] | None = None,
        roots: Mapping[str, Sequence[str | Path] | str] | None = None,
        hosts: Mapping[str, Sequence[str] | str] | None = None,
        max_calls: int | None = None,
        expires: float | None = None,
    ) -> None:
        """Describe a grant.

        Args:
            tool: The tool's exact name.
            approval: When a person is asked before a call. `always`; `effects`: where the tool does more than read;
                `tainted`: where, besides, a control argument does not stand in what the user and the crew said;
                `never`. Where several grants meet, the strictest word counts.
            where: JSON Schema of the arguments. Patterns match whole texts.
            roots: By argument, the folders in which the path has to lie.
            hosts: By argument, the hosts on which the URL has to be: see `Hosts`.
            max_calls: Calls in one run, over all who share this grant.
            expires: Seconds that a person has to decide; left out, seven days. After them it counts as a no.

        Raises:
            DefinitionError: Something in it could not be held.
        """
        expect("Grant", "tool", tool, str, "a tool's name")
        self._where = f"Grant({tool!r})"
        self.tool = tool
        self.approval: Asking = approval
        self.expires = expires
        self.constraints: frozenset[Constraint] = frozenset(self._constraints(where, roots, hosts))
        self.caps: dict[str, int] = {} if max_calls is None else {"": max_calls}
        """Most calls in a run, by whose grant it is: `agent Clerk`, `task pay`; empty for one that nobody holds yet."""
        if approval not in _STRICTEST:
            known = ", ".join(map(repr, _STRICTEST))
            raise DefinitionError(f"{self._where}: approval={approval!r} is not one of {known}.")
        if max_calls is not None and (type(max_calls) is not int or max_calls < 1):
            raise DefinitionError(f"{self._where}: max_calls={max_calls!r} is not a number of calls above 0.")
        if expires is not None:
            expect_number(self._where, "expires", expires, 0, above=True)

    def _constraints(
        self, where: Any, roots: Mapping[str, Any] | None, hosts: Mapping[str, Any] | None
    ) -> Iterator[Constraint]:
        if where is not None:
            yield schema_constraint(where, self._where)
        if roots is not None:
            for argument, folders in named(roots, self._where, "roots", "{'path': ['./reports']}").items():
                yield Roots(argument, folders)
        if hosts is not None:
            for argument, entries in named(hosts, self._where, "hosts", "{'url': ['example.org']}").items():
                for entry in entries:
                    check_entry(entry, self._where)
                yield Hosts(argument, entries)

    def __and__(self, other: Grant) -> Grant:
        """Return what both allow."""
        both = Grant(self.tool, next(word for word in _STRICTEST if word in (self.approval, other.approval)))
        both.constraints = self.constraints | other.constraints
        both.caps = {
            holder: min(grant.caps[holder] for grant in (self, other) if holder in grant.caps)
            for holder in {**self.caps, **other.caps}
        }
        both.expires = min((e for e in (self.expires, other.expires) if e is not None), default=None)
        return both

    def held_by(self, holder: str) -> Grant:
        """Return the grant with its own cap on calls counted for this holder."""
        held = self & self
        held.caps = {name or holder: cap for name, cap in self.caps.items()}
        return held

    def under(self, prefix: str) -> Grant:
        """Return the grant with its caps counted under a path: those of a crew inside a task."""
        held = self & self
        held.caps = {prefix + name: cap for name, cap in self.caps.items()}
        return held

    def problem(self, tool: Tool, arguments: Mapping[str, Any], cwd: Path) -> str:
        """Say why a call's arguments are not within this grant; empty where they are."""
        whole = complete(arguments, tool)
        problems = (each.problem(whole, cwd) for each in sorted(self.constraints, key=repr))
        return next((problem for problem in problems if problem), "")

    def asks(self, tool: Tool) -> bool:
        """Say whether a person may have to be asked before a call."""
        return self.approval == "always" or (self.approval != "never" and not tool.reads_only)

    def narrowed(self) -> list[str]:
        """Say in words how far the grant goes, a line for each constraint; nothing where it has none."""
        calls = [
            f"{cap} call{'' if cap == 1 else 's'} in a run at most ({holder})"
            for holder, cap in sorted(self.caps.items())
        ]
        return [*sorted(map(str, self.constraints)), *calls]

    def _key(self) -> tuple[Any, ...]:
        return self.tool, self.approval, self.constraints, frozenset(self.caps.items()), self.expires

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        parts = [repr(self.tool), *([] if self.approval == "effects" else [f"approval={self.approval!r}"])]
        parts += sorted(map(repr, self.constraints))
        parts += [f"max_calls={cap}" for cap in self.caps.values()]
        parts += [] if self.expires is None else [f"expires={self.expires:g}"]
        return f"Grant({', '.join(parts)})"


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

    def held_by(self, holder: str) -> Scope:
        """Return the scope with its caps on calls counted for this holder."""
        return Scope(*(grant.held_by(holder) for grant in self))

    def under(self, prefix: str) -> Scope:
        """Return the scope with its caps on calls counted under a path."""
        return Scope(*(grant.under(prefix) for grant in self)) if prefix else self

    def known(self, tools: Iterable[Tool], where: str) -> None:
        """Refuse grants for tools, and constraints on arguments, that are not there.

        Raises:
            DefinitionError: A grant names none of `tools`, or no argument of its; the message says what is near.
        """
        known = {tool.name: tool for tool in tools}
        for grant in self:
            tool = known.get(grant.tool)
            if tool is None:
                raise DefinitionError(
                    f"{where} has a grant for '{grant.tool}', which is none of its tools."
                    f"{did_you_mean(grant.tool, known)} Tools: {', '.join(known) or 'none'}."
                )
            arguments = tool.parameters.get("properties", {})
            for name in (name for each in grant.constraints for name in each.arguments):
                if name not in arguments:
                    raise DefinitionError(
                        f"{where} narrows the argument '{name}' of '{grant.tool}', which has none of that name."
                        f"{did_you_mean(name, arguments)} Its arguments: {', '.join(arguments) or 'none'}."
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
