"""External networks that overlap where rules about the one and about the other decide differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product

from pyroaring import FrozenBitMap

from watchword.policy import selection
from watchword.policy.counsel import title
from watchword.policy.landscape import Landscape, Reach
from watchword.policy.lint.classes import Class, Piece, pieces
from watchword.policy.lint.codes import CODES
from watchword.policy.lint.findings import Finding, witness
from watchword.policy.world import Network


def overlapping(landscape: Landscape, classes: Iterable[Class], tell: Callable[[Finding], None]) -> None:
    """Tell of each pair of networks once, with the first flow that shows it."""
    shared = FrozenBitMap(block for block in landscape.addresses if len(landscape.networks_of(block)) > 1)
    told: set[frozenset[str]] = set()
    if not shared:
        return
    for each in classes:
        relevant = [reach for reach in each.reaches if reach.placed.rule.object and reach.parties.intersect(shared)]
        if len({reach.action for reach in relevant}) < 2:
            continue
        for piece in pieces(each, relevant):
            for allow, reject, block in _clashes(piece, shared):
                for pair in _apart(landscape, allow, reject, block):
                    key = frozenset(network.id for network in pair)
                    if key not in told:
                        told.add(key)
                        tell(_finding(landscape, each, piece, allow, reject, block, pair))


def _clashes(piece: Piece, shared: FrozenBitMap) -> Iterator[tuple[Reach, Reach, int]]:
    """An Allow and a Reject that take the same address of several networks."""
    allows = [reach for reach in piece.reaches if reach.action == "Allow"]
    rejects = [reach for reach in piece.reaches if reach.action == "Reject"]
    for allow, reject in product(allows, rejects):
        for block in allow.parties & reject.parties & shared:
            yield allow, reject, block


def _apart(landscape: Landscape, allow: Reach, reject: Reach, block: int) -> Iterator[tuple[Network, Network]]:
    """Networks of a block of which the Allow names only the first and the Reject only the second."""
    networks = [landscape.world.networks[key] for key in landscape.networks_of(block)]
    for one, other in product(networks, networks):
        allowed = [selection.object_matches(allow.placed, network) for network in (one, other)]
        rejected = [selection.object_matches(reject.placed, network) for network in (one, other)]
        if allowed == [True, False] and rejected == [False, True]:
            yield one, other


def _finding(
    landscape: Landscape,
    each: Class,
    piece: Piece,
    allow: Reach,
    reject: Reach,
    block: int,
    pair: tuple[Network, Network],
) -> Finding:
    one, other = pair
    return Finding(
        code="overlapping-networks",
        severity=CODES["overlapping-networks"].severity,
        ruleset=one.id,
        ruleset_name=one.name,
        namespace=one.namespace,
        text=(
            f"external networks {one.name!r} in {one.namespace} and {other.name!r} in {other.namespace} overlap: "
            f"{title(allow.placed)} allows the one, {title(reject.placed)} rejects the other, and that wins"
        ),
        remedy=f"carve the one out of the other (!CIDR), such as {landscape.blocks[block].example}",
        others=(other.id, allow.key, reject.key),
        witness=witness(landscape, next(iter(each.members)), block, piece.ports, each.direction),
    )
