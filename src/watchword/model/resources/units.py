"""Processing units: the protected workloads."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Tagged, trait

UnitType = Literal["Host", "Service", "Process", "Container", "Pod", "WindowsService"]


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
