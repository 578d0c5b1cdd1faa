"""Bars, the table and the line of JSON that say whether they are met, and the burden that a large host carries."""

from __future__ import annotations

import json
import signal
import time

import pytest

from bench.bars import Bar, Finding, last_line, table
from bench.burden import RULES_EACH, TIERS, Burden
from bench.datapath import BARS, PARTS, bounded
from watchword.model import expressions, ports

RATIO = Bar("ratio", "connections, of bare", 0.95, least=True, digits=3)
DELAY = Bar("delay_us", "added", 15, unit="µs")
TOLD = Bar("told", "for comparison", None)


def test_a_limit_is_kept_by_reaching_it_exactly() -> None:
    assert RATIO.met(0.95)
    assert not RATIO.met(0.9499)
    assert DELAY.met(15)
    assert not DELAY.met(15.01)
    assert TOLD.met(1e9)


def test_the_table_names_what_is_missed_and_what_failed_and_leaves_out_what_was_not_measured() -> None:
    found = {"ratio": Finding(0.9, "0.8 to 1.0"), "told": Finding(1234.5)}
    assert table([RATIO, DELAY, TOLD], found, {"loaded": "no room"}).splitlines() == [
        "what                  measured      bar              spread",
        "connections, of bare     0.900  ≥ 0.950  MISSED  0.8 to 1.0",
        "for comparison         1,234.5",
        "loaded failed: no room",
    ]
    assert "  met" in table([DELAY], {"delay_us": Finding(1.26)}, {})


def test_the_line_has_every_key_and_null_where_nothing_was_measured() -> None:
    line = last_line("datapath", [RATIO, DELAY], {"ratio": Finding(0.91239)}, ["loaded"], 12.34)
    assert json.loads(line) == {
        "bench": "datapath",
        "ratio": 0.9124,
        "delay_us": None,
        "missed": ["ratio"],
        "failed": ["loaded"],
        "seconds": 12.3,
    }
    with pytest.raises(ValueError, match="no bar is called other"):
        last_line("datapath", [RATIO], {"other": Finding(1)}, [], 0)


def test_the_datapath_has_the_bars_that_were_agreed() -> None:
    limits = {bar.key: (bar.limit, bar.least) for bar in BARS}
    assert len(limits) == len(BARS)
    assert limits["loaded_ratio"] == (0.98, True)
    assert limits["restart_failures"] == limits["restart_unpoliced"] == (0, False)
    assert (limits["rss_mb"], limits["start_s"]) == ((80, False), (3, False))
    assert sum(limit for _, limit in PARTS.values()) <= 900, "whatever hangs, the run ends"


def test_a_part_that_takes_too_long_is_ended_and_the_alarm_is_gone_afterwards() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match="not done"), bounded(0.02):
        time.sleep(5)
    with bounded(60):
        pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_burden_has_the_size_it_is_asked_for_and_its_rules_are_about_every_peer() -> None:
    burden = Burden(units=40, peers=1003, rules=1000, colleagues=7)
    peers = [tags for number in range(7) for tags in burden.colleague(number)]
    rulesets = burden.rulesets("/somewhere")
    rules = [rule for ruleset in rulesets for side in ("incomingRules", "outgoingRules") for rule in ruleset[side]]
    assert (len(peers), len(rules)) == (1003, 1000)
    assert all(len(ruleset["incomingRules"]) == RULES_EACH // 2 for ruleset in rulesets)
    subjects = {ruleset["subject"][0][0] for ruleset in rulesets}
    assert all(burden.unit(number)[0] in subjects for number in range(40)), "no unit without rules"
    wanted = {tag for rule in rules for (tag,) in rule["object"]}
    assert {f"tier={tier}" for tier in range(TIERS)} <= wanted
    assert all(wanted & set(tags) for tags in peers)
    for rule in rules:
        expressions.parse(rule["object"])
        assert ports.parse(rule["protocolPorts"], "protocolPorts")
    assert burden.rulesets("/somewhere") == rulesets, "the same again"
