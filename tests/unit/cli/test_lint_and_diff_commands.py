"""`watchword lint`, `diff` and hypothetical `explain`: from files alone, and against a real Console."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.unit.cli.command_line import CommandLine
from watchword.cli.failure import ExitCode

POLICY = """
APIVersion: 1
label: shop
data:
  namespaces:
    - name: /
      defaultPUIncomingTrafficAction: Reject
      defaultPUOutgoingTrafficAction: Reject
  processingunits:
    - {name: web-1, associatedTags: [app=web]}
    - {name: web-2, associatedTags: [app=web]}
    - {name: pg, associatedTags: [app=db]}
  networkrulesetpolicies:
    - name: web
      subject: [[app=web]]
      outgoingRules:
        - {object: [[app=db]], protocolPorts: [tcp/5432]}
"""

DB = """    - name: db
      subject: [[app=db]]
      incomingRules:
        - {object: [[app=web]], protocolPorts: [PORT]}
"""

CLUSTER = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"""


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "old.yaml").write_text(POLICY)
    (tmp_path / "new.yaml").write_text(POLICY + DB.replace("PORT", "tcp/5432"))
    (tmp_path / "wide.yaml").write_text(POLICY + DB.replace("PORT", "tcp/1:65535"))
    prefixed = POLICY.replace("- name: /\n", "- name: /\n      tagPrefixes: [team=]\n")
    (tmp_path / "outside.yaml").write_text(prefixed)
    return CommandLine(tmp_path)


async def test_lint_of_files(shell: CommandLine) -> None:
    done = await shell("lint", "old.yaml")
    assert done.code == 0, done.err
    assert "warning: one-sided-rule: outgoing rule 0 of 'web' in / lets no unit's flow through" in done.out
    assert "1 findings (0 error, 1 warning, 0 info)" in done.out
    assert (await shell("lint", "old.yaml", "--fail-on", "warning")).code == ExitCode.FAILED
    clean = await shell("lint", "new.yaml", "--fail-on", "info", "--json")
    assert clean.code == 0, clean.out
    assert clean.json == {"counts": {"error": 0, "warning": 0, "info": 0}, "total": 0, "findings": []}
    chosen = await shell("lint", "old.yaml", "--code", "unused-rule", "--json")
    assert chosen.json["total"] == 0
    assert (await shell("lint", "old.yaml", "--code", "nonsense")).code == ExitCode.USAGE
    assert (await shell("lint", "old.yaml", "--draft", "d")).code == ExitCode.USAGE
    assert (await shell("lint", "missing.yaml")).code == ExitCode.USAGE


async def test_files_are_those_that_apply_takes(shell: CommandLine) -> None:
    folder = shell.folder / "all"
    (folder / "deeper").mkdir(parents=True)
    (folder / "web.yaml").write_text(POLICY.replace("tcp/5432", "{{ .Values.port }}"))
    (folder / "deeper" / "db.yaml").write_text(
        "APIVersion: 1\ndata:\n  networkrulesetpolicies:\n" + DB.replace("PORT", "tcp/1")
    )
    other = await shell("diff", "new.yaml", "all", "--set", "port=tcp/1", "--json")
    assert [flows["protocolPorts"] for flows in other.json["flows"]] == [["tcp/5432"], ["tcp/1"]], other.err
    unfilled = await shell("lint", "all")
    assert (unfilled.code, "port" in unfilled.err) == (ExitCode.USAGE, True)
    for wrong in (("lint", "--set", "a=1"), ("test", "--set", "a=1"), ("diff", "1", "2", "--set", "a=1")):
        refused = await shell(*wrong)
        assert (refused.code, "--set" in refused.err) == (ExitCode.USAGE, True)

    (shell.folder / "cluster.yaml").write_text(CLUSTER)
    cluster = await shell("lint", "cluster.yaml", "--json")
    assert "subject-matches-nothing" in {finding["code"] for finding in cluster.json["findings"]}, cluster.err


