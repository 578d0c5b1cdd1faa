"""A synthetic company: worlds of any size, the same for the same seed, skewed as companies are.

Environments, teams and applications make the namespace tree ``/acme/<environment>/<team>/<application>``;
how many units each has follows Zipf's law. A unit carries some twenty tags. Every application has its
own few rulesets; a handful hold for everybody: monitoring, name service, backup, deployment, no way from
development into production, card data apart. One environment is still in discovery (everything allowed).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from random import Random
from typing import Any

from watchword.model import expressions, ports
from watchword.policy.versions import EMPTY, altered
from watchword.policy.world import Alteration, Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import DatapathKey, EnforcerEntry

#: Units for each Enforcer, namespace and ruleset.
UNITS_PER_ENFORCER = 20
UNITS_PER_NAMESPACE = 50
UNITS_PER_RULESET = 10

ENVIRONMENTS = (("prod", 0.55), ("staging", 0.15), ("dev", 0.22), ("test", 0.08))
#: Still in discovery: its default allows.
DISCOVERY = "test"
TIERS = (("web", 0.22), ("api", 0.34), ("worker", 0.2), ("db", 0.12), ("cache", 0.08), ("queue", 0.04))
REGIONS = ("eu-west", "us-east", "eu-central", "us-west", "ap-south", "ap-east", "sa-east", "af-south")
COMPLIANCE = ("none", "sox", "gdpr", "pci", "hipaa")
#: Applications of which every other one may have to do with.
SHARED = ("monitoring", "dns", "auth", "backup", "deploy", "logging", "proxy", "ntp", "mail", "vault")

_PORTS = {"web": "tcp/443", "api": "tcp/8080", "worker": "tcp/9000", "db": "tcp/5432", "cache": "tcp/6379"}


def zipf(random: Random, count: int, exponent: float = 1.0) -> int:
    """A number below ``count``; the n-th is drawn 1/n^exponent as often as the first."""
    weights = _WEIGHTS.get((count, exponent))
    if weights is None:
        total = 0.0
        weights = _WEIGHTS[count, exponent] = []
        for rank in range(1, count + 1):
            total += rank**-exponent
            weights.append(total)
    return random.choices(range(count), cum_weights=weights)[0]


_WEIGHTS: dict[tuple[int, float], list[float]] = {}


def weighted(random: Random, choices: tuple[tuple[str, float], ...]) -> str:
    """One of the choices, drawn by weight."""
    return random.choices([name for name, _ in choices], [weight for _, weight in choices])[0]


def expression(*alternatives: tuple[str, ...]) -> expressions.Expression:
    """An expression from tags."""
    return expressions.parse(alternatives)


def rule(selected: expressions.Expression, *protocol_ports: str, action: Any = "Allow", **traits: Any) -> Rule:
    """A rule from the texts that people write."""
    return Rule("", action, selected, ports.parse(protocol_ports or ("any",)), **traits)


@dataclasses.dataclass(frozen=True)
class Application:
    """Where an application's units are."""

    name: str
    team: str
    environment: str
    path: str


