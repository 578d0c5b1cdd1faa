"""Enrolment: from an install token to a credential bound to a key made on this host.

1. The key is on disk before the Console hears of it; asked again with the same token and key, the
   Console answers with the same Enforcer. So a crash between any two steps costs nothing.
2. The Console's CA is fetched without trust and believed only if it has the fingerprint in the token.
   The token itself is sent over a second connection that trusts that CA alone.
3. The token is in no address, argument, log or error.

Two requests in a host's life do not deserve an HTTP client library in memory for ever after; hence
the standard library's, in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from watchword.enforcer import credential, files, transport
from watchword.enforcer.credential import Credential, Enrolled
from watchword.enforcer.errors import UNDECODABLE, EnrolmentError, UnreachableError
from watchword.enforcer.secret import Secret
from watchword.enforcer.settings import Settings, check_console
from watchword.identity.signatures import sign_enrolment
from watchword.identity.tokens import InstallToken, TokenError, fingerprint

_TIMEOUT = 20.0
_ANSWER_LIMIT = 1 << 20
_MACHINE_ID = Path("/etc/machine-id")


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """What the Console says to ``POST /v1/enrolments``; it may say more."""

    enforcer_id: str = msgspec.field(name="enforcerID")
    name: str
    namespace: str
    certificate: str
    ca: str
    console_id: str = msgspec.field(name="consoleID")
    console_public_key: bytes


class _Problem(msgspec.Struct, frozen=True):
    """The part of RFC 9457 that is for people."""

    title: str = ""
    detail: str = ""


async def enrol(settings: Settings, token: Secret) -> Credential:
    """Enrol this host and keep the credential in the data directory.

    Raises :class:`UnreachableError` when trying again may help, else :class:`EnrolmentError`.
    """
    try:
        parsed = InstallToken.decode(token.reveal())
    except TokenError as error:
        raise EnrolmentError(f"install_token_file: {error}") from None
    return await asyncio.to_thread(_enrol, settings, token, parsed)


def _enrol(settings: Settings, token: Secret, parsed: InstallToken) -> Credential:
    url = settings.console or parsed.url
    check_console(url)
    files.private_directory(settings.data)
    key = credential.signing_key(settings.data)
    authority = _pinned_authority(settings, url, parsed.ca_sha256)
    request = {
        "token": token.reveal(),
        "publicKey": base64.b64encode(key.public).decode(),
        "proof": base64.b64encode(sign_enrolment(key, parsed.id)).decode(),
        "name": settings.name,
        "FQDN": socket.getfqdn(),
        "machineID": _machine_id(),
    }
    context = transport.trusting(authority, settings.trusted_ca)
    status, body = _exchange(settings, url, context, "POST", "/v1/enrolments", msgspec.json.encode(request))
    if status not in (200, 201):
        raise _refusal(status, body)
    enrolled = _understood(body, url, authority)
    accepted = credential.checked(enrolled, key)
    credential.keep(settings.data, enrolled)
    return accepted


def _pinned_authority(settings: Settings, url: str, expected: str) -> bytes:
    """The Console's CA (DER), believed for its fingerprint and nothing else."""
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    untrusting.check_hostname = False
    untrusting.verify_mode = ssl.CERT_NONE
    status, body = _exchange(settings, url, untrusting, "GET", "/v1/ca", b"")
    if status != 200:
        raise _refusal(status, body)
    try:
        der = ssl.PEM_cert_to_DER_cert(body.decode("ascii").strip())
    except ValueError:
        raise EnrolmentError(f"{url} did not answer with a CA certificate; is it a Console?") from None
    if fingerprint(der) != expected.lower():
        raise EnrolmentError(
            f"{url} has another CA than the install token names: it is not that Console, or the token is from another"
        )
    return der


def _understood(body: bytes, url: str, authority: bytes) -> Enrolled:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        certificate = ssl.PEM_cert_to_DER_cert(answer.certificate.strip())
        named = ssl.PEM_cert_to_DER_cert(answer.ca.strip())
    except UNDECODABLE as error:
        raise EnrolmentError(f"the Console's answer to the enrolment is not understood: {error}") from None
    if named != authority:
        raise EnrolmentError("the Console's answer names another CA than the install token")
    return Enrolled(
        console_url=url,
        console=answer.console_id,
        console_public=answer.console_public_key,
        enforcer=answer.enforcer_id,
        name=answer.name,
        namespace=answer.namespace,
        certificate=certificate,
        authority=authority,
    )


def _refusal(status: int, body: bytes) -> EnrolmentError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except UNDECODABLE:
        problem = _Problem()
    text = f"the Console answered {status}: {problem.detail or problem.title or 'no reason given'}"
    return UnreachableError(text) if status == 429 or status >= 500 else EnrolmentError(text)


def _exchange(
    settings: Settings, url: str, context: ssl.SSLContext, method: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = _connection(settings, url, context)
    headers: dict[str, Any] = {"Accept": "application/json", "Connection": "close"}
    if body:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, response.read(_ANSWER_LIMIT)
    except ssl.SSLCertVerificationError as error:
        raise EnrolmentError(f"{url}: the Console's certificate is not accepted: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: no answer from the Console: {error}") from None
    finally:
        connection.close()


def _connection(settings: Settings, url: str, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    proxy = transport.proxy(settings.proxy, url)
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    by = urlsplit(proxy)
    connection = http.client.HTTPSConnection(by.hostname or "", by.port or 80, timeout=_TIMEOUT, context=context)
    connection.set_tunnel(host, port, transport.proxy_headers(proxy))
    return connection


def _machine_id() -> str:
    try:
        return _MACHINE_ID.read_text().strip()[:64]
    except OSError:
        return ""
