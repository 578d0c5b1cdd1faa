"""Flow reports: what the ends of connections saw and decided."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Part, Resource, trait
from watchword.model.resources.rulesets import RuleAction

_Time = datetime.datetime


class DraftVerdict(Part, frozen=True, kw_only=True):
    """What the reporting end would have decided with a shadowed draft in force."""

    draft: Annotated[str, trait("The draft.")]
    name: Annotated[str, trait("Its name at the time.")]
    namespace: Annotated[str, trait("Its namespace.")]
    edition: Annotated[int, trait("Edition of the draft that judged.")]
    revision: Annotated[int, trait("Revision over which it judged.")]
    action: Annotated[Literal["Allow", "Reject", "Unknown"], trait("What it would decide.")]
    doubt: Annotated[
        Literal["", "Identity", "NoIdentity", "HostName", "Gone"],
        trait("Why that is unknown; NoIdentity: it holds for a peer without identity."),
    ] = ""
    policy_id: Annotated[str, trait("Ruleset that would decide; 'default' for a default.")] = ""
    policy_name: Annotated[str, trait("That ruleset's name.")] = ""
    policy_namespace: Annotated[str, trait("That ruleset's namespace.")] = ""
    rule_name: Annotated[str, trait("Rule that would decide.")] = ""
    rule_key: Annotated[str, trait("Its key: ruleset/in|out/index.")] = ""


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
    draft_verdicts: Annotated[list[DraftVerdict], trait("What shadowed drafts would decide.", read_only=True)] = []
    judged_by: Annotated[list[str], trait("The drafts among them.", read_only=True)] = []
    changed_by: Annotated[list[str], trait("Those that would not, or may not, decide so.", read_only=True)] = []
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