async def test_places_in_files_that_were_translated(shell: CommandLine) -> None:
    wrong = POLICY.replace("[app=db]}", "[nonsense]}").replace("tcp/5432", "tcp/70000")
    (shell.folder / "wrong.yaml").write_text(wrong)
    done = await shell("lint", "wrong.yaml")
    assert done.code == ExitCode.USAGE
    assert "wrong.yaml, line 12" in done.err, "the unit"
    assert "wrong.yaml, line 17" in done.err, "the rule"


async def test_diff_of_files(shell: CommandLine) -> None:
    done = await shell("diff", "old.yaml", "new.yaml")
    assert done.code == ExitCode.FAILED, done.err
    assert (
        "+ 2 units app=web → pg in /: tcp/5432 incoming was refused by default, is allowed by rule 0 of 'db'"
        in done.out
    )
    assert "2 pairs become allowed, 0 denied" in done.out
    same = await shell("diff", "new.yaml", "new.yaml")
    assert (same.code, same.out.strip()) == (0, "nothing is decided differently")
    oneend = await shell("diff", "wide.yaml", "new.yaml", "--json")
    assert [flows["effect"] for flows in oneend.json["flows"]] == ["oneEnd"]
    assert oneend.json["flows"][0]["protocolPorts"] == ["tcp/1:5431", "tcp/5433:65535"]
    cut = await shell("diff", "old.yaml", "wide.yaml", "--limit", "1")
    assert "and 1 more entries (--limit)" in cut.out
    assert (await shell("diff", "old.yaml", "7")).code == ExitCode.USAGE
    assert (await shell("diff", "draft:x", "7")).code == ExitCode.USAGE
    assert (await shell("diff", "old.yaml", "new.yaml", "--units-then")).code == ExitCode.USAGE


async def test_against_a_console(shell: CommandLine, console: Running) -> None:
    cli = shell.using(console)
    async with Peer(await enrol(console, "edge")) as edge:
        await edge.register(unit("web-1", "app=web"), unit("pg", "app=db"))
        for key in ("defaultPUIncomingTrafficAction", "defaultPUOutgoingTrafficAction"):
            assert (await cli("api", "update", "ns", "/", "--set", f"{key}=Reject")).code == 0
        (shell.folder / "r.json").write_text(json.dumps(ruleset("web", "app=web", outgoing=["app=db"])))
        assert (await cli("api", "create", "netruleset", "-f", "r.json")).code == 0
        linted = await cli("lint", "--json")
        assert linted.code == 0, linted.err
        assert [finding["code"] for finding in linted.json["findings"]] == ["one-sided-rule"]
        revision = str(linted.json["revision"])

        (shell.folder / "db.json").write_text(json.dumps(ruleset("db", "app=db", incoming=["app=web"])))
        assert (await cli("api", "create", "netruleset", "-f", "db.json")).code == 0
        changed = await cli("diff", revision, "latest")
        assert changed.code == ExitCode.FAILED, changed.err
        assert "+ web-1 in / → pg in /: tcp/5432" in changed.out
        assert (await cli("diff", "latest", "latest")).code == 0
        missing = await cli("diff", "latest", "draft:none")
        assert missing.code == ExitCode.NOT_FOUND

        then = await cli("explain", "web-1", "pg", "tcp/5432", "--revision", revision, "--expect", "reject")
        assert then.code == 0, then.err
        stranger = await cli("explain", "tags:app=web@/", "pg", "tcp/5432", "--json")
        assert (stranger.json["action"], stranger.json["source"]["hypothetical"]) == ("Allow", True)
        told = await cli("explain", "tags:app=db,zone=1", "198.51.100.7", "tcp/443")
        assert told.code == 0, told.err
        assert "a hypothetical source (app=db, zone=1) in /" in told.out
        assert "to allow it here, do one of these:" in told.out
