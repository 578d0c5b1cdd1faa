"""Enforcer profiles: how the agents on hosts are to behave."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from watchword.model.declarations import Tagged, trait
from watchword.model.elements import (
    ALTERNATIVES,
    TAGS,
    CertificateText,
    CidrText,
    Expression,
    SourceTag,
    element,
    whole,
)

#: CIDRs of one list.
_NETWORKS = 1024

_NAMED = "written as CIDRs; !CIDR leaves out a part of one that is named."
_ATTEMPT = "identity is attempted with every TCP peer, and with no other."

InterfaceName = Annotated[
    str,
    element(
        "write the name of one interface, at most 15 characters without / and spaces",
        max_length=15,
        pattern=whole(r"(?!\.{1,2}(?:$|\n))[!-.0-~]+"),
    ),
]


class EnforcerProfile(Tagged, frozen=True, kw_only=True):
    """Settings of Enforcers. What is in effect is sent to connected Enforcers at once."""

    locks: ClassVar[bool] = True

    protected: Annotated[bool, trait("Refuse changes and deletion until this is cleared.")] = False
    metadata: Annotated[
        list[SourceTag],
        trait("@… tags of the tool that made it.", creation_only=True, max_length=TAGS, unique=True),
    ] = []
    propagate: Annotated[bool, trait("Visible to mappings in namespaces below.")] = False
    flow_report_interval: Annotated[
        int, trait("Seconds between an Enforcer's flow reports. In effect at once.", ge=1, le=3600)
    ] = 1
    key_lifetime: Annotated[
        int,
        trait("Seconds after which an Enforcer makes a new datapath key. In effect at once.", ge=300, le=2_592_000),
    ] = 86_400
    existing_connections: Annotated[
        Literal["Keep", "Cut"],
        trait(
            "What becomes of connections older than an Enforcer that policy refuses, judged by their peers' addresses: "
            "kept, or reset so that both ends learn it. In effect at once.",
        ),
    ] = "Keep"
    target_networks: Annotated[
        list[CidrText],
        trait(f"Peers with which TCP identity is attempted, {_NAMED}", max_length=_NETWORKS, no_effect=_ATTEMPT),
    ] = []
    target_udp_networks: Annotated[
        list[CidrText],
        trait(
            f"Peers with which UDP identity is attempted, {_NAMED} Multicast has to be left out.",
            max_length=_NETWORKS,
            no_effect="UDP carries no identity; it is decided by external networks and defaults.",
        ),
    ] = []
    excluded_networks: Annotated[
        list[CidrText],
        trait(
            "Peers to leave alone, as CIDRs: whatever policy says, everything passes, both ways. In effect at once.",
            max_length=_NETWORKS,
        ),
    ] = []
    excluded_interfaces: Annotated[
        list[InterfaceName],
        trait(
            "Names of the host's interfaces to leave alone: whatever policy says, everything passes there, both ways. "
            "Interfaces of other network namespaces are not meant. In effect at once.",
            max_length=256,
            unique=True,
        ),
    ] = []
    identity_required_networks: Annotated[
        list[CidrText],
        trait(
            f"Peers that are rejected if they cannot prove an identity, {_NAMED} In effect at once.",
            max_length=_NETWORKS,
        ),
    ] = []
    ignore_expression: Annotated[
        Expression,
        trait("Units to leave alone: OR of ANDs of tags.", max_length=ALTERNATIVES, no_effect="no unit is left alone."),
    ] = []
    trusted_cas: Annotated[
        list[CertificateText],
        trait(
            "Certificates of further CAs to trust, in PEM.",
            max_length=16,
            unique=True,
            no_effect="Enforcers trust their Console's own CA alone.",
        ),
    ] = []
    syslog_enabled: Annotated[
        bool, trait("Send flow reports to syslog too.", no_effect="flow reports go to the Console alone.")
    ] = False
    syslog_endpoint: Annotated[
        str,
        trait(
            "Where to: udp://, tcp:// or tls:// host:port; empty for the host's own syslog.",
            max_length=280,
            pattern=whole(r"|(?:udp|tcp|tls)://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}"),
            remedy="write it like tls://logs.example.com:6514",
            no_effect="flow reports go to the Console alone.",
        ),
    ] = ""
    syslog_facility: Annotated[
        int, trait("Facility number.", ge=0, le=23, no_effect="flow reports go to the Console alone.")
    ] = 1
    syslog_format: Annotated[
        Literal["Auto", "BSD", "IETF"], trait("Message format.", no_effect="flow reports go to the Console alone.")
    ] = "Auto"
    syslog_endpoint_tls_server_ca: Annotated[
        str,
        trait(
            "CA of a tls:// endpoint, in PEM; empty for the host's own.",
            max_length=16384,
            pattern=whole(r"|\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*"),
            remedy="paste one certificate in PEM",
            no_effect="flow reports go to the Console alone.",
        ),
    ] = ""
    warnings: Annotated[
        list[str], trait("What of it does nothing, or not what it seems to, and why.", read_only=True)
    ] = []
