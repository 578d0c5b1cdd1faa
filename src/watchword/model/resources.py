"""The resources of the API, each declared once.

REST routes, validation, storage, OpenAPI and CLI derive from these structs and from
:mod:`watchword.model.registry`; a field that is not here exists nowhere. Checks that need more than
one field's own type (tags, expressions, ports, addresses) are in the modules named after them.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Named, Part, Resource, Tagged, trait

TrafficAction = Literal["Allow", "Reject", "Inherit"]
RuleAction = Literal["Allow", "Reject"]
UnitType = Literal["Host", "Service", "Process", "Container", "Pod", "WindowsService"]

_Time = datetime.datetime


class Namespace(Named, frozen=True, kw_only=True):
    """Node of the tenant tree. Its name is its whole path, such as ``/acme/prod``."""

    name: Annotated[
        str,
        trait(
            "Path. Given at creation as one component, or as the whole path below the request's namespace.",
            creation_only=True,
            indexed=True,
            max_length=1024,
            pattern=r"^/$|^/?[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$",
        ),
    ]
    type: Annotated[
        Literal["Default", "Tenant", "CloudAccount", "Group", "Kubernetes"],
        trait("Position in the tenant tree.", creation_only=True),
    ] = "Default"
    default_pu_incoming_traffic_action: Annotated[
        TrafficAction, trait("Verdict for incoming flows that no ruleset decides.")
    ] = "Inherit"
    default_pu_outgoing_traffic_action: Annotated[
        TrafficAction, trait("Verdict for outgoing flows that no ruleset decides.")
    ] = "Inherit"
    tag_prefixes: Annotated[
        list[str], trait("If set, rulesets here may use only tags that begin with one of these.")
    ] = []
    organizational_metadata: Annotated[
        list[str], trait("@org: tags given to every unit and external network in this namespace.")
    ] = []
    offline_max_age: Annotated[
        int, trait("Seconds an Enforcer may hold its last revision without its Console; 0 is for ever.", ge=0)
    ] = 0


class ProcessingUnit(Tagged, frozen=True, kw_only=True):
    """One protected workload. Made by its Enforcer; people change only its tags and notes."""

    name: Annotated[str, trait("Name.", read_only=True, indexed=True, min_length=1, max_length=256)]
    metadata: Annotated[list[str], trait("@… tags from a trusted source on its host.", read_only=True)] = []
    type: Annotated[UnitType, trait("Kind of workload.", read_only=True)] = "Process"
    enforcer_id: Annotated[str, trait("The Enforcer it runs under.", read_only=True, indexed=True)] = ""
    enforcer_name: Annotated[str, trait("That Enforcer's name.", read_only=True)] = ""
    native_context_id: Annotated[str, trait("Its Enforcer's own name for it.", read_only=True, indexed=True)] = ""
    operational_status: Annotated[
        Literal["Running", "Terminated"], trait("Whether it exists now.", read_only=True, indexed=True)
    ] = "Running"
    enforcement_status: Annotated[
        Literal["Inactive", "Active", "Failed"], trait("Whether its policy is enforced.", read_only=True)
    ] = "Inactive"
    identity: Annotated[str, trait("Digest of the tags it has.", read_only=True)] = ""
    badge: Annotated[int, trait("The number its handshakes carry.", read_only=True, indexed=True)] = 0


class Enforcer(Tagged, frozen=True, kw_only=True):
    """One agent on one host. Made by enrolment; deleting it evicts the host at once."""

    name: Annotated[str, trait("Name.", read_only=True, indexed=True, min_length=1, max_length=256)]
    fqdn: Annotated[str, trait("Host name given at enrolment.", read_only=True)] = ""
    machine_id: Annotated[str, trait("Machine identifier given at enrolment; a hint only.", read_only=True)] = ""
    operational_status: Annotated[
        Literal["Registered", "Connected", "Disconnected"], trait("State of its session.", read_only=True, indexed=True)
    ] = "Registered"
    unreachable: Annotated[bool, trait("No session for five minutes.", read_only=True)] = False
    last_sync_time: Annotated[_Time | None, trait("When it was last heard of (UTC).", read_only=True)] = None
    current_version: Annotated[str, trait("Agent version.", read_only=True)] = ""
    kernel: Annotated[str, trait("Kernel release.", read_only=True)] = ""
    datapath: Annotated[Literal["", "ebpf", "netfilter", "windows"], trait("Kernel datapath.", read_only=True)] = ""
    key_epoch: Annotated[int, trait("Epoch of its newest datapath key.", read_only=True)] = 0
    enforced_revision: Annotated[int, trait("Newest revision its kernel decides by.", read_only=True)] = 0
    refused_revision: Annotated[int, trait("Newest revision it could not take; 0 for none.", read_only=True)] = 0
    refused_reason: Annotated[str, trait("Why it could not.", read_only=True)] = ""
    lost_reports: Annotated[int, trait("Flow observations that found no room.", read_only=True)] = 0
    problems: Annotated[list[str], trait("What it complains about.", read_only=True)] = []
    rss_bytes: Annotated[int, trait("Resident memory of the agent.", read_only=True)] = 0
    counters: Annotated[dict[str, int], trait("Its datapath's named counters.", read_only=True)] = {}
    certificate: Annotated[str, trait("PEM certificate of its signing key.", read_only=True)] = ""


class ExternalNetwork(Tagged, frozen=True, kw_only=True):
    """Named addresses with tags, for peers that have no Enforcer."""

    entries: Annotated[list[str], trait("CIDR, address, or !CIDR to carve out of this network.", min_length=1)]
    propagate: Annotated[bool, trait("Visible to rulesets in namespaces below.")] = False
    identity_required: Annotated[bool, trait("Reject peers here that cannot prove an identity.")] = False


class NetworkRule(Part, frozen=True, kw_only=True):
    """One rule of a ruleset, in one direction."""

    name: Annotated[str, trait("Shown in flow reports.", max_length=64)] = ""
    action: Annotated[RuleAction, trait("What to do with a matching flow.")] = "Allow"
    object: Annotated[list[list[str]], trait("Peers: OR of ANDs of tags.", min_length=1)]
    protocol_ports: Annotated[list[str], trait("Such as tcp/80, udp/1:65535, icmp/8, any.", min_length=1)]
    logs_disabled: Annotated[bool, trait("Do not report flows that this rule decides.")] = False
    observation_enabled: Annotated[bool, trait("Report what the rule would decide; never decide.")] = False


class NetworkRuleSetPolicy(Named, frozen=True, kw_only=True):
    """A network ruleset: whom it is about, and whom they may talk to."""

    subject: Annotated[list[list[str]], trait("Units it is about: OR of ANDs of tags.", min_length=1)]
    incoming_rules: Annotated[list[NetworkRule], trait("Rules for incoming flows.")] = []
    outgoing_rules: Annotated[list[NetworkRule], trait("Rules for outgoing flows.")] = []
    propagate: Annotated[bool, trait("Also about units in namespaces below.")] = False
    fallback: Annotated[bool, trait("Counts only for units that no ordinary ruleset selects.")] = False
    disabled: Annotated[bool, trait("As if it were absent.")] = False
    associated_tags: Annotated[list[str], trait("Tags of the ruleset itself; rules do not match them.")] = []


class FlowReport(Resource, frozen=True, kw_only=True):
    """One aggregated flow as one end saw it. The two ends' reports are separate records."""

    timestamp: Annotated[_Time | None, trait("When the Console stored it (UTC).", read_only=True, indexed=True)] = None
    reported_by: Annotated[Literal["Source", "Destination"], trait("Which end saw it.", read_only=True)] = "Source"
    enforcer_id: Annotated[str, trait("The Enforcer that saw it.", read_only=True)] = ""
    enforcer_name: Annotated[str, trait("That Enforcer's name.", read_only=True)] = ""
    action: Annotated[RuleAction, trait("What that end decided.", read_only=True, indexed=True)] = "Reject"
    reason: Annotated[str, trait("'policy' for a decision, else why the packet was dropped.", read_only=True)] = ""
    source_type: Annotated[str, trait("ProcessingUnit, ExternalNetwork or Somewhere.", read_only=True)] = ""
    source_id: Annotated[str, trait("Unit or external network; empty for somewhere.", read_only=True, indexed=True)] = (
        ""
    )
    source_name: Annotated[str, trait("Its name at the time.", read_only=True, indexed=True)] = ""
    source_namespace: Annotated[str, trait("Its namespace at the time.", read_only=True)] = ""
    source_tags: Annotated[list[str], trait("Its tags at the time.", read_only=True)] = []
    source_ip: Annotated[str, trait("Its address, for peers without identity.", read_only=True)] = ""
    destination_type: Annotated[str, trait("ProcessingUnit, ExternalNetwork or Somewhere.", read_only=True)] = ""
    destination_id: Annotated[
        str, trait("Unit or external network; empty for somewhere.", read_only=True, indexed=True)
    ] = ""
    destination_name: Annotated[str, trait("Its name at the time.", read_only=True, indexed=True)] = ""
    destination_namespace: Annotated[str, trait("Its namespace at the time.", read_only=True)] = ""
    destination_tags: Annotated[list[str], trait("Its tags at the time.", read_only=True)] = []
    destination_ip: Annotated[str, trait("Its address, for peers without identity.", read_only=True)] = ""
    protocol: Annotated[int, trait("IANA protocol number.", read_only=True)] = 0
    destination_port: Annotated[int, trait("Port at the destination.", read_only=True, indexed=True)] = 0
    policy_id: Annotated[str, trait("Ruleset that decided; 'default' for a default.", read_only=True)] = ""
    policy_name: Annotated[str, trait("That ruleset's name.", read_only=True)] = ""
    policy_namespace: Annotated[str, trait("That ruleset's namespace.", read_only=True)] = ""
    rule_name: Annotated[str, trait("Rule that decided.", read_only=True)] = ""
    rule_key: Annotated[str, trait("Its key: ruleset/in|out/index.", read_only=True)] = ""
    observed: Annotated[bool, trait("An observed rule matched too.", read_only=True)] = False
    observed_action: Annotated[
        Literal["NotApplicable", "Allow", "Reject"], trait("What it would have decided.", read_only=True)
    ] = "NotApplicable"
    observed_policy_id: Annotated[str, trait("Its ruleset.", read_only=True)] = ""
    observed_rule_name: Annotated[str, trait("Its name.", read_only=True)] = ""
    proved: Annotated[bool, trait("Both identities were proved in the handshake.", read_only=True)] = False
    revision: Annotated[int, trait("Revision that decided.", read_only=True)] = 0
    value: Annotated[int, trait("Connections.", read_only=True)] = 0
    packets_in: Annotated[int, trait("Packets towards the reporting end.", read_only=True)] = 0
    packets_out: Annotated[int, trait("Packets from the reporting end.", read_only=True)] = 0
    bytes_in: Annotated[int, trait("Bytes towards the reporting end.", read_only=True)] = 0
    bytes_out: Annotated[int, trait("Bytes from the reporting end.", read_only=True)] = 0
    latency_us: Annotated[int, trait("Mean connect latency at the source, microseconds.", read_only=True)] = 0
    first_seen: Annotated[_Time | None, trait("First packet (UTC).", read_only=True)] = None
    last_seen: Annotated[_Time | None, trait("Last packet (UTC).", read_only=True, indexed=True)] = None


