"""`watchword allow`, `intents`, `draft`, `revisions` and `test`, as processes, with a Console and without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.console.rig import Peer, Running, enrol, unit
from tests.unit.cli.command_line import CommandLine
from watchword.cli.failure import ExitCode
from watchword.policy import assertions

SHOP = """
label: shop
data:
  namespaces:
    - {name: /, defaultPUIncomingTrafficAction: Reject, defaultPUOutgoingTrafficAction: Reject}
    - {name: shop}
  processingunits:
    - {name: web-1, namespace: /shop, associatedTags: [app=web]}
    - {name: db-1, namespace: /shop, associatedTags: [app=db]}
  externalnetworks:
    - {name: office, namespace: /shop, entries: [192.0.2.0/24], associatedTags: ["net=office"]}
  intents:
    - {name: query, namespace: /shop, source: [[app=web]], destination: [[app=db]], protocolPorts: [tcp/5432]}
"""

TESTS = """
data:
  policytests:
    - name: shop
      namespace: /shop
      mode: enforce
      assertions:
        - {name: web reaches db, from: [[app=web]], to: [[app=db]], protocolPorts: [tcp/5432]}
        - {name: nobody else, from: [[net=office]], to: [["$type=*"]], protocolPorts: [any], expect: Reject}
"""


@pytest.fixture
def alone(tmp_path: Path) -> CommandLine:
    """No Console, no profile, no CA."""
    return CommandLine(tmp_path)


async def test_tests_run_from_files_alone(alone: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP)
    (folder / "tests.yml").write_text(TESTS)
    done = await alone("test", str(folder))
    assert done.code == ExitCode.OK, done.err
    assert "2 of 2 assertions hold" in done.out


async def test_a_failing_test_has_a_witness_and_an_exit_code(alone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP.replace("tcp/5432", "tcp/5433"))
    (tmp_path / "tests.yaml").write_text(TESTS)
    done = await alone("test", "shop.yaml", "tests.yaml", "--json", "--junit", "report.xml")
    assert done.code == ExitCode.FAILED
    result = done.json["tests"][0]["results"][0]
    assert (result["source"], result["destination"], result["flow"]) == ("/shop/web-1", "/shop/db-1", "tcp/5432")
    assert result["decidedBy"] == "outgoing: default of / (Reject); incoming: default of / (Reject)"
    suite = ElementTree.parse(tmp_path / "report.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is not None for case in suite] == [True, False]


async def test_wrong_files_are_named_with_line_and_field(alone: CommandLine, tmp_path: Path) -> None:
    wrong = SHOP.replace("[[app=db]], protocolPorts: [tcp/5432]", "[[app=db]], protocolPorts: [tcp]")
    (tmp_path / "shop.yaml").write_text(wrong.replace("entries: [192.0.2.0/24]", "entrys: [192.0.2.0/24]"))
    done = await alone("test", "shop.yaml", "--json")
    assert done.code == ExitCode.USAGE
    fields = {field["path"]: field["detail"] for field in json.loads(done.err)["fields"]}
    assert any("shop.yaml, line 11: data.externalnetworks[0].entrys (office)" in path for path in fields), fields
    assert any("shop.yaml, line 13: data.intents[0].protocolPorts[0] (query)" in path for path in fields), fields


async def test_nothing_to_test_is_no_success(alone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    assert (await alone("test", "shop.yaml")).code == ExitCode.USAGE
    (tmp_path / "tests.yaml").write_text(TESTS)
    (tmp_path / "bare.yaml").write_text("data: {namespaces: [{name: shop}]}")
    done = await alone("test", "bare.yaml", "tests.yaml")
    assert done.code == ExitCode.FAILED
    assert "selects no unit" in done.out


async def test_allow_is_idempotent_and_removed_as_one(cli: CommandLine, console: Running) -> None:
    statement = ("allow", "app=web", "app=db", "tcp/5432")
    dry = await cli(*statement, "--dry-run")
    assert dry.code == ExitCode.OK, dry.err
    assert (await cli("intents", "list", "--json")).json == []
    made = await cli(*statement)
    assert "created intent app=web to app=db tcp/5432" in made.out
    assert "unchanged intent" in (await cli(*statement)).out
    assert len((await cli("intents", "list", "--json")).json) == 1
    named = ("allow", "app=web,env=prod or app=admin", "app=db", "tcp/22", "--name", "ssh")
    assert "created" in (await cli(*named)).out
    changed = await cli("allow", "app=admin", "app=db", "tcp/22", "--name", "ssh")
    assert "updated intent ssh" in changed.out
    assert 'source: [["app=web","env=prod"],["app=admin"]] → [["app=admin"]]' in changed.out
    assert (await cli("allow", "nonsense", "app=db", "tcp/22")).code == ExitCode.USAGE
    assert (await cli("allow", "app=a", "app=db", "tcp")).code == ExitCode.REFUSED
    gone = await cli("intents", "remove", "ssh")
    assert "both ends" in gone.out
    assert [each["name"] for each in (await cli("intents", "list", "--json")).json] == ["app=web to app=db tcp/5432"]


async def test_a_draft_from_the_first_thought_to_the_way_back(
    cli: CommandLine, console: Running, tmp_path: Path
) -> None:
    host = await enrol(console, "edge")
    defaults = "defaultPUIncomingTrafficAction=Reject", "defaultPUOutgoingTrafficAction=Reject"
    update = ("api", "update", "namespace", "/", "--set", "protected=false")
    assert (await cli(*update, "--set", defaults[0], "--set", defaults[1])).code == ExitCode.OK
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), complete=True)
        (tmp_path / "d.yaml").write_text(
            "data:\n  intents:\n"
            "    - {name: q, source: [[app=web]], destination: [[app=db]], protocolPorts: [tcp/5432]}\n"
        )
        assert (await cli("draft", "create", "shop")).code == ExitCode.OK
        added = await cli("draft", "add", "shop", "-f", "d.yaml")
        assert "makes 1 change" in added.out, added.err
        shown = await cli("draft", "show", "shop")
        assert "create intent / q" in shown.out
        assert "1 change(s), 0 conflict(s)" in shown.out
        flow = ("explain", "web-1", "db-1", "tcp/5432")
        assert (await cli(*flow, "--expect", "reject")).code == ExitCode.OK
        assert (await cli(*flow, "--draft", "shop", "--expect", "allow")).code == ExitCode.OK
        listed = (await cli("revisions", "list", "--json")).json
        assert (await cli("draft", "publish", "shop", "--dry-run")).code == ExitCode.OK
        published = await cli("draft", "publish", "shop", "--json")
        assert published.code == ExitCode.OK, published.err
        assert (await cli(*flow, "--expect", "allow")).code == ExitCode.OK
        assert (await cli("draft", "publish", "shop")).code == ExitCode.CONFLICT
        number = str(published.json["revision"])
        (newest, *before) = (await cli("revisions", "list", "--json")).json
        assert before == listed
        assert (newest["revision"], newest["message"]) == (int(number), "publish / shop")
        assert "create intent / q" in (await cli("revisions", "show", number)).out
        difference = await cli("revisions", "diff", number, str(int(number) - 1))
        assert "delete intent / q" in difference.out
        assert (await cli(*flow, "--revision", str(int(number) - 1), "--expect", "reject")).code == ExitCode.OK
        dry = await cli("revisions", "rollback", str(int(number) - 1), "--dry-run")
        assert "delete intent / q" in dry.out
        back = await cli("revisions", "rollback", str(int(number) - 1), "--expect", number)
        assert back.code == ExitCode.OK, back.err
        assert (await cli(*flow, "--expect", "reject")).code == ExitCode.OK


async def test_the_record_is_verified_elsewhere(cli: CommandLine, alone: CommandLine, tmp_path: Path) -> None:
    assert (await cli("allow", "app=web", "app=db", "tcp/5432")).code == ExitCode.OK
    assert (await cli("allow", "app=web", "app=cache", "tcp/11211")).code == ExitCode.OK
    online = await cli("revisions", "verify", "--json")
    assert online.code == ExitCode.OK, online.err
    assert (await cli("revisions", "export", "-o", "record.jsonl")).code == ExitCode.OK
    key = (await cli("revisions", "key")).out.strip()
    verify = ("revisions", "verify", "--file", "record.jsonl")
    offline = await alone(*verify, "--key", key, "--json")
    assert offline.code == ExitCode.OK, offline.err
    assert offline.json == online.json
    assert (await alone(*verify)).code == ExitCode.USAGE  # a key in the file would prove nothing
    record = tmp_path / "record.jsonl"
    record.write_text(record.read_text().replace("app=cache", "app=crash"))
    forged = await alone(*verify, "--key", key)
    assert forged.code == ExitCode.FAILED
    assert "not genuine" in forged.err


async def test_the_consoles_tests_refuse_and_are_shown(cli: CommandLine, console: Running, tmp_path: Path) -> None:
    host = await enrol(console, "edge")
    body = "namespace", "/", "--set", "protected=false", "--set", "defaultPUIncomingTrafficAction=Reject"
    assert (await cli("api", "update", *body)).code == ExitCode.OK
    async with Peer(host) as peer:
        await peer.register(unit("web-1", "app=web"), unit("db-1", "app=db"), complete=True)
        assert (await cli("allow", "app=web", "app=db", "tcp/5432", "--name", "q")).code == ExitCode.OK
        (tmp_path / "t.yaml").write_text(
            "data:\n  policytests:\n    - name: t\n      mode: enforce\n      assertions:\n"
            "        - {name: query, from: [[app=web]], to: [[app=db]], protocolPorts: [tcp/5432]}\n"
        )
        assert (await cli("apply", "-f", "t.yaml")).code == ExitCode.OK
        held = await cli("test")
        assert held.code == ExitCode.OK, held.err
        assert "pass  /t: query" in held.out
        refused = await cli("intents", "remove", "q")
        assert refused.code == ExitCode.CONFLICT
        assert "/web-1 → /db-1 tcp/5432 gets Reject" in refused.err
        assert (await cli("draft", "create", "d")).code == ExitCode.OK
        assert (await cli("draft", "add", "d", "--delete", "intent/q")).code == ExitCode.OK
        drafted = await cli("test", "--draft", "d")
        assert drafted.code == ExitCode.FAILED
        assert "FAIL  /t: query" in drafted.out


async def test_a_result_that_may_not_hold_any_more_is_shown_as_such(
    cli: CommandLine, console: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no")

    (tmp_path / "tests.yaml").write_text(TESTS.replace("namespace: /shop", "namespace: /").replace("enforce", "warn"))
    with monkeypatch.context() as patched:
        patched.setattr(assertions, "run", broken)
        assert (await cli("apply", "-f", "tests.yaml")).code == ExitCode.OK
        async with asyncio.timeout(15):
            while "could not be found anew" not in (listed := await cli("api", "list", "policytests")).out:
                assert listed.code == ExitCode.OK, listed.err
    shown = await cli("test")
    assert "stale /shop: the result that the Console keeps could not be found anew at revision" in shown.out
    assert "(RuntimeError); the Console's log says why" in " ".join(shown.out.split())
