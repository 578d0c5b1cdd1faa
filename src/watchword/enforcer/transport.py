"""How to reach the Console: whom TLS trusts, and through which proxy.

TLS trusts the Console's CA and, where an operator says so, one more; never the system's store.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
import urllib.request
from urllib.parse import unquote, urlsplit

from watchword.enforcer.errors import SettingsError


def trusting(authority: bytes, further: str = "") -> ssl.SSLContext:
    """A client context that trusts the CA ``authority`` (DER) and the PEM file ``further``, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(authority))
    if further:
        try:
            context.load_verify_locations(cafile=further)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError("trusted_ca", f"{further} cannot be read: {error}", "give a PEM file") from None
    return context


def proxy(setting: str, url: str) -> str | None:
    """The CONNECT proxy for ``url``: the setting, or what ``https_proxy``/``no_proxy`` say, or none.

    A Console on this host is never asked for through a proxy that the environment names.
    """
    if setting:
        return None if setting == "none" else setting
    host = urlsplit(url).hostname or ""
    found = urllib.request.getproxies_environment().get("https")
    if not found or _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    if urlsplit(found).scheme != "http":
        raise SettingsError("proxy", "the environment's https_proxy is no http:// address", 'set proxy, or "none"')
    return found


def proxy_headers(address: str) -> dict[str, str]:
    """What a proxy whose address carries a user and password wants to see."""
    parts = urlsplit(address)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
