"""Processing units: the protected workloads."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Part, Tagged, trait

UnitType = Literal["Host", "Service", "Process", "Container", "Pod", "WindowsService"]


class NetworkService(Part, frozen=True, kw_only=True):
    """Ports a workload says it listens on."""

    protocol: Annotated[int, trait("IANA protocol number.", read_only=True)]
    ports: Annotated[list[str], trait("Ports or ranges, such as 80 or 8000:8010.", read_only=True)] = []


class ProcessingUnit(Tagged, frozen=True, kw_only=True):
    """One protected workload. Made by its Enforcer; people change only its tags and notes."""

    name: Annotated[str, trait("Name.", read_only=True, indexed=True, min_length=1, max_length=256)]
    metadata: Annotated[list[str], trait("@… tags from a trusted source on its host.", read_only=True)] = []
    type: Annotated[UnitType, trait("Kind of workload.", read_only=True)] = "Process"
    enforcer_id: Annotated[str, trait("The Enforcer it runs under.", read_only=True, indexed=True)] = ""
    enforcer_name: Annotated[str, trait("That Enforcer's name.", read_only=True)] = ""
    native_context_id: Annotated[str, trait("Its Enforcer's own name for it.", read_only=True, indexed=True)] = ""
    images: Annotated[list[str], trait("Container images it runs; each makes a $image tag.", read_only=True)] = []
    network_services: Annotated[
        list[NetworkService], trait("Where it says it listens; no verdict depends on it.", read_only=True)
    ] = []
    registered_namespace: Annotated[
        str, trait("Namespace its Enforcer placed it in, before any mapping.", read_only=True, indexed=True)
    ] = "/"
    mapped_by: Annotated[
        list[str], trait("IDs of the mapping policies that moved it from there, in their order.", read_only=True)
    ] = []
    operational_status: Annotated[
        Literal["Running", "Terminated"], trait("Whether it exists now.", reported=True, indexed=True)
    ] = "Running"
    enforcement_status: Annotated[
        Literal["Inactive", "Active", "Failed"], trait("Whether its policy is enforced.", reported=True)
    ] = "Inactive"
    identity: Annotated[str, trait("Digest of the tags it has.", read_only=True)] = ""
    badge: Annotated[int, trait("The number its handshakes carry.", read_only=True, indexed=True)] = 0
