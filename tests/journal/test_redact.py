"""Taking secrets out of what is recorded."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crewkit.journal.redact import Redactor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    + "MIIEow+/IBAAK\n" * 20
    + "-----END RSA PRIVATE KEY-----"
)
EC = "-----BEGIN EC PRIVATE KEY-----\\n" + "\\n".join(
    ["MHcCAQEEIBkg4LVWM9nuwNSk3yByxZpYRTBnVJk5fGkyoAoG"] * 3
)
PATTERNS = {
    "sk-proj-abcdefghijklmnopqrstuvwx0123456789": "api_key",
    "sk-ant-api03-abcdefghijklmnop_qrstuv-wxyz": "api_key",
    "AKIAIOSFODNN7EXAMPLE": "aws_key",
    "ghp_" + "a1B2" * 9: "github_token",
    "gho_" + "a1B2" * 9: "github_token",
    "github_pat_" + "11ABCDEFG0_" * 4: "github_token",
    "xoxb-123456789012-abcdefABCDEF": "slack_token",
    "AIza" + "SyA-1234_567890abcdefghijklmnopqrstu": "google_key",
    JWT: "jwt",
    PEM: "private_key",
    EC: "private_key",
}
SECRETS = {
    "OPENAI_API_KEY": "hunter2-hunter2",
    "ODD": 'quo"te\\ and/slash & ü',
    "PASSWORD_LIKE_MARKER": "redacted:",
}


@pytest.mark.parametrize(("secret", "kind"), PATTERNS.items(), ids=lambda value: str(value)[:14])
def test_what_looks_like_a_secret_is_replaced(secret, kind):
    assert Redactor().text(f"before {secret} after") == f"before [redacted:{kind}] after"
    assert Redactor().text(f'{{"a":"{secret}"}}') == f'{{"a":"[redacted:{kind}]"}}'


def test_a_bearer_token_and_a_password_in_a_url_leave_their_surroundings():
    redactor = Redactor()
    assert (
        redactor.text("Authorization: Bearer abcDEF0123456789.-_~+/=")
        == "Authorization: Bearer [redacted:bearer_token]"
    )
    assert (
        redactor.text("postgresql://ada:s3cret:x@db:5432/x")
        == "postgresql://ada:[redacted:url_password]@db:5432/x"
    )


@pytest.mark.parametrize(
    "text",
    [
        "A risk-averse-but-very-thorough-desk-research-plan is best.",
        "task-4f5e6d7c8b9a0f1e2d3c4b5a",
        "https://example.com/a:b@c and mailto:ada@example.com and https://ada@example.com:80/x",
        "The bearer internationalization-of-things carries it.",
        "AKIAIOSFODNN7EXAMPLEANDMORE",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "Put the text between -----BEGIN PRIVATE KEY----- and the end line of the file.",
        "eyJhbGciOiJIUzI1NiJ9 alone",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert Redactor().text(text) is text


def test_a_known_secret_is_found_in_every_form():
    redactor = Redactor(SECRETS)
    for name in ("OPENAI_API_KEY", "ODD"):
        secret = SECRETS[name]
        for form in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(secret, safe=""),
            quote(secret),
        ):
            assert redactor.text(f"a {form} b") == f"a [redacted:{name}] b"
        for prefix in ("", "u", "us", "user:"):
            encoded = base64.b64encode(f"{prefix}{secret}:suffix".encode()).decode()
            assert f"[redacted:{name}]" in redactor.text(encoded)


def test_short_values_are_no_secrets():
    redactor = Redactor({"A": "", "B": "abc"})
    assert redactor.text("abc") == "abc"


def test_the_environment_names_its_secrets():
    redactor = Redactor.from_environ(
        {
            "OPENAI_API_KEY": "value-of-openai",
            "GITHUB_TOKEN": "value-of-github",
            "aws_secret_access_key": "value-of-aws",
            "PGPASSWORD": "value-of-pg",
            "DATABASE_URL": "postgresql://ada:value%20of%20url@db/x",
            "SHORT_KEY": "short",
            "KEYBOARD": "value-of-keyboard",
            "MONKEY": "value-of-monkey",
            "HOME": "/home/ada",
        }
    )
    text = "value-of-openai value-of-github value-of-aws value-of-pg value of url"
    assert redactor.text(text) == (
        "[redacted:OPENAI_API_KEY] [redacted:GITHUB_TOKEN] [redacted:aws_secret_access_key] "
        "[redacted:PGPASSWORD] [redacted:DATABASE_URL]"
    )
    others = "value-of-keyboard value-of-monkey short /home/ada"
    assert redactor.text(others) == others


def test_data_is_cleaned_all_the_way_down_and_otherwise_the_same_object():
    redactor = Redactor(SECRETS)
    clean = {"a": [1, None, {"b": "text"}], "c": 2.5}
    assert redactor.data(clean) is clean
    inner = {"untouched": [1]}
    dirty = {"a": ["x hunter2-hunter2"], "hunter2-hunter2": 1, "inner": inner}
    cleaned = redactor.data(dirty)
    assert cleaned == {"a": ["x [redacted:OPENAI_API_KEY]"], "[redacted:OPENAI_API_KEY]": 1, "inner": inner}
    assert cleaned["inner"] is inner
    assert dirty["a"] == ["x hunter2-hunter2"]


FRAGMENTS = st.sampled_from(
    [
        *PATTERNS,
        *SECRETS.values(),
        "sk-",
        "[redacted:",
        "OPENAI_API_KEY]",
        "]",
        "Bearer ",
        "://a:",
        "@",
        " ",
        "eyJ",
        ".",
    ]
)
TEXT = st.lists(FRAGMENTS | st.text(max_size=5), max_size=8).map("".join)
REDACTOR = Redactor(SECRETS)


@given(TEXT)
def test_redacting_twice_changes_nothing(text):
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@given(TEXT, TEXT)
def test_a_known_secret_never_gets_through(before, after):
    assert "hunter2-hunter2" not in REDACTOR.text(f"{before}hunter2-hunter2{after}")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT, lambda x: st.lists(x) | st.dictionaries(TEXT, x)
    )
)
@settings(max_examples=50)
def test_data_is_cleaned_as_its_strings_are(value):
    def strings(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for item in value:
                yield from strings(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield key
                yield from strings(item)

    cleaned = REDACTOR.data(value)
    assert {REDACTOR.text(text) for text in strings(value)} >= set(strings(cleaned))
    assert REDACTOR.data(cleaned) == cleaned


HOSTILE = [
    *(
        "sk-",
        "://",
        "://a:",
        "eyJ",
        "eyJaaaaaaaa.",
        "eyJ-.",
        "xoxb-",
        "AKIA",
        "ghp_",
        "github_pat_",
        "-",
        "a",
    ),
    *("Bearer ", "Bearer a", "[redacted:", "hunter2-hunter"),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----" + "A" * 39,
        "-----BEGIN PRIVATE KEY-----\\n",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece):
    text = piece * (1_000_000 // len(piece))
    begun = time.process_time()
    REDACTOR.text(text)
    assert time.process_time() - begun < 2  # a quadratic search takes minutes
