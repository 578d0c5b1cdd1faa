"""Which two reports are of one flow."""

from __future__ import annotations

from typing import Any

from watchword.cli.bothends import other_ends, with_other_end
from watchword.cli.flows import because


def report(identifier: str, by: str, seen: str = "12:00:00", **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ID": identifier, "reportedBy": by, "sourceID": "web", "destinationID": "db", "protocol": 6,
        "destinationPort": 5432, "lastSeen": f"2026-11-23T{seen}+00:00", "action": "Allow", "reason": "policy",
        "policyID": "p", "policyName": "shop", "ruleName": "sql", "revision": 7, "enforcerName": "h",
    }  # fmt: skip
    return {**facts, **more}


def test_the_nearest_report_of_the_opposite_end() -> None:
    reports = [
        report("1", "Source"),
        report("2", "Destination", "11:59:00"),
        report("3", "Destination", "12:00:01", action="Reject"),
        report("4", "Source", "12:00:02"),
    ]
    assert {key: other["ID"] for key, other in other_ends(reports).items()} == {"1": "3", "2": "1", "3": "1", "4": "3"}
    told = with_other_end(reports[0], reports[2])
    assert (told["action"], told["otherEnd"]["action"], told["otherEnd"]["ruleName"]) == ("Allow", "Reject", "sql")


def test_other_flows_and_strangers_are_no_pair() -> None:
    first = report("1", "Source")
    for other in (
        report("2", "Source"),
        report("2", "Destination", destinationPort=22),
        report("2", "Destination", protocol=17),
        report("2", "Destination", sourceID="other"),
        report("2", "Destination", "13:00:00"),
    ):
        assert other_ends([first, other]) == {}
    stranger = {"sourceID": ""}
    assert other_ends([report("1", "Source", **stranger), report("2", "Destination", **stranger)]) == {}
    assert with_other_end(first, None)["otherEnd"] is None


def test_what_is_older_names_its_rule_too() -> None:
    assert because(report("1", "Source")) == "shop/sql"
    assert because(report("1", "Source", policyID="default")) == "default"
    assert because(report("1", "Source", reason="proof-wrong")) == "proof-wrong"
    assert because(report("1", "Source", reason="existing-refused", policyID="")) == "existing-refused: default"
    assert because(report("1", "Source", reason="existing")) == "existing: shop/sql"
