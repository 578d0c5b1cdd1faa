"""What an enforcer profile has to be beyond the limits of its single fields, and what of it does nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cryptography import x509

from watchword.model import expressions, prefixes
from watchword.model.declarations import wire_name
from watchword.model.problems import Invalid
from watchword.model.resources import EnforcerProfile

#: Attributes that are lists of CIDRs.
NETWORK_FIELDS = ("target_networks", "target_udp_networks", "excluded_networks", "identity_required_networks")

_MULTICAST = (ipaddress.IPv4Network("224.0.0.0/4"), ipaddress.IPv6Network("ff00::/8"))


def check(profile: EnforcerProfile) -> None:
    """Raise :class:`Invalid` unless the profile means something."""
    for attribute in NETWORK_FIELDS:
        _check_networks(getattr(profile, attribute), wire_name(attribute), carving=attribute != "excluded_networks")
    _check_multicast(profile.target_udp_networks, "targetUDPNetworks")
    if profile.ignore_expression:
        expressions.parse(profile.ignore_expression, "ignoreExpression")
    for index, text in enumerate(profile.trusted_cas):
        _check_certificate(text, f"trustedCAs[{index}]")
    if profile.syslog_endpoint:
        _check_port(profile.syslog_endpoint)
    if profile.syslog_endpoint_tls_server_ca:
        _check_certificate(profile.syslog_endpoint_tls_server_ca, "syslogEndpointTLSServerCA")
        if not profile.syslog_endpoint.startswith("tls://"):
            raise Invalid(
                "syslogEndpointTLSServerCA", "is for a tls:// endpoint", "set syslogEndpoint to one, or leave this out"
            )


def _check_networks(entries: Sequence[str], path: str, *, carving: bool) -> None:
    parsed = prefixes.parse(entries, path)
    seen: dict[prefixes.Entry, int] = {}
    for index, entry in enumerate(parsed):
        earlier = seen.setdefault(entry, index)
        if earlier != index:
            raise Invalid(f"{path}[{index}]", f"says the same as {path}[{earlier}]", "leave one of them out")
        if not entry.carved:
            continue
        if not carving:
            raise Invalid(f"{path}[{index}]", f"{entries[index]!r} begins with !", "leave the ! out, or the entry")
        if not any(prefixes.within(entry.prefix, other.prefix) for other in parsed if not other.carved):
            raise Invalid(
                f"{path}[{index}]",
                f"{entries[index]!r} leaves out what no other entry names",
                "name a CIDR around it, or leave it out",
            )


def _check_multicast(entries: Sequence[str], path: str) -> None:
    parsed = prefixes.parse(entries, path)
    carved = [entry.prefix for entry in parsed if entry.carved]
    for index, entry in enumerate(parsed):
        for multicast in _MULTICAST:
            apart = not prefixes.within(entry.prefix, multicast) and not prefixes.within(multicast, entry.prefix)
            if entry.carved or apart:
                continue
            if not any(prefixes.within(multicast, hole) or prefixes.within(entry.prefix, hole) for hole in carved):
                raise Invalid(f"{path}[{index}]", f"covers multicast ({multicast})", f"add !{multicast}")


def _check_certificate(text: str, path: str) -> None:
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        found = []
    if len(found) != 1:
        raise Invalid(path, "is not one certificate in PEM", "paste one certificate; a chain is one element each")


def _check_port(endpoint: str) -> None:
    port = int(endpoint.rpartition(":")[2])
    if not 0 < port <= 65535:
        raise Invalid("syslogEndpoint", f"{port} is no port", "write a port from 1 to 65535")
