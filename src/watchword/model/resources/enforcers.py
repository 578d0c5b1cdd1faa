"""Enforcers: the agents, one on each host."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Part, Tagged, trait, wire_name

_Time = datetime.datetime


class Requirement(Part, frozen=True, kw_only=True, rename=wire_name):
    """One requirement that a host does not meet, or not in full."""

    group: Annotated[str, trait("What it is about, such as size or capabilities.", reported=True)]
    name: Annotated[str, trait("Which one.", reported=True)]
    result: Annotated[Literal["degraded", "fail"], trait("Runs with less than is required, or not.", reported=True)]
    detail: Annotated[str, trait("Why.", reported=True)] = ""
    remedy: Annotated[str, trait("What to do about it.", reported=True)] = ""


class Enforcer(Tagged, frozen=True, kw_only=True):
    """One agent on one host. Made by enrolment; deleting it evicts the host at once."""

    name: Annotated[str, trait("Name.", read_only=True, indexed=True, min_length=1, max_length=256)]
    fqdn: Annotated[str, trait("Host name given at enrolment.", read_only=True)] = ""
    machine_id: Annotated[str, trait("Machine identifier given at enrolment; a hint only.", read_only=True)] = ""
    operational_status: Annotated[
        Literal["Registered", "Connected", "Disconnected"], trait("State of its session.", reported=True, indexed=True)
    ] = "Registered"
    unreachable: Annotated[bool, trait("No session for five minutes.", reported=True)] = False
    last_sync_time: Annotated[_Time | None, trait("When it was last heard of (UTC).", reported=True)] = None
    current_version: Annotated[str, trait("Agent version.", reported=True)] = ""
    kernel: Annotated[str, trait("Kernel release.", reported=True)] = ""
    datapath: Annotated[Literal["", "ebpf", "netfilter", "windows"], trait("Kernel datapath.", reported=True)] = ""
    key_epoch: Annotated[int, trait("Epoch of its newest datapath key.", reported=True)] = 0
    enforced_revision: Annotated[int, trait("Newest revision its kernel decides by.", reported=True)] = 0
    refused_revision: Annotated[int, trait("Newest revision it could not take; 0 for none.", reported=True)] = 0
    refused_reason: Annotated[str, trait("Why it could not.", reported=True)] = ""
    lost_reports: Annotated[int, trait("Observations of flows and look-ups that found no room.", reported=True)] = 0
    problems: Annotated[list[str], trait("What it complains about.", reported=True)] = []
    requirement_status: Annotated[
        Literal["", "pass", "degraded", "fail"],
        trait("The host against the requirements; empty until the agent has looked.", reported=True, indexed=True),
    ] = ""
    requirements: Annotated[
        list[Requirement], trait("Those that the host does not meet, as found when the agent started.", reported=True)
    ] = []
    requirements_time: Annotated[_Time | None, trait("When it said so (UTC).", reported=True)] = None
    rss_bytes: Annotated[int, trait("Resident memory of the agent.", reported=True)] = 0
    counters: Annotated[dict[str, int], trait("Its datapath's named counters.", reported=True)] = {}
    profile_id: Annotated[
        str, trait("The enforcer profile in force; empty for the built-in one.", reported=True, indexed=True)
    ] = ""
    profile_name: Annotated[str, trait("That profile's name.", reported=True)] = ""
    other_profiles: Annotated[
        list[str],
        trait("Further profiles mapped to it, in their order, and why they are not in force.", reported=True),
    ] = []
    certificate: Annotated[str, trait("PEM certificate of its signing key.", read_only=True)] = ""
