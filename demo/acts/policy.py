"""Act 3: rules. What the shop needs works on, proved; everything else is refused, with a reason."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from demo import traffic
from demo.cast import ALLOWED, REFUSED, Pair
from demo.puppet import SOURCE, Attempt
from demo.show import Show

TITLE = "Rules: the same flows, proved and allowed; the intruder refused"
WORDS = (
    "Two files say who may talk to whom, by tags. From now on both kernels ask for a proof of identity during the "
    "TCP handshake and look up the verdict. No packet is added, no proxy is in between, nothing is restarted."
)

_FILES = ("demo/policy/rulesets.yaml", "demo/policy/defaults.yaml")

#: What the load generator needs is shown in the act that uses it.
_TRIED = (*ALLOWED[:-1], *REFUSED)


def perform(show: Show) -> None:
    """Apply the rules, then try everything again."""
    applied = time.monotonic()
    _apply(show)
    attempts = _try_all(show)
    for pair in _TRIED:
        attempt = attempts[pair]
        text = f"{pair.source} → {pair.destination} tcp/{pair.port} " + ("works" if pair.allowed else "is refused")
        show.expect(text, attempt.ok == pair.allowed and attempt.why == pair.refusal, attempt.why or "connected")
    _applications(show, applied)
    _explanations(show, attempts)
    _reports(show)


def _apply(show: Show) -> None:
    files = [word for file in _FILES for word in ("-f", file)]
    command = ["apply", *(word if word == "-f" else str(SOURCE / word) for word in files)]
    first = json.loads(show.stage.operator.command(*command, "--json").stdout)["imports"]
    show.narrator.command(f"watchword apply {' '.join(files)}")
    revision = first[-1]["revision"]
    show.narrator.table(
        "", ("", "kind", "name"),
        [("created", each["kind"], each["name"]) for answer in first for each in answer["created"]]
        + [("updated", each["kind"], each["name"]) for answer in first for each in answer["updated"]],
    )  # fmt: skip
    show.watchword("wait", "--revision", str(revision), "--timeout", "60s")
    answer = show.stage.operator.get(f"/v1/revisions/{revision}/enforcement")
    show.expect(
        "all Enforcers have the rules in their kernels", not answer["stragglers"] and answer["enforced"] == 5,
        f"revision {revision}, {answer['enforced']} of {answer['affected']}",
    )  # fmt: skip
    again = json.loads(show.stage.operator.command(*command, "--json").stdout)["imports"]
    changed = [each["name"] for answer in again for what in ("created", "updated", "deleted") for each in answer[what]]
    unchanged = sum(len(answer["unchanged"]) for answer in again)
    show.expect(
        "applying the same files again changes nothing", not changed and unchanged > 0, f"{unchanged} unchanged"
    )


def _try_all(show: Show) -> dict[Pair, Attempt]:
    """Every pair, over IPv4 and IPv6, by a program in the source's workload."""
    stage = show.stage

    def attempt(pair: Pair) -> Attempt:
        tries = [
            stage.puppets[pair.source].connect(stage.address(pair.destination, version), pair.port)
            for version in (4, 6)
        ]
        return next((each for each in tries if each.ok != pair.allowed or each.why != pair.refusal), tries[0])

    with show.narrator.working("every pair tries, over IPv4 and IPv6"), ThreadPoolExecutor(len(_TRIED)) as threads:
        return dict(zip(_TRIED, threads.map(attempt, _TRIED), strict=True))


def _applications(show: Show, since: float) -> None:
    stage = show.stage
    page = stage.outside.http(f"http://{stage.address('nginx')}/orders")
    show.expect("customers still see the orders", page.ok, page.why or "200")
    show.job_works("the job never noticed that rules came into force", since=since, at_least=8)
    stolen = stage.puppets["wiki"].sql(stage.address("postgres"), "select * from orders")
    show.expect(
        "the intruder's SQL no longer reaches the database", not stolen and not stolen.answer["rows"], stolen.why
    )
    outside = stage.outside.sql(stage.address("postgres", 6), "select * from orders")
    show.expect("nor does SQL from a host without identity", not outside and outside.why == "timeout", outside.why)


def _explanations(show: Show, attempts: dict[Pair, Attempt]) -> None:
    """What the Console would say, beside what the programs have seen."""
    operator = show.stage.operator
    rows, agree = [], []
    for pair in _TRIED:
        said = operator.get(
            "/v1/explanations", source=pair.source, destination=pair.destination, protocol="tcp", port=str(pair.port)
        )
        real = "works" if attempts[pair] else "refused"
        rows.append((pair.source, pair.destination, f"tcp/{pair.port}", real, said["action"], _decider(said)))
        agree.append((said["action"] == "Allow") == attempts[pair].ok and _decider(said) == pair.rule)
    show.narrator.table(
        "What the programs saw, and what watchword explain says",
        ("source", "destination", "port", "program", "explain", "rule"), rows,
    )  # fmt: skip
    show.expect(
        "watchword explain agrees with reality, and names the rule, for every pair", all(agree), f"{len(agree)} pairs"
    )
    refused = show.watchword("explain", "wiki", "postgres", "tcp/5432", "--expect", "reject", check=False)
    allowed = show.watchword("explain", "job", "postgres", "tcp/5432", "--expect", "allow", show=False, check=False)
    told = refused.returncode == allowed.returncode == 0
    show.expect("on the command line too", told and "no-guests" in refused.stdout and "orders" in allowed.stdout)


def _decider(explanation: dict[str, Any]) -> str:
    """The rule that refuses, or that the server's end allows by: ``ruleset/rule`` or ``default``."""
    ends = [explanation[side] for side in ("outgoing", "incoming") if explanation[side]]
    refusing = [end for end in ends if end["action"] == "Reject"]
    end = (refusing or ends)[0] if refusing else ends[-1]
    named = [f"{rule['rulesetName']}/{rule['rule']}" for rule in end["matching"] if rule["key"] == end["rule"]]
    return named[0] if named else "default"


def _reports(show: Show) -> None:
    operator = show.stage.operator
    wanted = 'action == Reject and sourceName == "wiki" and destinationName == "postgres"'
    refused = [each for each in operator.flows(wanted) if traffic.because(each) == "database/no-guests"]
    show.expect(
        "the refusal is reported with both identities and its rule", refused, "wiki → postgres: database/no-guests"
    )
    for pair in ALLOWED[:-1]:
        rule = pair.rule.partition("/")[2]
        wanted = (
            f'proved == true and action == Allow and reportedBy == Destination and ruleName == "{rule}" '
            f'and sourceName == "{pair.source}" and destinationName == "{pair.destination}"'
        )
        reports = operator.flows(wanted)
        show.expect(f"{pair.source} → {pair.destination} is reported as proved, by {pair.rule}", reports)
    show.watchword("flows", "--since", "5m", "--filter", "action == Reject", "--limit", "8")
