"""Sets of parties in words: the tags that say exactly which units are meant, or else some of their names."""

from __future__ import annotations

from typing import Literal

import msgspec
from pyroaring import FrozenBitMap

from watchword.policy.landscape import Landscape
from watchword.policy.namespaces import ROOT

#: Units and networks that are listed by name.
LISTED = 10


class Side(msgspec.Struct, frozen=True, rename="camel"):
    """One side of many flows.

    ``count`` is the number of units. ``units`` are the IDs of the first of them. ``networks`` are the
    names of external networks that its addresses belong to; ``address`` is one of these addresses.
    """

    kind: Literal["units", "addresses", "both"]
    count: int
    words: str
    units: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    address: str = ""


def described(landscape: Landscape, parties: FrozenBitMap) -> Side:
    """A set of parties, which is not empty."""
    addresses = parties & landscape.addresses
    kinds = parties - addresses
    ids = [unit for kind in kinds for unit in landscape.kinds[kind].units]
    names, somewhere = _networks(landscape, addresses)
    words = [_units(landscape, kinds, ids)] if ids else []
    if addresses:
        shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
        words += [f"addresses in {shown}"] if names else []
        words += ["addresses in no external network"] if somewhere else []
    return Side(
        kind="both" if ids and addresses else "units" if ids else "addresses",
        count=len(ids),
        words=" and ".join(words),
        units=tuple(sorted(ids)[:LISTED]),
        networks=tuple(names[:LISTED]),
        address=landscape.blocks[min(addresses)].example if addresses else "",
    )


def _networks(landscape: Landscape, addresses: FrozenBitMap) -> tuple[list[str], bool]:
    """Names of the networks of some blocks, and whether a block belongs to none."""
    members = [landscape.networks_of(block) for block in addresses]
    names = {landscape.world.networks[key].name for keys in members for key in keys}
    return sorted(names), not all(members)


def _units(landscape: Landscape, kinds: FrozenBitMap, ids: list[str]) -> str:
    if len(ids) == 1:
        unit = landscape.world.units[ids[0]]
        return f"{unit.name} in {unit.namespace}"
    if kinds == landscape.present:
        return f"all {len(ids)} units"
    paths = {landscape.unit(kind).namespace for kind in kinds}
    where = f" in {next(iter(paths))}" if len(paths) == 1 and paths != {ROOT} else ""
    here = landscape.reach(next(iter(paths)), False) if where else landscape.present
    if kinds == here:
        return f"all {len(ids)} units{where}"
    # only whole tags that rules ask for are the same for all units of a kind
    exact = landscape.vocabulary.exact
    shared = sorted(exact.intersection(*(landscape.unit(kind).tags for kind in kinds)))
    telling = sorted((tag for tag in shared if not tag.startswith("$")), key=lambda tag: (tag[0] == "@", tag)) or shared
    for chosen in (*((tag,) for tag in telling), tuple(telling)):
        if landscape.selected((chosen,)) & here == kinds:
            return f"{len(ids)} units {' and '.join(chosen)}{where}"
    return f"{len(ids)} units{f', all {telling[0]}' if telling else ''}{where}{_some(landscape, ids)}"


def _some(landscape: Landscape, ids: list[str]) -> str:
    names = sorted(landscape.world.units[key].name for key in ids)
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
