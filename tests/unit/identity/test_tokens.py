"""Install tokens and API credentials as text."""

from __future__ import annotations

import base64
import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.identity.tokens import Credential, InstallToken, TokenError, hashed, matches, new_secret

TOKEN = InstallToken(url="https://console:7443", ca_sha256="a" * 64, id="t1", secret="hush-hush")


def encoded(**fields: object) -> str:
    raw = json.dumps(fields).encode()
    return "ww1." + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_there_and_back() -> None:
    text = TOKEN.encode()
    assert text.startswith("ww1.")
    assert InstallToken.decode(f"  {text}\n") == TOKEN
    credential = Credential(id="c1", secret="s" * 43)
    assert Credential.decode(credential.encode()) == credential


GOOD = {"url": TOKEN.url, "ca_sha256": TOKEN.ca_sha256, "id": TOKEN.id, "secret": TOKEN.secret}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ww1.",
        "ww1.!!!!",
        "ww2." + TOKEN.encode()[4:],
        TOKEN.encode()[:-5],
        "ww1.e30",
        "ww1.é",
        encoded(**{**GOOD, "url": "http://console:7443"}),
        encoded(**{**GOOD, "ca_sha256": "ab"}),
        encoded(**{**GOOD, "secret": ""}),
        encoded(**{**GOOD, "id": ""}),
        encoded(**{**GOOD, "more": 1}),
        encoded(**{**GOOD, "id": 7}),
    ],
)
def test_damaged_install_tokens(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        InstallToken.decode(text)
    assert TOKEN.secret not in str(caught.value)


@pytest.mark.parametrize("text", ["", "wwc1.", "wwc1.a", "wwc1.a.", "wwc1..b", "ww1.a.b", "wwc1.a." + "b" * 300])
def test_damaged_credentials(text: str) -> None:
    with pytest.raises(TokenError):
        Credential.decode(text)


@given(st.text(max_size=200))
def test_no_text_crashes_decoding(text: str) -> None:
    for kind in (InstallToken, Credential):
        for prefix in ("", "ww1.", "wwc1."):
            try:
                kind.decode(prefix + text)
            except TokenError:
                continue


def test_secrets() -> None:
    secret = new_secret(secrets.token_bytes)
    assert len(secret) == 43
    assert matches(secret, hashed(secret))
    assert not matches(secret + "x", hashed(secret))
    assert not matches("", hashed(secret))
    assert secret.encode() not in hashed(secret)
    assert secret != new_secret(secrets.token_bytes)


def test_secrets_do_not_show_in_representations() -> None:
    assert TOKEN.secret not in repr(TOKEN)
    assert "hush" not in repr(Credential(id="c1", secret="hush"))
