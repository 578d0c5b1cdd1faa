"""``GET`` and ``POST /v1/explanations``: why a flow, real or hypothetical, would be allowed or refused.

Against the live policy, a draft (``?draft=``) or an older revision (``?revision=``). The units of both
ends are in namespaces that the caller may read; a hypothetical one is described by tags and namespace.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.askedworlds import asked_world
from watchword.console.api.context import Context, check_parameters, context, decoded, json_answer, raw_body
from watchword.console.decoding import convert
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import space
from watchword.model import ports, tags
from watchword.model.declarations import Part
from watchword.model.prefixes import parse_address
from watchword.model.problems import Invalid
from watchword.policy.explain import hypothetical
from watchword.policy.world import Unit, World

#: Candidates named in an error.
_LISTED = 10


class PartyAsked(Part, frozen=True, kw_only=True):
    """One end of a flow: exactly one of ``unit``, ``address`` and ``tags``.

    ``unit`` is an ID, a name, or a tag that one unit has. ``address`` is a peer without identity.
    ``tags`` describe a unit that need not exist, in ``namespace`` (the request's if left out); what the
    Console adds to every unit there (``$namespace``, ``$identity``, the namespace's metadata) is added.
    """

    unit: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    address: Annotated[str, msgspec.Meta(max_length=256)] = ""
    tags: Annotated[list[Annotated[str, msgspec.Meta(max_length=tags.SIZE_LIMIT)]], msgspec.Meta(max_length=256)] = []
    namespace: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class Question(Part, frozen=True, kw_only=True):
    """A flow to explain. ``protocol`` is a keyword, ``port`` what follows the slash in ``tcp/5432``."""

    source: PartyAsked
    destination: PartyAsked
    protocol: Annotated[str, msgspec.Meta(max_length=64)]
    port: int | Annotated[str, msgspec.Meta(max_length=64)] = ""


async def endpoint(request: Request) -> Response:
    """Explain the flow that the query, or the body, names."""
    asked = await context(request)
    if request.method == "POST":
        check_parameters(request, {"draft", "revision"})
        question = convert(decoded(await raw_body(request)), Question)
    else:
        check_parameters(request, {"source", "destination", "protocol", "port", "draft", "revision"})
        question = _in_query(request)
    world = await asked_world(asked)
    try:
        flow = _flow(question)
        source = await _party(asked, world, "source", question.source)
        destination = await _party(asked, world, "destination", question.destination)
        live = world is asked.console.roster.world
        found = asked.console.inquiries.explain(world, live, source, destination, flow, asked.actor.namespace)
        return json_answer(found)
    except Invalid as error:
        raise invalid(error) from None


def _in_query(request: Request) -> Question:
    """The same question, as ``?source=web-1&destination=192.0.2.1&protocol=tcp&port=443``."""
    given = request.query_params
    sides = []
    for path in ("source", "destination"):
        text = given.get(path, "")
        if not text:
            raise invalid(Invalid(path, "is missing", "name a unit, a tag that one unit has, or an address"))
        sides.append(PartyAsked(unit=text))
    return Question(
        source=sides[0], destination=sides[1], protocol=given.get("protocol", ""), port=given.get("port", "")
    )


def _flow(question: Question) -> tuple[int, int]:
    protocol, port = question.protocol, str(question.port)
    if not protocol:
        raise Invalid("protocol", "is missing", "write protocol=tcp&port=5432")
    return ports.parse_flow(f"{protocol}/{port}" if port else protocol)


async def _party(asked: Context, world: World, path: str, given: PartyAsked) -> str | Unit:
    """The ID of the one unit that is meant, an address, or a unit that need not exist."""
    ways = sum(map(bool, (given.unit, given.address, given.tags)))
    if ways > 1 or not (ways or given.namespace):
        raise Invalid(path, "is no one party", "give exactly one of unit, address and tags (or namespace alone)")
    if not (given.unit or given.address):
        return await _hypothetical(asked, path, given)
    if given.namespace:
        raise Invalid(f"{path}.namespace", "belongs to tags", "leave it out")
    if given.address:
        return str(parse_address(given.address, f"{path}.address"))
    found = units_named(asked, world, given.unit)
    if len(found) == 1:
        return found[0].id
    if found:
        listed = ", ".join(f"{unit.name} ({unit.id})" for unit in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise Invalid(path, f"{given.unit!r} is {len(found)} units: {listed}{more}", "name one by its ID")
    if asked.request.method == "GET":
        try:
            return str(parse_address(given.unit, path))
        except Invalid:
            pass
    raise Problem("not-found", f"{path}: {given.unit!r} is no unit's ID, name or tag here, and no address")


async def _hypothetical(asked: Context, path: str, given: PartyAsked) -> Unit:
    namespace = given.namespace or asked.namespace
    asked.actor.demand_reading(namespace)
    for index, tag in enumerate(given.tags):
        tags.check(tag, f"{path}.tags[{index}]")
    async with asked.console.database.reading() as connection:
        organisation = (await space(connection, namespace)).organisation()
    added = {f"$namespace={namespace}", "$identity=processingunit", *organisation}
    return hypothetical("source" if path == "source" else "destination", namespace, frozenset(given.tags) | added)


def units_named(asked: Context, world: World, text: str) -> list[Unit]:
    """Units the caller may see that have this ID, else this name, else this tag."""
    by_id = world.units.get(text)
    if by_id is not None and asked.actor.sees(by_id.namespace):
        return [by_id]
    index = asked.console.publisher.engine.units
    for tag in (f"$name={text}", text):
        carrying = index.things(index.postings.term(tag)) if tag.partition("=")[2] else ()
        now = (world.units.get(unit.id) for unit in carrying if tag in unit.tags)
        found = [unit for unit in now if unit is not None and asked.actor.sees(unit.namespace)]
        if found:
            return sorted(found, key=lambda unit: (unit.name, unit.id))
    return []
