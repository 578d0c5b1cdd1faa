"""Whether intents and policy tests mean something: checks beyond the types of their single fields.

Raises :class:`watchword.model.problems.Invalid`, whose path is the field as the API names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchword.model import expressions, ports, prefixes
from watchword.model.problems import Invalid
from watchword.model.resources.intents import Intent
from watchword.model.resources.policytests import PolicyAssertion, PolicyTest


def check_intent(intent: Intent, allowed: Sequence[str]) -> None:
    """Check an intent; ``allowed`` are the tag prefixes in force in its namespace."""
    for value, path in ((intent.source, "source"), (intent.destination, "destination")):
        expressions.restrict(expressions.parse(value, path), allowed, path)
    ports.parse(intent.protocol_ports)
    if only_networks(intent.source) and only_networks(intent.destination):
        raise Invalid("destination", "is a network, as the source is: nobody would enforce it", "name units at one end")


def only_networks(expression: Sequence[Sequence[str]]) -> bool:
    """Whether every alternative says that it is about external networks."""
    return all("$identity=externalnetwork" in alternative for alternative in expression)


def check_policy_test(test: PolicyTest) -> None:
    """Check a policy test."""
    for index, assertion in enumerate(test.assertions):
        _check_assertion(assertion, f"assertions[{index}]")


def _check_assertion(assertion: PolicyAssertion, path: str) -> None:
    sides = (
        ("from", assertion.from_, "fromAddresses", assertion.from_addresses),
        ("to", assertion.to, "toAddresses", assertion.to_addresses),
    )
    for name, expression, addresses_name, addresses in sides:
        if not expression and not addresses:
            raise Invalid(f"{path}.{name}", "is missing", f"name tags in {name}, or addresses in {addresses_name}")
        if expression:
            expressions.parse(expression, f"{path}.{name}")
        for index, text in enumerate(addresses):
            prefixes.parse_prefix(text, f"{path}.{addresses_name}[{index}]")
    if not assertion.from_ and not assertion.to:
        raise Invalid(f"{path}.from", "and to have addresses only: nobody would decide", "name units at one end")
    ports.parse(assertion.protocol_ports, f"{path}.protocolPorts")
