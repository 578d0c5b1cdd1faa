"""A draft's verdict on a flow, in words beside the live one. Pure: reports in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What is said of verdicts that are not certain.
_DOUBTS = {
    "": "",
    "Identity": "refused before the peer could say who it is",
    "NoIdentity": "if the peer has no identity",
    "HostName": "the address may be that of a host name",
    "Gone": "the peer is not known any more",
}


def drafted(report: Mapping[str, Any], draft: Mapping[str, Any]) -> str:
    """What ``draft`` would have decided about a flow; ``same`` for what was, by the same rule."""
    verdict = next((each for each in report["draftVerdicts"] if each["draft"] == draft["ID"]), None)
    if verdict is None:
        return ""
    edition = f" (edition {verdict['edition']})" if verdict["edition"] != draft["edition"] else ""
    if (verdict["action"], verdict["ruleKey"]) == (report["action"], report["ruleKey"]) and not verdict["doubt"]:
        return f"same{edition}"
    if verdict["action"] == "Unknown":
        return f"Unknown: {_DOUBTS[verdict['doubt']]}{edition}"
    doubt = f", {_DOUBTS[verdict['doubt']]}" if verdict["doubt"] else ""
    return f"{verdict['action']}: {rule_told(verdict)}{doubt}{edition}"


def rule_told(verdict: Mapping[str, Any]) -> str:
    """The rule of a report or verdict as people call it, or ``default``."""
    if verdict["policyID"] in ("", "default"):
        return "default"
    return "/".join(part for part in (verdict["policyName"], verdict["ruleName"]) if part)