class Revision(Resource, frozen=True, kw_only=True):
    """One published policy state. ``ID`` is its number."""

    number: Annotated[int, trait("Counts up from 1.", read_only=True, indexed=True)] = 0
    author: Annotated[str, trait("Who made the change.", read_only=True)] = ""
    changes: Annotated[list[str], trait("What changed: 'create networkrulesetpolicy /acme shop'.", read_only=True)] = []
    signature: Annotated[str, trait("Signature, hexadecimal, chaining it to the revision before.", read_only=True)] = ""


class Token(Named, frozen=True, kw_only=True):
    """An install token: what a new host shows to enrol into this namespace."""

    uses: Annotated[int, trait("How many Enforcers it may enrol.", creation_only=True, ge=1, le=100_000)] = 1
    used: Annotated[int, trait("How many it has enrolled.", read_only=True)] = 0
    validity: Annotated[
        str, trait("How long it may be used: 30m, 12h, 7d.", creation_only=True, pattern=r"^[1-9][0-9]{0,5}[smhd]$")
    ] = "30m"
    expiration_time: Annotated[_Time | None, trait("When it ends (UTC).", read_only=True)] = None
    token: Annotated[str, trait("The token; shown once.", read_only=True, secret=True)] = ""


class AppCredential(Named, frozen=True, kw_only=True):
    """A credential of a person or program for this API, in its namespace and below."""

    roles: Annotated[
        list[Literal["namespace.administrator", "namespace.viewer"]],
        trait("What it may do.", creation_only=True, min_length=1),
    ]
    disabled: Annotated[bool, trait("Refused while set.")] = False
    credential: Annotated[str, trait("The bearer secret; shown once.", read_only=True, secret=True)] = ""


class Activity(Resource, frozen=True, kw_only=True):
    """Who did what."""

    operation: Annotated[
        str, trait("create, update, delete, import, enrol or evict.", read_only=True, indexed=True)
    ] = ""
    target_identity: Annotated[str, trait("Kind of resource.", read_only=True, indexed=True)] = ""
    target_id: Annotated[str, trait("Resource.", read_only=True, indexed=True)] = ""
    target_name: Annotated[str, trait("Its name.", read_only=True)] = ""
    author: Annotated[str, trait("Who.", read_only=True, indexed=True)] = ""
    source: Annotated[str, trait("From which address.", read_only=True)] = ""
    message: Annotated[str, trait("In words.", read_only=True)] = ""
    diff: Annotated[
        dict[str, list[str]], trait("Field to [before, after], as JSON; secrets left out.", read_only=True)
    ] = {}
    revision: Annotated[int, trait("Revision it made; 0 for none.", read_only=True)] = 0
