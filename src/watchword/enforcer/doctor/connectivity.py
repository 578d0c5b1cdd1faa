"""Requirement: the Console and what is named beside it can be reached, its certificate is its own, clocks agree."""

from __future__ import annotations

from collections.abc import Iterable

from watchword.enforcer.doctor.contact import Contact
from watchword.enforcer.doctor.findings import Finding

GROUP = "connectivity"

#: Seconds by which clocks may differ: more is degraded (flows and tokens have wrong times), much more fails.
SKEW, SKEW_LIMIT = 30.0, 300.0

_CLOCK = "set the clock, and keep it right by NTP (chrony, systemd-timesyncd)"


def judge(contact: Contact, role: str) -> list[Finding]:
    """What one attempt shows; ``role`` is what the address is for. The first is the Console's."""
    found = [_reached(contact, role)]
    if contact.stage == "done" and role == "Console":
        found += [_certificate(contact), _clock(contact)]
    return found


def allow_list(contacts: Iterable[tuple[str, Contact]]) -> list[dict[str, object]]:
    """What a firewall between this host and the Console has to let through, to be asked for as it is."""
    return [
        {
            "purpose": role if not contact.proxy else f"{role}, by way of a proxy",
            "direction": "outgoing",
            "protocol": "tcp",
            "host": contact.proxy.removeprefix("http://").rpartition(":")[0] if contact.proxy else contact.host,
            "port": int(contact.proxy.rpartition(":")[2]) if contact.proxy else contact.port,
            "addresses": list(contact.addresses),
            "reached": contact.stage == "done",
        }
        for role, contact in contacts
    ]


def _reached(contact: Contact, role: str) -> Finding:
    place = f"{contact.host}:{contact.port}"
    way = f" through {contact.proxy}" if contact.proxy else ""
    if contact.stage == "done":
        return Finding(GROUP, role, "pass", f"{place} answers{way}")
    if contact.stage == "name":
        remedy = "check the name and /etc/resolv.conf, or let DNS through"
        return Finding(GROUP, role, "fail", f"{contact.host} cannot be resolved: {contact.error}", remedy)
    if contact.stage == "proxy":
        remedy = f"check the proxy's address and password, and let it connect to {place}"
        return Finding(GROUP, role, "fail", f"{contact.proxy} gives no tunnel to {place}: {contact.error}", remedy)
    if contact.stage == "connection":
        remedy = f"let this host connect out to tcp/{contact.port} of {contact.host}, or set a proxy"
        return Finding(GROUP, role, "fail", f"{place} cannot be reached{way}: {contact.error}", remedy)
    remedy = "see whether that is the right port, and whether something in between breaks connections"
    return Finding(GROUP, role, "fail", f"{place} does not speak as a Console{way}: {contact.error}", remedy)


def _certificate(contact: Contact) -> Finding:
    """Trusted, by whom; and whether somebody in between has put a certificate of its own there."""
    name, issuer = "certificate", contact.issuer
    if contact.own:
        return Finding(GROUP, name, "pass", f"the Console's own CA vouches for it ({issuer})")
    inspected = f"TLS is inspected: the certificate is issued by {issuer}, and not by the Console's CA"
    if contact.own is None:
        inspected = f"it is issued by {issuer}, and which CA is the Console's is not known"
    if contact.further:
        remedy = "leave it so, or exempt the Console from inspection; an Enforcer proves itself by its key all the same"
        return Finding(GROUP, name, "degraded", f"{inspected}; `trusted_ca` accepts it", remedy)
    if contact.public:
        why = f"{inspected}; this system's store accepts it, which an Enforcer does not ask"
        remedy = "name the issuer's CA file with trusted_ca, or exempt the Console from inspection"
        return Finding(GROUP, name, "fail", why, remedy)
    remedy = "exempt the Console from inspection, or name the inspecting proxy's CA file with trusted_ca"
    return Finding(GROUP, name, "fail", inspected, remedy)


def _clock(contact: Contact) -> Finding:
    if contact.skew is None:
        return Finding(GROUP, "clock", "skip", "the Console's answer has no date")
    ahead = "ahead of" if contact.skew > 0 else "behind"
    text = f"{abs(contact.skew):.0f} s {ahead} the Console's"
    if abs(contact.skew) <= SKEW:
        return Finding(GROUP, "clock", "pass", f"within {SKEW:.0f} s of the Console's")
    return Finding(GROUP, "clock", "fail" if abs(contact.skew) > SKEW_LIMIT else "degraded", text, _CLOCK)
