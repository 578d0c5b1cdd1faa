"""Addresses in external networks: ``CIDR`` and ``!CIDR``, in canonical form.

An address belongs to a network when some entry without ``!`` covers it and no entry with ``!`` does,
in whatever order and however specific: a carve-out is final within its own network, and has no
effect on any other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from watchword.model.problems import Invalid

Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class Entry(NamedTuple):
    """One entry: a canonical prefix, and whether it is carved out rather than covered."""

    prefix: Prefix
    carved: bool


def parse(entries: Sequence[str], path: str = "entries") -> tuple[Entry, ...]:
    """``entries`` in their order; none for a network that has only names. Raises :class:`Invalid`."""
    return tuple(parse_entry(text, f"{path}[{index}]") for index, text in enumerate(entries))


def parse_entry(text: str, path: str = "entry") -> Entry:
    """One entry. Bits beyond the prefix length are dropped; a bare address is that address alone."""
    carved = text.startswith("!")
    return Entry(parse_prefix(text[1:] if carved else text, path), carved)


def parse_prefix(text: str, path: str = "prefix") -> Prefix:
    """A canonical prefix; IPv4-mapped IPv6 prefixes become IPv4, as the kernel sees such packets."""
    try:
        prefix = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid(path, f"{text!r} is no CIDR ({error})", "write it like 10.0.0.0/8 or 2001:db8::/32") from error
    if isinstance(prefix, ipaddress.IPv6Network):
        if prefix.network_address.scope_id is not None:
            raise Invalid(path, f"{text!r} has a zone", "leave out the part from % on")
        if prefix.subnet_of(_MAPPED):
            low = int(prefix.network_address) & 0xFFFFFFFF
            return ipaddress.IPv4Network((low, prefix.prefixlen - _MAPPED.prefixlen))
    return prefix


def parse_address(text: str, path: str = "address") -> Address:
    """One address; IPv4-mapped IPv6 addresses become IPv4. Raises :class:`Invalid`."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise Invalid(path, f"{text!r} is no IP address", "write it like 192.0.2.1 or 2001:db8::1") from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def within(inner: Prefix, outer: Prefix) -> bool:
    """Whether ``inner`` is ``outer`` or a part of it."""
    if inner.version != outer.version or inner.prefixlen < outer.prefixlen:
        return False
    shift = inner.max_prefixlen - outer.prefixlen
    return int(inner.network_address) >> shift == int(outer.network_address) >> shift


def covers(entries: Sequence[Entry], address: Address) -> bool:
    """Whether a network of these entries contains ``address``."""
    holding = [entry.carved for entry in entries if address in entry.prefix]
    return bool(holding) and not any(holding)
