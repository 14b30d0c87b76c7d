"""Grants: by exact name, narrowed and never widened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import DefinitionError, Grant, Scope, Tool
from crewkit.checks.call import CallContext, check_call
from crewkit.checks.scope import granted
from crewkit.core.verdict import Allow, Ask, Deny, Verdict

NAMES = ("read", "send", "pay")
WHERES: list[dict[str, Any]] = [
    {"properties": {"amount": {"maximum": 100}}},
    {"properties": {"amount": {"minimum": 5}}, "required": ["amount"]},
    {"properties": {"to": {"pattern": "[a-c]+"}}},
    {"properties": {"to": {"enum": ["a", "b", "eve"]}}},
    {"not": {"properties": {"to": {"const": "eve"}}, "required": ["to"]}},
    {"anyOf": [{"properties": {"amount": {"multipleOf": 5}}}, {"required": ["url"]}]},
]
grants = st.builds(
    Grant,
    st.sampled_from(NAMES),
    st.sampled_from(["always", "effects", "tainted", "never"]),
    where=st.none() | st.sampled_from(WHERES),
    roots=st.none() | st.sampled_from([{"path": ["/srv/a"]}, {"path": ["/srv", "/tmp"]}, {"path": ["."]}]),
    hosts=st.none() | st.sampled_from([{"url": ["a.example"]}, {"url": ["*.example", "https://a.example"]}]),
    max_calls=st.none() | st.integers(1, 3),
    expires=st.none() | st.sampled_from([60.0, 3600.0]),
)
lists = st.lists(grants, max_size=4)
scopes = lists.map(lambda given: Scope(*given))
arguments = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([1, 5, 50, 100, 101, 100.0, True, "7"]),
        "to": st.sampled_from(["a", "b", "abc", "eve", "a\n", "A"]),
        "path": st.sampled_from(["/srv/a/x", "/srv/b", "/srv/a/../b", "x", "/etc/passwd", "~", "a\0b"]),
        "url": st.sampled_from(
            ["https://a.example/", "http://a.example", "https://b.example", "https://x@a"]
        ),
    },
)
contexts = st.builds(
    CallContext,
    st.lists(st.sampled_from(["Pay a 5.", "Write to abc.", "Look at https://a.example/"]), max_size=2),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4), max_size=3),
    st.just(Path("/srv/a")),
)


def tool(name: str, *effects: Any) -> Tool:
    properties: dict[str, Any] = {name: {} for name in ("amount", "to", "path", "url")}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return Tool(name, "Do it.", schema, lambda: None, effects or ("write", "external"))


TOOLS = [tool("read", "read"), tool("send", "write"), tool("pay")]
STRICT = (Deny, Ask, Allow)


def strictness(verdict: Verdict) -> int:
    return STRICT.index(type(verdict))


def test_what_is_not_granted_is_denied():
    assert check_call(Scope(), TOOLS[0], {}) == Deny("The scope has no grant for 'read'.")


@pytest.mark.parametrize(
    "near",
    ["Read", "READ", "rea", "reads", "read ", " read", "read\n", "read\u200b", "re\u0430d", "__read__", ""],
)
def test_a_name_that_only_looks_like_the_granted_one_grants_nothing(near: str):
    assert isinstance(check_call(Scope(near), TOOLS[0], {}), Deny)


@pytest.mark.parametrize(
    ("approval", "read", "send"),
    [("effects", Allow, Ask), ("always", Ask, Ask), ("never", Allow, Allow), ("tainted", Allow, Ask)],
)
def test_a_grant_says_when_a_person_is_asked(approval, read, send):
    assert type(check_call(Scope(Grant("read", approval)), TOOLS[0], {"to": "a"})) is read
    assert type(check_call(Scope(Grant("send", approval)), TOOLS[1], {"to": "a"})) is send


def test_a_question_names_the_effects_and_how_long_there_is():
    assert check_call(Scope("pay"), TOOLS[2], {}) == Ask("May 'pay' (write and external) be called?")
    assert check_call(Scope(Grant("send", expires=60)), TOOLS[1], {}) == Ask(
        "May 'send' (write) be called?", 60
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda: Grant("read", "sometimes"),
            "approval='sometimes' is not one of 'always', 'effects', 'tainted'",
        ),
        (lambda: Grant(7), "tool is 7, not a tool's name"),
        (lambda: Grant("x", max_calls=0), "max_calls=0 is not a number of calls above 0"),
        (lambda: Grant("x", max_calls=True), "max_calls=True is not a number of calls"),
        (lambda: Grant("x", max_calls=1.0), "max_calls=1.0 is not a number of calls"),
        (lambda: Grant("x", expires=0), "expires=0 is not a number above 0"),
        (lambda: Grant("x", expires=float("nan")), "expires=nan is not"),
        (lambda: Grant("x", roots=["."]), r"names no arguments. Write roots={'path': \['./reports'\]}"),
        (lambda: Grant("x", roots={"path": []}), "Write a list of texts"),
        (lambda: Grant("x", roots={"path": [""]}), "Write a list of texts"),
        (lambda: Grant("x", roots={"path": [1]}), "Write a list of texts"),
        (lambda: Grant("x", hosts={"url": ["a b"]}), "the host 'a b' holds blanks"),
        (lambda: Grant("x", hosts={"url": ["a.example/x"]}), "names more than a scheme, a host and a port"),
        (lambda: Grant("x", hosts={"url": ["ftp://a.example"]}), "has the scheme 'ftp'"),
        (lambda: Grant("x", hosts={"url": ["*"]}), "has a host that is no plain name"),
        (lambda: Grant("x", hosts={"url": ["a.*.example"]}), "middle"),
        (lambda: Grant("x", hosts={"url": ["*.0.0.1"]}), "no plain name or address"),
        (lambda: Grant("x", where=[]), "is no JSON Schema of the arguments"),
        (lambda: Grant("x", where={"type": "nothing"}), "where is no JSON Schema"),
        (lambda: Grant("x", where={"maximum": float("nan")}), "where is no JSON Schema"),
        (
            lambda: Grant("x", where={"properties": {"a": {"maxmum": 1}}}),
            "has 'maxmum', which no check holds",
        ),
        (
            lambda: Grant("x", where={"properties": {"a": {"format": "uri"}}}),
            "'uri', which cannot be checked",
        ),
        (lambda: Grant("x", where={"properties": {"a": {"pattern": "("}}}), "where is no JSON Schema"),
        (lambda: Grant("x", where={"$ref": "https://a.example/x"}), "out of itself"),
    ],
)
def test_a_grant_that_would_not_be_held_is_a_mistake(made: Any, said: str):
    with pytest.raises(DefinitionError, match=said):
        made()


def test_a_grant_for_what_is_not_there_is_a_mistake():
    with pytest.raises(DefinitionError) as caught:
        Scope("raed").known(TOOLS, "The scope of agent 'A'")
    assert str(caught.value) == (
        "The scope of agent 'A' has a grant for 'raed', which is none of its tools. Did you mean 'read'? "
        "Tools: read, send, pay."
    )
    with pytest.raises(DefinitionError) as caught:
        Scope(Grant("pay", where={"properties": {"amuont": {}}})).known(TOOLS, "The scope of agent 'A'")
    assert str(caught.value) == (
        "The scope of agent 'A' narrows the argument 'amuont' of 'pay', which has none of that name. "
        "Did you mean 'amount'? Its arguments: amount, to, path, url."
    )


# The algebra


@given(scopes, scopes, st.sampled_from(TOOLS), arguments, contexts)
def test_what_both_allow_each_of_them_allows(a: Scope, b: Scope, one: Tool, given: Any, context: CallContext):
    both = strictness(check_call(a & b, one, given, context))
    each = [strictness(check_call(scope, one, given, context)) for scope in (a, b)]
    assert both == min(each)


@given(scopes, scopes, scopes)
def test_the_order_of_narrowing_does_not_matter(a: Scope, b: Scope, c: Scope):
    assert a & b == b & a
    assert (a & b) & c == a & (b & c)
    assert a & a == a
    assert a & Scope() == Scope()
    assert hash(a & b) == hash(b & a)


@given(lists, st.sampled_from(TOOLS), arguments, contexts)
def test_of_two_grants_of_one_tool_the_stricter_counts(given: list[Grant], one: Tool, call: Any, context):
    mine = [Scope(grant) for grant in given if grant.tool == one.name]
    if mine:
        each = [strictness(check_call(scope, one, call, context)) for scope in mine]
        assert strictness(check_call(Scope(*given), one, call, context)) == min(each)


@given(scopes, st.sampled_from(["crew", "task pay"]), st.sampled_from(["", "inner/"]))
def test_whose_cap_it_is_changes_nothing_but_what_is_counted(scope: Scope, holder: str, prefix: str):
    held = scope.held_by(holder).under(prefix)
    for grant in scope:
        assert list(held.grant(grant.tool).caps.values()) == list(grant.caps.values())
        assert all(name == prefix + holder for name in held.grant(grant.tool).caps)
        assert held.grant(grant.tool).constraints == grant.constraints
    assert held.held_by("other") == held


def test_a_list_of_tools_grants_them_and_scopes_over_it_only_narrow():
    assert granted(TOOLS) == Scope("read", "send", "pay")
    assert granted(TOOLS, Scope("send"), None) == Scope("send")
    assert granted(TOOLS, Scope(Grant("send", "never"))) == Scope(Grant("send", "never"))
    assert granted(TOOLS, Scope(Grant("send", "never")), Scope("send", "read")) == Scope("send")
    assert granted(TOOLS, Scope("other")) == Scope()


def test_a_grant_reads_as_what_it_is():
    grant = Grant("pay", "always", where={"properties": {"amount": {"maximum": 1}}}, max_calls=2)
    assert repr(grant) == (
        "Grant('pay', approval='always', Where(schema='{\"properties\":{\"amount\":{\"maximum\":1}}}'), max_calls=2)"
    )
