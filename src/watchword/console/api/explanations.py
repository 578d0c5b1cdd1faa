"""``GET /v1/explanations``: why a flow would be allowed or refused, now."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import Context, check_parameters, context, json_answer
from watchword.console.problems import Problem, invalid
from watchword.model import ports
from watchword.model.prefixes import parse_address
from watchword.model.problems import Invalid
from watchword.policy.explain import explain
from watchword.policy.world import Unit

#: Candidates named in an error.
_LISTED = 10


async def endpoint(request: Request) -> Response:
    """Explain the flow that the query names."""
    asked = await context(request)
    check_parameters(request, {"source", "destination", "protocol", "port"})
    try:
        protocol, port = _flow(request)
        source = _party(asked, "source")
        destination = _party(asked, "destination")
        return json_answer(explain(asked.console.roster.world, source, destination, protocol, port))
    except Invalid as error:
        raise invalid(error) from None


def _flow(request: Request) -> tuple[int, int]:
    protocol, port = request.query_params.get("protocol", ""), request.query_params.get("port", "")
    if not protocol:
        raise Invalid("protocol", "is missing", "write protocol=tcp&port=5432")
    return ports.parse_flow(f"{protocol}/{port}" if port else protocol)


def _party(asked: Context, path: str) -> str:
    """The ID of the one unit that the parameter names, or an address."""
    text = asked.request.query_params.get(path, "")
    if not text:
        raise Invalid(path, "is missing", "name a unit, a tag that one unit has, or an address")
    found = _units(asked, text)
    if len(found) == 1:
        return found[0].id
    if found:
        listed = ", ".join(f"{unit.name} ({unit.id})" for unit in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise Invalid(path, f"{text!r} is {len(found)} units: {listed}{more}", "name one by its ID")
    try:
        return str(parse_address(text, path))
    except Invalid:
        raise Problem("not-found", f"{path}: {text!r} is no unit's ID, name or tag here, and no address") from None


def _units(asked: Context, text: str) -> list[Unit]:
    """Units the caller may see that have this ID, else this name, else this tag."""
    units = [unit for unit in asked.console.roster.world.units.values() if asked.actor.sees(unit.namespace)]
    by_id = [unit for unit in units if unit.id == text]
    by_name = [unit for unit in units if unit.name == text]
    by_tag = [unit for unit in units if text in unit.tags] if "=" in text else []
    return sorted(by_id or by_name or by_tag, key=lambda unit: (unit.name, unit.id))
