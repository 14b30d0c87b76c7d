"""Grants: by exact name, narrowed and never widened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import DefinitionError, Grant, Scope, Tool
from crewkit.checks.scope import granted
from crewkit.core.verdict import Allow, Ask, Deny

NAMES = ("read", "send", "pay")
grants = st.lists(
    st.builds(Grant, st.sampled_from(NAMES), st.sampled_from(["always", "effects", "never"])),
    max_size=4,
)
scopes = grants.map(lambda given: Scope(*given))


def tool(name: str, *effects: Any) -> Tool:
    return Tool(name, "Do it.", {"type": "object"}, lambda: None, effects or ("write", "external"))


TOOLS = [tool("read", "read"), tool("send", "write"), tool("pay")]
STRICT = (Deny, Ask, Allow)


def strictness(scope: Scope, one: Tool) -> int:
    return STRICT.index(type(scope.check(one)))


def test_what_is_not_granted_is_denied():
    assert Scope().check(TOOLS[0]) == Deny("The scope has no grant for 'read'.")
    assert isinstance(Scope("Read", "rea", "read ").check(TOOLS[0]), Deny)


@pytest.mark.parametrize(
    ("approval", "read", "send"),
    [("effects", Allow, Ask), ("always", Ask, Ask), ("never", Allow, Allow)],
)
def test_a_grant_says_when_a_person_is_asked(approval, read, send):
    assert type(Scope(Grant("read", approval)).check(TOOLS[0])) is read
    assert type(Scope(Grant("send", approval)).check(TOOLS[1])) is send


def test_a_question_names_the_effects():
    assert Scope("pay").check(TOOLS[2]) == Ask("May 'pay' (write and external) be called?")


def test_an_approval_that_is_none_of_the_words_is_a_mistake():
    with pytest.raises(
        DefinitionError, match="approval='sometimes' is not one of 'always', 'effects', 'never'"
    ):
        Grant("read", "sometimes")


def test_a_grant_for_a_tool_that_is_not_there_is_a_mistake():
    with pytest.raises(DefinitionError) as caught:
        Scope("raed").known(TOOLS, "The scope of agent 'A'")
    assert str(caught.value) == (
        "The scope of agent 'A' has a grant for 'raed', which is none of its tools. Did you mean 'read'? "
        "Tools: read, send, pay."
    )


@given(scopes, scopes)
def test_narrowing_never_allows_more_than_either(one: Scope, other: Scope):
    both = one & other
    for each in TOOLS:
        assert (both.grant(each.name) is None) == (
            one.grant(each.name) is None or other.grant(each.name) is None
        )
        assert strictness(both, each) == min(strictness(one, each), strictness(other, each))


@given(scopes, scopes, scopes)
def test_the_order_of_narrowing_does_not_matter(a: Scope, b: Scope, c: Scope):
    assert a & b == b & a
    assert (a & b) & c == a & (b & c)
    assert a & a == a
    assert hash(a & b) == hash(b & a)


@given(grants)
def test_of_two_grants_of_one_tool_the_stricter_counts(given: list[Grant]):
    scope = Scope(*given)
    for each in TOOLS:
        mine = [Scope(grant) for grant in given if grant.tool == each.name]
        if mine:
            assert strictness(scope, each) == min(strictness(s, each) for s in mine)


def test_a_list_of_tools_grants_them_and_scopes_over_it_only_narrow():
    assert granted(TOOLS) == Scope("read", "send", "pay")
    assert granted(TOOLS, Scope("send"), None) == Scope("send")
    assert granted(TOOLS, Scope(Grant("send", "never"))) == Scope(Grant("send", "never"))
    assert granted(TOOLS, Scope(Grant("send", "never")), Scope("send", "read")) == Scope("send")
    assert granted(TOOLS, Scope("other")) == Scope()
