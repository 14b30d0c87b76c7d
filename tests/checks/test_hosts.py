"""A URL is held to its hosts, in a form that every client reads the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.checks.hosts import Hosts, canonical_host, read_url


def problem(value: Any, *hosts: str) -> str:
    return Hosts("url", hosts or ("api.example.org",)).problem({"url": value}, Path("/"))


@pytest.mark.parametrize(
    "good",
    [
        "https://api.example.org",
        "https://api.example.org/",
        "http://api.example.org/v1/items?q=a@b&r=http://evil.example#x",
        "HTTPS://API.EXAMPLE.ORG/",
        "https://api.example.org:443/",
        "http://api.example.org:80",
        "https://api.example.org?q=1",
        "https://api.example.org#top",
        "https://api.example.org/a//b/../c%2f..",
        "api.example.org",
        "api.example.org/v1",
        ["https://api.example.org/1", "https://api.example.org/2"],
    ],
)
def test_a_url_on_the_host_is_let_through(good: Any):
    assert problem(good) == ""


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "https://",
        "https:///api.example.org",
        "https://evil.example",
        "https://api.example.org.evil.example",
        "https://evil-api.example.org",
        "https://example.org",
        "https://x.api.example.org",
        # User names
        "https://api.example.org@evil.example",
        "https://api.example.org:443@evil.example/",
        "https://user:pass@api.example.org",
        "https://@api.example.org",
        "https://api.example.org?@evil.example",
        "https://api.example.org#@evil.example",
        # Ports
        "https://api.example.org:8443",
        "https://api.example.org:80",
        "http://api.example.org:443",
        "https://api.example.org:",
        "https://api.example.org:0443",
        "https://api.example.org:99999999",
        "https://api.example.org:443:443",
        # Schemes
        "ftp://api.example.org",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "//api.example.org",
        "https:api.example.org",
        "https:/api.example.org",
        "gopher://api.example.org:70/_x",
        # Blanks, control characters, backslashes
        " https://api.example.org",
        "https://api.example.org ",
        "https://api.example.org\n",
        "https://api.exam\tple.org",
        "https://api.example.org\r\nHost: evil.example",
        "https://api.example.org\0.evil.example",
        "https://evil.example\\@api.example.org",
        "https:\\\\api.example.org",
        "https://api.example.org\\.evil.example",
        # Encoded and look-alike hosts
        "https://api%2eexample.org",
        "https://%61pi.example.org",
        "https://evil.example%00.api.example.org",
        "https://api\u3002example\u3002org",
        "https://api\uff0eexample.org",
        "https://api\uff61example.org",
        "https://\uff41pi.example.org",
        "https://\u0430pi.example.org",
        "https://api\u200b.example.org",
        "https://ap\u00adi.example.org",
        "https://api.example.org\uff0fx",
        "https://api.example.org\u2100.evil.example",
        "https://api.example.org.",
        "https://api..example.org",
        "https://.api.example.org",
        "https://-api.example.org",
        "https://api.example.org/\ud800",
        "https://[api.example.org]",
        7,
        None,
        True,
        {"url": "https://api.example.org"},
        ["https://api.example.org", "https://evil.example"],
    ],
)
def test_a_url_elsewhere_or_in_doubt_is_refused(bad: Any):
    assert problem(bad)


@pytest.mark.parametrize(
    "address",
    [
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.1",
        "0177.0.0.01",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "127.0.0.0x1",
        "017700000001",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:0:0:1%25eth0]",
        "[fe80::1%eth0]",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "127.0.0.1%20",
        "3232235777",
        "0.0.0.0",
    ],
)
def test_an_address_in_another_notation_is_not_that_address(address: str):
    assert problem(f"http://{address}/", "127.0.0.1", "localhost")


def test_an_address_is_granted_in_its_one_form():
    assert problem("http://127.0.0.1/x", "127.0.0.1") == ""
    assert problem("http://127.0.0.1:8080/x", "127.0.0.1:8080") == ""
    assert problem("http://[::1]:8080/x", "[::1]:8080") == ""
    assert problem("http://[0:0:0:0:0:0:0:1]:8080/x", "[::1]:8080") == ""
    assert problem("http://127.0.0.2/x", "127.0.0.1")


def test_an_international_name_is_the_same_in_letters_and_in_ascii():
    for granted in ("b\u00fccher.example", "xn--bcher-kva.example"):
        assert problem("https://b\u00fccher.example/x", granted) == ""
        assert problem("https://xn--bcher-kva.example/x", granted) == ""
        assert problem("https://bu\u0308cher.example/x", granted)
        assert problem("https://bucher.example/x", granted)


def test_an_entry_says_scheme_port_and_hosts_below():
    assert problem("https://a.example", "https://a.example") == ""
    assert problem("http://a.example", "https://a.example")
    assert problem("a.example", "https://a.example")
    assert problem("https://a.example:8443/", "a.example:8443") == ""
    assert problem("https://a.example/", "a.example:8443")
    assert problem("https://x.y.a.example", "*.a.example") == ""
    assert problem("https://a.example", "*.a.example")
    assert problem("https://xa.example", "*.a.example")
    assert problem("https://b.example", "a.example", "b.example") == ""


def test_the_refusal_names_what_is_granted():
    assert problem("https://evil.example/x") == (
        "'url': 'https://evil.example/x' is not on a host that is granted: api.example.org"
    )


@given(
    st.text(st.sampled_from("ab.:/@?#[]%\\-0x1\u3002\uff0eü \t"), max_size=20).map("https://{}".format)
    | st.text(max_size=20).map("https://a.example{}".format)
)
def test_what_is_let_through_other_parsers_read_the_same(url: str):
    place = read_url(url)
    if isinstance(place, str):
        return
    parts = urlsplit(url)
    assert canonical_host(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname) == place.host
    assert (parts.port, parts.username) == (place.port, None)
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        return
    assert read.raw_host.decode().strip("[]") == place.host.strip("[]")
    assert read.userinfo == b""
