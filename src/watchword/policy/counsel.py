"""What would have to change for one end to decide otherwise.

Every remedy is tried before it is given: its changes are applied to the world and the end decides
again, so that none is given that would not turn the verdict round. The least intrusive come first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from watchword.model.expressions import Expression
from watchword.model.ports import PortRange, format_flow, format_ports
from watchword.model.problems import Invalid
from watchword.model.protocols import ICMP, ICMP6, TCP, UDP
from watchword.policy import decide as deciding
from watchword.policy import remedies, selection
from watchword.policy.decide import Decision, Party
from watchword.policy.namespaces import tag_prefixes
from watchword.policy.nearly import Missed
from watchword.policy.remedies import Change, Remedy, Way
from watchword.policy.selection import PlacedRule
from watchword.policy.world import Unit, World
from watchword.wire.policy import Action

#: Remedies given for one end.
LIMIT = 8

#: Near misses of one kind that are considered.
_CONSIDERED = 3

#: Tags by which a new rule names something, at most.
_NAMED_BY = 4


def counsel(
    world: World, end: Decision, peer: Party, missed: Iterable[Missed], protocol: int, port: int
) -> tuple[Remedy, ...]:
    """Remedies for one end; none for a unit that talks to itself, which nothing can prevent.

    ``peer`` and ``missed`` may leave out what must not be told; ``world`` must not, since it is what the
    remedies are tried on.
    """
    if end.itself:
        return ()
    return tuple(itertools.islice(_Counsel(world, end, peer, list(missed), protocol, port).tried(), LIMIT))


class _Counsel:
    """One end of one flow, and the action it does not take."""

    def __init__(
        self, world: World, end: Decision, peer: Party, missed: list[Missed], protocol: int, port: int
    ) -> None:
        self._world = world
        self._end = end
        self._peer = peer
        self._missed = missed
        self._protocol = protocol
        self._port = port
        self._goal: Action = "Reject" if end.verdict.action == "Allow" else "Allow"
        self._flow = format_flow(protocol, port)
        self._entries = _entries(protocol, port)
        self._way: Way = "incoming" if end.direction == "in" else "outgoing"

    def tried(self) -> Iterator[Remedy]:
        """The remedies that work; no two with the same changes."""
        given: set[frozenset[Change]] = set()
        for changes, texts in self._proposals():
            if frozenset(changes) not in given and self._turns(changes):
                given.add(frozenset(changes))
                yield Remedy("; and ".join(texts), tuple(changes))

    def _turns(self, changes: list[Change]) -> bool:
        after = remedies.applied(self._world, changes)
        peer = self._peer if isinstance(self._peer, Unit) else deciding.stranger(after, self._peer.address)
        decision = deciding.decide(after, self._end.unit, peer, self._end.direction, self._protocol, self._port)
        return decision.verdict.action == self._goal

    def _proposals(self) -> Iterator[tuple[list[Change], list[str]]]:
        """What might work: taking away whatever decides, with one thing more where that is not enough."""
        deciders = [
            placed
            for placed in self._end.matching
            if not placed.rule.observed and placed.rule.action == self._end.verdict.action
        ]
        away = [_removal(placed, self._flow) for placed in deciders]
        base = [change for change, _ in away]
        texts = [text for _, text in away]
        if base:
            yield base, texts
            if self._goal == "Allow" and self._turns(base):
                return
        for change, text in self._steps():
            # an Allow loses against one more Reject; a Reject has to go before anything else allows
            if self._goal == "Reject":
                yield change, [text]
            else:
                yield [*base, *change], [*texts, text]
        if self._goal == "Reject" and self._end.default == "Allow":
            namespace = self._end.default_namespace
            closing = remedies.SetDefault(namespace, self._way, "Reject")
            yield [*base, closing], [*texts, f"set the {self._way} default of {namespace} to Reject"]

    def _steps(self) -> Iterator[tuple[list[Change], str]]:
        """Single steps towards the goal."""
        fitting = (
            each for each in self._missed if each.placed.rule.action == self._goal and not each.placed.rule.observed
        )
        groups = itertools.groupby(fitting, key=lambda each: each.lack)
        nearest = {lack: list(itertools.islice(group, _CONSIDERED)) for lack, group in groups}
        others = nearest.pop("object", [])
        for each in itertools.chain(*nearest.values()):
            if (change := self._completion(each)) is not None:
                yield [change], f"make {title(each.placed)} match: {each.why}"
        for placed in self._end.matching:
            if placed.rule.observed:
                yield [remedies.EnforceRule(placed.key)], f"turn observation off for {title(placed)}"
        yield from self._additions()
        for each in others:
            if (change := self._completion(each)) is not None:
                yield [change], f"add {self._described()} to the object of {title(each.placed)}"

    def _completion(self, each: Missed) -> Change | None:
        """What gives a rule the one thing it lacks."""
        match each.lack:
            case "disabled":
                return remedies.EnableRuleset(each.placed.ruleset.id)
            case "fallback":
                return remedies.CountRuleset(each.placed.ruleset.id)
            case "scope":
                return remedies.PropagateRuleset(each.placed.ruleset.id)
            case "network":
                return remedies.PropagateNetwork(each.network)
            case "ports":
                return remedies.WidenPorts(each.placed.key, self._entries) if self._entries else None
            case "object":
                found = self._object(each.placed.ruleset.namespace)
                return remedies.WidenObject(each.placed.key, found) if found else None

    def _additions(self) -> Iterator[tuple[list[Change], str]]:
        """A rule added to a ruleset that is about the unit, or to a new one."""
        if not self._entries:
            return
        unit, rule = self._end.unit, f"an {self._way} {self._goal} rule"
        words = f"add {rule} for {self._described()} on {self._flow}"
        for ruleset in selection.about(unit, self._world.rulesets.values()):
            if (
                ruleset.namespace == unit.namespace
                and not ruleset.origin
                and (named := self._object(ruleset.namespace))
            ):
                added = remedies.AddRule(ruleset.id, self._way, self._goal, named, self._entries)
                yield [added], f"{words} to {ruleset.name!r} in {ruleset.namespace}, which is about {unit.name}"
                break
        subject = naming(unit.tags, tag_prefixes(self._world.namespaces, unit.namespace))
        if not subject:
            return
        where = f"{words} to a new ruleset in {unit.namespace} whose subject is {expressed(subject)}"
        if named := self._object(unit.namespace):
            yield [remedies.AddRuleset(unit.namespace, subject, self._way, self._goal, named, self._entries)], where
        elif not isinstance(self._peer, Unit):
            yield from self._new_network(subject, where)

    def _new_network(self, subject: Expression, where: str) -> Iterator[tuple[list[Change], str]]:
        assert not isinstance(self._peer, Unit)  # noqa: S101 - asked by the caller
        address, namespace = self._peer.address, self._end.unit.namespace
        tag = f"externalnetwork:name={address}"
        if not tag.startswith(tag_prefixes(self._world.namespaces, namespace) or ""):
            return
        network = remedies.AddNetwork(namespace, (address,), (tag,))
        rule = remedies.AddRuleset(namespace, subject, self._way, self._goal, ((tag,),), self._entries)
        yield [network, rule], f"{where} (the network has to be made too)"

    def _object(self, namespace: str) -> Expression:
        """An expression for a ruleset in ``namespace`` that selects the peer, () if there is none."""
        allowed = tag_prefixes(self._world.namespaces, namespace)
        if isinstance(self._peer, Unit):
            return naming(self._peer.tags, allowed)
        visible = (network for network in self._peer.networks if selection.visible(network, namespace))
        return next((found for network in visible if (found := naming(network.tags, allowed))), ())

    def _described(self) -> str:
        if isinstance(self._peer, Unit):
            return self._peer.name
        visible = [n.name for n in self._peer.networks if selection.visible(n, self._end.unit.namespace)]
        if visible:
            return "external network " + " or ".join(visible)
        return f"a new external network that contains {self._peer.address}"


def title(placed: PlacedRule) -> str:
    """A rule in words."""
    name = f"rule {placed.rule.name!r}" if placed.rule.name else f"rule {placed.key.rpartition('/')[2]}"
    return f"{name} of {placed.ruleset.name!r} in {placed.ruleset.namespace}"


def naming(tags: frozenset[str], prefixes: tuple[str, ...]) -> Expression:
    """The most telling expression of exact tags that selects something with these tags; () if there is none."""
    usable = [tag for tag in sorted(tags) if not tag.startswith("!") and not tag.endswith("*")]
    if prefixes:
        usable = [tag for tag in usable if tag.startswith(prefixes)]
    people = [tag for tag in usable if not tag.startswith(("$", "@"))]
    trusted = [tag for tag in usable if tag.startswith("@")]
    named = [tag for tag in usable if tag.startswith(("$name=", "$namespace="))]
    chosen = people or named or trusted or usable[:1]
    return (tuple(chosen[:_NAMED_BY]),) if chosen else ()


def expressed(expression: Expression) -> str:
    """An expression as people read it."""
    return " or ".join(" and ".join(alternative) for alternative in expression)


def _removal(placed: PlacedRule, flow: str) -> tuple[Change, str]:
    if not placed.rule.object:  # the rule of a network itself
        text = f"let the peer prove an identity, or no longer require one in external network {placed.ruleset.name!r}"
        return remedies.TrustNetwork(placed.ruleset.id), text
    return remedies.RemoveRule(placed.key), f"remove {title(placed)}, or narrow it to leave out this peer or {flow}"


def _entries(protocol: int, port: int) -> tuple[str, ...]:
    """The flow as an entry of protocolPorts; () for a protocol that no entry can name."""
    point = protocol in (TCP, UDP, ICMP, ICMP6)
    try:
        return format_ports((PortRange(protocol, port if point else 0, port if point else 65535),))
    except Invalid:
        return ()