class Company:
    """Draws units and rulesets; the same seed gives the same ones in the same order."""

    def __init__(self, units: int, seed: int) -> None:
        self.random = Random(seed)  # not secret, only repeatable
        self.size = units
        self.enforcers = max(3, units // UNITS_PER_ENFORCER)
        self.applications = self._applications(max(8, units // UNITS_PER_NAMESPACE))
        self._drawn = 0

    def _applications(self, namespaces: int) -> list[Application]:
        """So many that they make ``namespaces`` together with those above them."""
        teams = max(2, namespaces // 40)
        wanted = max(4, namespaces - teams * len(ENVIRONMENTS) - len(ENVIRONMENTS) - 2)
        found = []
        each = wanted // len(ENVIRONMENTS)
        for index in range(each * len(ENVIRONMENTS)):
            kind = index // len(ENVIRONMENTS)
            environment = ENVIRONMENTS[index % len(ENVIRONMENTS)][0]
            # what everybody has to do with are not the applications with the most units
            shared = kind >= max(1, each - len(SHARED))
            name = SHARED[each - 1 - kind] if shared else f"app{kind:04d}"
            team = "platform" if shared else f"team{zipf(Random(kind), teams, 0.7):02d}"
            found.append(Application(name, team, environment, f"/acme/{environment}/{team}/{name}"))
        return found

    def namespaces(self) -> Iterator[Namespace]:
        """The tree; discovery in one environment, everything else rejects."""
        yield Namespace("/", "Reject", "Reject")
        yield Namespace("/acme")
        for environment, _ in ENVIRONMENTS:
            open_ = environment == DISCOVERY
            yield Namespace(f"/acme/{environment}", *(("Allow", "Allow") if open_ else ("Inherit", "Inherit")))
        teams = {application.path.rpartition("/")[0] for application in self.applications}
        for path in sorted(teams):
            yield Namespace(path)
        for application in self.applications:
            yield Namespace(application.path)

    def application(self) -> Application:
        """One of the applications: environments by weight, then Zipf."""
        environment = weighted(self.random, ENVIRONMENTS)
        same = next(each for each in range(len(ENVIRONMENTS)) if ENVIRONMENTS[each][0] == environment)
        count = len(self.applications) // len(ENVIRONMENTS)
        return self.applications[zipf(self.random, count, 0.8) * len(ENVIRONMENTS) + same]

    def host(self, application: Application) -> str:
        """An Enforcer for a unit: one of the few that its application runs on, now and then any of the environment."""
        low = 0.0
        for environment, share in ENVIRONMENTS:
            if environment == application.environment:
                break
            low += share
        start, count = int(low * self.enforcers), max(1, int(share * self.enforcers))
        first, width = Random(application.path).randrange(count), 1 + count // 40
        if self.random.random() < 0.05:
            first, width = 0, count
        return f"e{start + (first + int(width * self.random.random() ** 2)) % count}"

    def unit(self) -> Unit:
        """One more unit."""
        number, self._drawn = self._drawn, self._drawn + 1
        application = self.application()
        enforcer = self.host(application)
        identifier = f"{number:024x}"
        tags = {
            "$identity=processingunit",
            f"$id={identifier}",
            f"$name={application.name}-{number}",
            f"$namespace={application.path}",
            f"$type={self.random.choice(('Container', 'Service', 'Process'))}",
            f"$enforcerid={enforcer}",
            f"app={application.name}",
            f"team={application.team}",
            f"env={application.environment}",
            "@org:tenant=acme",
            f"@org:env={application.environment}",
            f"tier={weighted(self.random, TIERS)}",
            f"region={REGIONS[zipf(self.random, len(REGIONS))]}",
            f"compliance={COMPLIANCE[zipf(self.random, len(COMPLIANCE), 1.3)]}",
            f"version={zipf(self.random, 40)}",
            f"@os:host={('debian', 'ubuntu', 'rhel')[zipf(self.random, 3)]}",
            f"owner=user{zipf(self.random, 400)}",
        }
        if self.random.random() < 0.1:
            tags.add("canary=true")
        return Unit(
            identifier,
            f"cgroup-{number}",
            f"{application.name}-{number}",
            application.path,
            enforcer,
            0x10000 + number * 2654435761 % 0xFFFF0000,  # scattered like random ones, and all different
            frozenset(tags),
        )

    def ruleset(self, number: int) -> Ruleset:
        """One of the rulesets of some application: its tiers among each other, and towards others."""
        random = self.random
        application = self.applications[number % len(self.applications)]
        here = (f"app={application.name}", f"env={application.environment}")
        tier, other = weighted(random, TIERS), weighted(random, TIERS)
        near = self.applications[zipf(random, len(self.applications) // 4, 0.9) * 4 + number % 4]
        peer = (f"app={near.name}", f"env={application.environment}", f"tier={other}")
        incoming = [rule(expression((*here, f"tier={other}")), _PORTS.get(tier, "tcp/8443"))]
        outgoing = [rule(expression(peer), _PORTS.get(other, "tcp/8443"), "udp/53")]
        what = random.random()
        if what < 0.3:
            incoming.append(rule(expression(*{peer: None, (*here, "tier=web"): None}), "tcp/8080", "tcp/9100:9110"))
        elif what < 0.4:
            incoming.append(rule(expression((f"team={application.team}", f"env={application.environment}")), "tcp/22"))
        elif what < 0.5:
            outgoing.append(rule(expression(("ext=partner",), ("ext=internet",)), "tcp/443"))
        elif what < 0.55:
            incoming.append(rule(expression((f"team={application.team}", "!compliance=pci")), action="Reject"))
        elif what < 0.6:
            incoming.append(rule(expression((f"app={application.name}", "canary=true")), "tcp/8080", observed=True))
        elif what < 0.65:
            outgoing.append(rule(expression((f"region={REGIONS[zipf(random, 8)]}", "tier=cache")), "tcp/6379"))
        return Ruleset(
            f"rs{number:06d}",
            f"{application.name} {tier} {number}",
            application.path,
            expression((*here, f"tier={tier}")),
            tuple(incoming),
            tuple(outgoing),
            fallback=random.random() < 0.02,
        )

    def everybodys(self) -> Iterator[Ruleset]:
        """The rulesets that hold for the whole company."""
        everybody = expression(("@org:tenant=acme",))

        def one(name: str, subject: expressions.Expression, incoming: list[Rule], outgoing: list[Rule]) -> Ruleset:
            return Ruleset(f"all-{name}", name, "/acme", subject, tuple(incoming), tuple(outgoing), propagate=True)

        def shared(name: str) -> expressions.Expression:
            return expression((f"app={name}", "team=platform"))

        yield one("monitoring", everybody, [rule(shared("monitoring"), "tcp/9100", "icmp")], [])
        yield one("scrape", shared("monitoring"), [], [rule(everybody, "tcp/9100", "icmp")])
        yield one("dns", everybody, [], [rule(shared("dns"), "udp/53", "tcp/53")])
        yield one("auth", everybody, [], [rule(shared("auth"), "tcp/443"), rule(shared("vault"), "tcp/8200")])
        yield one("backup", expression(("tier=db",)), [rule(shared("backup"), "tcp/873")], [])
        yield one("deploy", everybody, [rule(shared("deploy"), "tcp/22")], [])
        yield one("logging", everybody, [], [rule(shared("logging"), "tcp/6514")])
        yield one(
            "production",
            expression(("env=prod",)),
            [rule(expression(("env=dev",), ("env=test",)), action="Reject")],
            [],
        )
        yield one(
            "cards",
            expression(("compliance=pci",)),
            [rule(expression(("env=prod", "!compliance=pci", "tier=web")), action="Reject")],
            [],
        )
        yield one("served", shared("dns"), [rule(everybody, "udp/53", "tcp/53")], [])

    def networks(self) -> Iterator[Network]:
        """What has no Enforcer: the internet, partners, offices."""
        yield Network(
            "net-internet", "internet", "/acme", True, ("0.0.0.0/0", "!10.0.0.0/8"), frozenset({"ext=internet"})
        )
        for number in range(max(3, self.size // 2000)):
            tags = frozenset({"ext=partner", f"partner={number % 50}"})
            entry = f"198.18.{number % 256}.0/24"
            yield Network(f"net-{number}", f"partner {number}", "/acme", True, (entry,), tags)

    def world(self) -> World:
        """Everything."""
        rulesets = list(self.everybodys())
        rulesets += [self.ruleset(number) for number in range(max(10, self.size // UNITS_PER_RULESET) - len(rulesets))]
        entries: list[Alteration] = [Alteration("namespaces", each.path, each) for each in self.namespaces()]
        entries += [Alteration("networks", each.id, each) for each in self.networks()]
        entries += [Alteration("enforcers", f"e{number}", enforcer(number)) for number in range(self.enforcers)]
        entries += [Alteration("units", each.id, each) for each in (self.unit() for _ in range(self.size))]
        entries += [Alteration("rulesets", each.id, each) for each in rulesets]
        return altered(EMPTY, 1, entries)


def enforcer(number: int, epoch: int = 1) -> EnforcerEntry:
    """An Enforcer's entry of realistic size. Nobody verifies it here."""
    stable = Random(f"{number} {epoch}")
    keys = tuple(DatapathKey(each, stable.randbytes(32), stable.randbytes(64)) for each in (epoch + 1, epoch))
    return EnforcerEntry(certificate=stable.randbytes(480), keys=keys)
