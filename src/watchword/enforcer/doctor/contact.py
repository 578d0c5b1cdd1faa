"""Tries to reach an address over TLS as an Enforcer would, and writes down how far it came.

Nothing secret is sent, so a connection may be looked at whose certificate nobody trusts: what it shows is the finding.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from cryptography import x509

from watchword.enforcer import transport

#: Seconds for each step.
PATIENCE = 5.0

_ANSWER_LIMIT = 1 << 16

Stage = Literal["name", "proxy", "connection", "tls", "answer", "done"]


@dataclass(frozen=True, slots=True)
class Contact:
    """What came of one attempt. ``stage`` is where it ended: ``done`` if an answer came."""

    url: str
    host: str
    port: int
    proxy: str = ""  # without user and password
    addresses: tuple[str, ...] = ()  # of the host; the proxy's business where there is one
    stage: Stage = "name"
    error: str = ""
    issuer: str = ""  # of the certificate shown
    own: bool | None = None  # whether the Console's own CA vouches for it; None: that CA is not known
    further: bool | None = None  # whether `trusted_ca` does; None: there is none
    public: bool = False  # whether a CA of this system's store does
    skew: float | None = None  # seconds by which this host's clock is ahead of the answer's Date


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe: the Console's CA (DER, empty if not known) and the file of a further one (empty: none)."""

    authority: bytes = b""
    further: str = ""


def reach(url: str, proxy_setting: str = "", trust: Trust | None = None) -> Contact:
    """Ask ``url`` (https) for ``/v1/health`` and see who answers. Does not raise for what the network does."""
    parts = urlsplit(url)
    by = transport.proxy(proxy_setting, url)
    shown = f"http://{_host_port(by, 80)}" if by else ""
    contact = Contact(url, parts.hostname or "", parts.port or 443, shown)
    if by is None:
        try:
            found = socket.getaddrinfo(contact.host, contact.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return replace(contact, error=str(error.strerror))
        contact = replace(contact, addresses=tuple(dict.fromkeys(str(each[4][0]) for each in found)))
    return _asked(contact, by, trust or Trust())


def _asked(contact: Contact, by: str | None, trust: Trust) -> Contact:
    open_to_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    open_to_all.check_hostname, open_to_all.verify_mode = False, ssl.CERT_NONE
    connection = _connection(contact, by, open_to_all)
    contact = replace(contact, stage="connection")
    try:
        connection.connect()
        certificate = connection.sock.getpeercert(binary_form=True)
        contact = replace(contact, stage="answer", issuer=_issuer(certificate))
        contact = _answered(contact, connection)
    except ssl.SSLError as error:
        return replace(contact, stage="tls", error=error.reason or str(error))
    except (OSError, http.client.HTTPException) as error:
        return replace(contact, stage=_failed_at(contact, by, error), error=_why(error))
    finally:
        connection.close()
    return replace(
        contact,
        own=_vouched(contact, by, transport.trusting(trust.authority)) if trust.authority else None,
        further=_vouched(contact, by, _of_file(trust.further)) if trust.further else None,
        public=_vouched(contact, by, ssl.create_default_context()),
    )


def authority_of(url: str, proxy_setting: str = "") -> bytes:
    """The CA that whoever answers calls the Console's (DER), believed by nobody; empty if there is no such answer."""
    by = transport.proxy(proxy_setting, url)
    parts = urlsplit(url)
    open_to_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    open_to_all.check_hostname, open_to_all.verify_mode = False, ssl.CERT_NONE
    connection = _connection(Contact(url, parts.hostname or "", parts.port or 443), by, open_to_all)
    try:
        connection.request("GET", "/v1/ca", headers={"Connection": "close"})
        text = connection.getresponse().read(_ANSWER_LIMIT).decode("ascii")
        return ssl.PEM_cert_to_DER_cert(text.strip())
    except (OSError, http.client.HTTPException, ValueError):
        return b""
    finally:
        connection.close()


def _answered(contact: Contact, connection: http.client.HTTPSConnection) -> Contact:
    asked = time.time()
    connection.request("GET", "/v1/health", headers={"Connection": "close"})
    response = connection.getresponse()
    response.read(_ANSWER_LIMIT)
    middle = (asked + time.time()) / 2
    return replace(contact, stage="done", skew=_skew(middle, response.getheader("Date", "")))


def _skew(now: float, date: str) -> float | None:
    """``Date`` has whole seconds, so that half of one is right on average."""
    try:
        return now - parsedate_to_datetime(date).timestamp() - 0.5
    except (TypeError, ValueError):
        return None


def _connection(contact: Contact, by: str | None, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    if by is None:
        return http.client.HTTPSConnection(contact.host, contact.port, timeout=PATIENCE, context=context)
    parts = urlsplit(by)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 80, timeout=PATIENCE, context=context)
    connection.set_tunnel(contact.host, contact.port, transport.proxy_headers(by))
    return connection


def _vouched(contact: Contact, by: str | None, context: ssl.SSLContext) -> bool:
    connection = _connection(contact, by, context)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _of_file(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=path)
    return context


def _failed_at(contact: Contact, by: str | None, error: Exception) -> Stage:
    """A proxy that refuses the tunnel or is not there, as opposed to what is behind it."""
    if contact.stage == "connection" and by is not None:
        return "proxy"
    return "name" if isinstance(error, socket.gaierror) else contact.stage


def _why(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)


def _issuer(certificate: bytes | None) -> str:
    if not certificate:
        return ""
    try:
        return x509.load_der_x509_certificate(certificate).issuer.rfc4514_string()
    except ValueError:
        return "a certificate that cannot be read"


def _host_port(address: str, default: int) -> str:
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port or default}"
