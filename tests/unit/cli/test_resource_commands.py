"""`watchword api`, `apply`, `token` and `profile` against a real Console over TLS."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.console.rig import Running
from tests.unit.cli.command_line import CommandLine
from watchword.cli.failure import ExitCode

SHOP = """\
label: shop
data:
  externalnetworks:
    - {name: office, entries: [192.0.2.0/24], associatedTags: ["net=office"]}
  networkrulesetpolicies:
    - name: web-to-db
      subject: [["app=web"]]
      outgoingRules:
        - {name: database, action: Allow, object: [["app=db"]], protocolPorts: [tcp/5432]}
"""


async def test_a_resource_from_birth_to_death(cli: CommandLine) -> None:
    made = await cli("api", "create", "namespace", "--set", "name=shop", "--json")
    assert made.code == 0, made.err
    assert made.json["name"] == "/shop"

    network = ("externalnetwork", "-n", "/shop")
    made = await cli(
        "api", "create", *network, "--set", "name=office", "--set", "entries=192.0.2.0/24",
        "--set", "entries=!192.0.2.7", "--set", "associatedTags=net=office", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert made.json["entries"] == ["192.0.2.0/24", "!192.0.2.7/32"]

    changed = await cli("api", "update", *network, "office", "--set", "description=Desks", "--json")
    assert (changed.json["description"], changed.json["entries"]) == ("Desks", ["192.0.2.0/24", "!192.0.2.7/32"])

    shown = await cli("api", "get", *network, "office")
    assert "Desks" in shown.out
    listed = await cli("api", "list", *network, "--filter", "name == office", "-c", "name", "-c", "description")
    assert "Desks" in listed.out
    assert (await cli("api", "list", "extnet", "--json")).json == []
    assert [each["name"] for each in (await cli("api", "list", "extnet", "-r", "--json")).json] == ["office"]

    gone = await cli("api", "delete", *network, "office", "--json")
    assert gone.json["deleted"] == "office"
    assert gone.json["revision"] > 0
    missing = await cli("api", "get", *network, "office")
    assert missing.code == ExitCode.NOT_FOUND


async def test_what_the_console_refuses(cli: CommandLine) -> None:
    wrong = "name: r\nsubject: [[app=web]]\nincomingRules: [{object: [[app=db]], protocolPorts: [tcp]}]\n"
    refused = await cli("api", "create", "netruleset", "-f", "-", stdin=wrong)
    assert refused.code == ExitCode.REFUSED
    assert "incomingRules[0].protocolPorts[0]" in refused.err
    assert "→" in refused.err
    assert refused.out == ""

    unknown = await cli(
        "api", "create", "netruleset", "-f", "-", "--json", stdin="name: r\nsubject: [[a=1]]\nrule: 1\n"
    )
    assert unknown.code == ExitCode.REFUSED
    assert '"path": "rule"' in unknown.err

    assert (await cli("api", "create", "ns", "--set", "name=a")).code == 0
    assert (await cli("api", "create", "ns", "--set", "name=a")).code == ExitCode.CONFLICT
    assert (await cli("api", "list", "ns", "--filter", "name ==")).code == ExitCode.REFUSED
    assert (await cli("api", "list", "ns", "-n", "/nowhere")).code != 0


async def test_what_the_command_line_refuses(cli: CommandLine) -> None:
    for arguments in (
        ("api", "list", "spaceship"),
        ("api", "create", "flowreport"),
        ("api", "list", "ns", "-c", "surprise"),
        ("api", "create", "ns", "--set", "surprise=1"),
        ("api", "update", "ns", "a"),
        ("wait", "--timeout", "soon"),
        ("token", "create", "--expires", "never"),
        ("explain", "a", "b", "tcp"),
        ("nonsense",),
    ):
        refused = await cli(*arguments)
        assert refused.code == ExitCode.USAGE, (arguments, refused)
        assert refused.err


async def test_whom_the_console_does_not_know(cli: CommandLine, console: Running) -> None:
    stranger = await cli("api", "list", "ns", WATCHWORD_CREDENTIAL="wwc1.nobody.secretsecret")
    assert stranger.code == ExitCode.UNAUTHORISED
    assert "secretsecret" not in stranger.err + stranger.out
    viewer = await cli("api", "create", "appcredential", "--set", "name=v", "--set", "roles=namespace.viewer", "--json")
    assert viewer.code == 0, viewer.err
    asked = {"WATCHWORD_CREDENTIAL": viewer.json["credential"]}
    assert (await cli("api", "list", "ns", **asked)).code == 0
    assert (await cli("api", "create", "ns", "--set", "name=x", **asked)).code == ExitCode.UNAUTHORISED


async def test_the_same_file_twice_changes_nothing(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    rehearsed = await cli("apply", "-f", "shop.yaml", "--dry-run")
    assert rehearsed.code == 0, rehearsed.err
    assert "2 created (nothing was changed: dry run)" in rehearsed.out
    assert (await cli("api", "list", "extnet", "--json")).json == []

    first = (await cli("apply", "-f", "shop.yaml", "--json")).json["imports"][0]
    assert sorted(each["name"] for each in first["created"]) == ["office", "web-to-db"]
    again = await cli("apply", "-f", "shop.yaml", "--json")
    assert again.json["imports"][0]["created"] == again.json["imports"][0]["updated"] == []
    assert again.json["imports"][0]["deleted"] == []
    assert again.json["imports"][0]["revision"] == first["revision"]
    assert "2 unchanged" in (await cli("apply", "-f", "shop.yaml")).out

    file.write_text(SHOP.replace("tcp/5432", "tcp/5433").replace("192.0.2.0/24", "198.51.100.0/24"))
    changed = await cli("apply", "-f", "shop.yaml")
    assert "2 updated" in changed.out
    assert "outgoingRules" in changed.out
    assert "entries" in changed.out

    file.write_text(SHOP[: SHOP.index("  networkrulesetpolicies")])
    assert "1 updated, 1 deleted" in (await cli("apply", "-f", "shop.yaml")).out
    assert (await cli("api", "list", "netruleset", "--json")).json == []


async def test_a_file_that_cannot_be_applied(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(SHOP)
    network = "{name: x, entries: [10.0.0.0/99], associatedTags: [a=b]}"
    (tmp_path / "bad.yaml").write_text(f"label: bad\ndata: {{externalnetworks: [{network}]}}\n")
    (tmp_path / "twice.yaml").write_text("label: a\nlabel: b\n")
    (tmp_path / "empty.yaml").write_text("# nothing\n")

    for name in ("twice.yaml", "empty.yaml", "missing.yaml"):
        refused = await cli("apply", "-f", "good.yaml", "-f", name)
        assert refused.code == ExitCode.USAGE
        assert name in refused.err
    assert (await cli("api", "list", "extnet", "--json")).json == [], "a file was applied though another is damaged"

    half = await cli("apply", "-f", "good.yaml", "bad.yaml")
    assert half.code == ExitCode.REFUSED
    assert "bad.yaml, line 2: data.externalnetworks[0].entries[0]" in half.err
    assert "nothing was changed" in half.err
    assert (await cli("api", "list", "extnet", "--json")).json == [], "a file was applied though another is refused"


async def test_an_install_token_is_shown_once_or_kept(cli: CommandLine, tmp_path: Path) -> None:
    shown = await cli("token", "create", "--uses", "3", "--expires", "2h")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("ww1.")
    assert shown.out.strip() not in shown.err

    kept = await cli("token", "create", "--output", "install-token", "--json")
    text = (tmp_path / "install-token").read_text().strip()
    assert text.startswith("ww1.")
    assert stat.S_IMODE((tmp_path / "install-token").stat().st_mode) == 0o600
    assert text not in kept.out + kept.err
    assert kept.json["uses"] == 1
    listed = await cli("api", "list", "token", "--json")
    assert len(listed.json) == 2
    assert text not in listed.out
    assert shown.out.strip() not in listed.out


async def test_a_profile_instead_of_the_environment(console: Running, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(console.ready.ca_pem)
    shell = CommandLine(tmp_path)
    added = ("profile", "add", "home", "--url", console.ready.url, "--ca", "ca.pem", "-n", "/")
    assert (await shell(*added, stdin="")).code == ExitCode.USAGE
    assert (await shell(*added, "--credential-file", "-", stdin="nonsense\n")).code == ExitCode.USAGE
    done = await shell(*added, "--credential-file", "-", stdin=console.credential + "\n")
    assert done.code == 0, done.err
    assert console.credential not in done.out + done.err

    assert (await shell("api", "list", "ns")).code == 0
    checked = await shell("doctor", "--json")
    console_finding = next(each for each in checked.json["findings"] if each["name"] == "profile")
    assert console_finding["result"] == "pass"
    assert "administrator" in console_finding["detail"]

    listed = await shell("profile", "list")
    assert "home" in listed.out
    assert console.credential not in listed.out
    assert (await shell("profile", "use", "work")).code == ExitCode.USAGE
    assert (await shell("api", "list", "ns", "-p", "work")).code == ExitCode.USAGE
    assert (await shell("profile", "remove", "home")).code == 0
    assert (await shell("api", "list", "ns")).code == ExitCode.USAGE


async def test_every_stub_of_a_kind_is_accepted_once_filled_in(cli: CommandLine) -> None:
    stub = (await cli("api", "stub", "externalnetwork")).out
    filled = stub.replace("name: ''", "name: office").replace("entries:\n- ''", "entries:\n- 192.0.2.0/24")
    filled = filled.replace("associatedTags:\n- ''", "associatedTags:\n- net=office")
    made = await cli("api", "create", "externalnetwork", "-f", "-", stdin=filled)
    assert made.code == 0, made.err
