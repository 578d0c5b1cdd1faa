"""``GET /v1/paths``: where something between two hosts takes the identity option away, as far as it is known."""

from __future__ import annotations

import datetime

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import check_parameters, context, json_answer
from watchword.model.declarations import Part
from watchword.policy.namespaces import reaches


class PathState(Part, frozen=True, kw_only=True):
    """One path on which identities are lost; ``codes`` say in which of a handshake's segments."""

    enforcer_id: str  # of the caller
    enforcer_name: str
    unit_id: str  # that has tried it last
    unit_name: str
    namespace: str
    address: str
    port: int
    codes: list[str]
    since: datetime.datetime
    checked: datetime.datetime


async def endpoint(request: Request) -> Response:
    """All such paths of units in the request's namespace and below, the oldest first."""
    asked = await context(request)
    check_parameters(request, set())
    console = asked.console
    listed = []
    for path in console.paths.known():
        unit, state = console.roster.unit(path.unit), console.presence.states.get(path.enforcer)
        if unit is None or state is None or not reaches(asked.namespace, True, unit.namespace):
            continue
        listed.append(
            PathState(
                enforcer_id=path.enforcer,
                enforcer_name=state.name,
                unit_id=unit.id,
                unit_name=unit.name,
                namespace=unit.namespace,
                address=path.address,
                port=path.port,
                codes=list(path.codes),
                since=path.since,
                checked=path.checked,
            )
        )
    return json_answer(listed)
