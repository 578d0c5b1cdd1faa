"""Host names: one form for each, and nothing that DNS could not answer."""

from __future__ import annotations

import pytest

from watchword.model import hostnames
from watchword.model.problems import Invalid


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("*.internal", "*.internal"),
        ("_ldap._tcp.example.com", "_ldap._tcp.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("1.example", "1.example"),
    ],
)
def test_one_form(text: str, canonical: str) -> None:
    assert hostnames.canonical(text) == canonical
    assert hostnames.canonical(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db",
        "localhost.",
        ".",
        "*",
        "*.",
        "*.*.example.com",
        "www.*.example.com",
        "*example.com",
        "x*.example.com",
        "example..com",
        ".example.com",
        "-a.example",
        "a-.example",
        "exa mple.com",
        "example.com/8",
        "user@example.com",
        "example.com:443",
        "a" * 64 + ".example",
        "ü" * 63 + ".example",
        ".".join(["a" * 60] * 5),
        "10.0.0.300",
        "host.1",
        "xn--a.example",
        "exa\nmple.com",
        "example.com\n",
        "ex\u0000ample.com",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        hostnames.canonical(text, "entries[3]")
    assert caught.value.path == "entries[3]"
    assert caught.value.remedy
