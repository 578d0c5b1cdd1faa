"""Act 2: everything is allowed and seen, the intruder too."""

from __future__ import annotations

import json
import time
from typing import Any

from demo import traffic
from demo.cast import ALLOWED, PORTS
from demo.forger import hand_made_startup
from demo.show import Show

TITLE = "Discovery: everything is allowed, and everything is seen"
WORDS = (
    "A new Console refuses nothing, so installing it breaks nothing. Watch the shop work, look at who talks to whom, "
    "and see what an intruder can do as long as there are no rules."
)


def perform(show: Show) -> None:
    """Let everybody work, then look at the flows."""
    stage = show.stage
    wiki = stage.puppets["wiki"]
    with show.narrator.working("customers order, the job works, the intruder looks around"):
        page = stage.outside.http(f"http://{stage.address('nginx')}/orders")
        found = wiki.scan([(stage.address(name, version), port) for name, port in PORTS.items() for version in (4, 6)])
        stolen = wiki.sql(stage.address("postgres"), "select item, quantity from orders order by id limit 3")
        crafted = hand_made_startup(stage)
    orders = json.loads(page.answer["body"])["orders"] if page else []
    show.expect(
        "a customer sees the orders: nginx, then the API, then PostgreSQL",
        len(orders) >= 3,
        page.why or f"{len(orders)} orders",
    )
    show.job_works("the job uses the API and the database", at_least=8)
    show.expect("the intruder finds every open port", len(found) == 2 * len(PORTS), f"{len(found)} over IPv4 and IPv6")
    show.expect(
        "the intruder reads the orders out of the database", len(stolen.answer["rows"]) == 3, _rows(stolen.answer)
    )
    show.expect(
        "packets made by hand, from a host without an Enforcer, get an answer from PostgreSQL",
        crafted.entered,
        crafted.words,
    )
    flows = _await_flows(show)
    _show_flows(show, flows)
    for pair in ALLOWED[:-1]:
        seen = [each for each in flows if traffic.is_flow(each, pair.source, pair.destination)]
        show.expect(
            f"{pair.source} → {pair.destination} tcp/{pair.port} was seen, with both identities proved",
            any(each["proved"] and each["action"] == "Allow" for each in seen),
        )
    seen = [each for each in flows if traffic.is_flow(each, "wiki", "postgres")]
    show.expect(
        "the intruder's visit to the database was seen as well", any(each["action"] == "Allow" for each in seen)
    )


def _rows(answer: dict[str, Any]) -> str:
    return ", ".join(f"{quantity} {item}" for item, quantity in answer["rows"]) or answer["why"]


def _await_flows(show: Show) -> list[dict[str, Any]]:
    """All flows so far, once those that the claims need have been reported."""
    needed = {(pair.source, pair.destination) for pair in ALLOWED[:-1]} | {("wiki", "postgres")}
    deadline = time.monotonic() + 15
    while True:
        flows: list[dict[str, Any]] = show.stage.operator.told("flows", "--since", "10m", "--limit", "0")
        if needed <= {(each["sourceName"], each["destinationName"]) for each in flows} or time.monotonic() > deadline:
            return flows
        time.sleep(0.3)


def _show_flows(show: Show, flows: list[dict[str, Any]]) -> None:
    show.narrator.command("watchword flows --since 10m")
    show.narrator.table(
        "Who talked to whom", ("source", "destination", "port", "verdict", "decided by", "identity", "connections"),
        traffic.summary(flows),
    )  # fmt: skip
    show.narrator.say("Look at the lines of wiki: nothing would have stopped it.")
