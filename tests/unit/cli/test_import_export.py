"""`watchword apply` with every form of file, and `watchword export`, against a real Console."""

from __future__ import annotations

import json
from pathlib import Path

from tests.console.rig import Peer, Running, enrol, unit
from tests.unit.cli.command_line import CommandLine
from watchword.cli.failure import ExitCode

NETWORK = """\
label: {label}
data:
  externalnetworks:
    - name: {name}
      entries: [192.0.2.0/24]
      associatedTags: ["net={name}"]
"""

FAMILY = """\
APIVersion: 1
label: old
data:
  externalnetworks:
    - name: office
      entries: [{{ .Values.office.cidr | quote }}]
      associatedTags: [net=office]
      color: red
  networkaccesspolicies:
    - name: legacy
  networkrulesetpolicies:
    - name: web
      subject: [["app={{ .Values.app | default "web" }}"]]
      outgoingRules:
        {{- range .Values.ports }}
        - {object: [[net=office]], protocolPorts: [{{ . }}]}
        {{- end }}
"""

POLICY = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
"""


async def names(cli: CommandLine, kind: str) -> list[str]:
    listed = await cli("api", "list", kind, "--recursive", "--json")
    assert listed.code == 0, listed.err
    return sorted(each["name"] for each in listed.json)


async def test_several_files_a_directory_and_standard_input(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.yaml").write_text(NETWORK.format(label="x", name="a"))
    (folder / "b.json").write_text(json.dumps({"label": "x", "data": {"namespaces": [{"name": "shop"}]}}))
    (folder / "notes.txt").write_text("not policy")
    (folder / "deeper" / "c.yaml").write_text(NETWORK.format(label="c", name="c"))
    (tmp_path / "d.yaml").write_text(NETWORK.format(label="y", name="d"))
    (tmp_path / "e.yaml").write_text(NETWORK.format(label="y", name="e"))
    stdin = NETWORK.format(label="z", name="f")
    arguments = ("apply", "-f", "d.yaml", "e.yaml", "policy", "-f", "-", "--json")
    first = await cli(*arguments, stdin=stdin)
    assert first.code == 0, first.err
    assert {answer["revision"] for answer in first.json["imports"]} == {first.json["imports"][0]["revision"]}
    assert await names(cli, "extnet") == ["a", "c", "d", "e", "f"]
    again = await cli(*arguments, stdin=stdin)
    assert all(not answer[what] for answer in again.json["imports"] for what in ("created", "updated", "deleted"))
    assert (await cli("apply", "-f", "d.yaml", "e.yaml", "d.yaml")).code == 0, "the same file twice"
    (tmp_path / "empty").mkdir()
    for wrong in (("-f", "empty"), ("-f", "-", "-"), ()):
        assert (await cli("apply", *wrong)).code == ExitCode.USAGE


async def test_a_label_from_the_command_line_owns_it_all(cli: CommandLine, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(NETWORK.format(label=name, name=name))
    assert (await cli("apply", "a.yaml", "b.yaml", "--label", "one")).code == 0
    told = await cli("apply", "a.yaml", "--label", "one", "--json")
    assert [each["name"] for each in told.json["imports"][0]["deleted"]] == ["b"]


async def test_a_dry_run_shows_every_field(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text(NETWORK.format(label="x", name="a"))
    shown = await cli("apply", "n.yaml", "--dry-run")
    assert "+ externalnetwork / a" in shown.out
    assert 'entries: ["192.0.2.0/24"]' in shown.out
    assert (await cli("apply", "n.yaml")).code == 0
    rules = """  networkrulesetpolicies:
    - name: r
      subject: [[app=x]]
      outgoingRules: [{object: [[net=b]], protocolPorts: [tcp/1]}, {object: [[net=b]], protocolPorts: [tcp/%d]}]
"""
    file.write_text(NETWORK.format(label="x", name="b") + rules % 2)
    swapped = await cli("apply", "n.yaml", "--dry-run")
    assert "- externalnetwork / a" in swapped.out
    assert (await cli("apply", "n.yaml")).code == 0
    file.write_text(NETWORK.format(label="x", name="b") + rules % 3)
    changed = await cli("apply", "n.yaml", "--dry-run")
    assert '    outgoingRules[1].protocolPorts: ["tcp/2"] → ["tcp/3"]' in changed.out
    assert "outgoingRules[0]" not in changed.out
    assert await names(cli, "extnet") == ["b"]
    as_json = await cli("apply", "n.yaml", "--dry-run", "--json")
    assert list(as_json.json["imports"][0]["updated"][0]["diff"]) == ["outgoingRules"]


async def test_the_familys_templates_import_unchanged(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(FAMILY)
    (tmp_path / "values.yaml").write_text("office: {cidr: 10.0.0.0/8}\nports: [tcp/1]\n")
    missing = await cli("apply", "old.yaml")
    assert missing.code == ExitCode.USAGE
    assert "old.yaml, line 6: .Values.office.cidr is not given" in missing.err
    given = ("--values", "values.yaml", "--set", "office.cidr=192.0.2.0/24", "--set", "ports={tcp/80,tcp/443}")
    strict = await cli("apply", "old.yaml", *given, "--strict")
    assert strict.code == ExitCode.USAGE
    assert "old.yaml (as the template produced it), line 8: data.externalnetworks[0].color" in strict.err
    assert "the older form" in strict.err
    assert await names(cli, "extnet") == []
    done = await cli("apply", "old.yaml", *given, "--json")
    assert done.code == 0, done.err
    assert done.err.count("not carried over") == 2
    assert [note["lost"] for note in done.json["notes"]] == [True, True]
    ruleset = (await cli("api", "get", "netruleset", "web", "--json")).json
    assert [rule["protocolPorts"] for rule in ruleset["outgoingRules"]] == [["tcp/80"], ["tcp/443"]]
    assert (await cli("api", "get", "extnet", "office", "--json")).json["entries"] == ["192.0.2.0/24"]


async def test_the_same_content_means_another_thing_without_the_familys_mark(cli: CommandLine, tmp_path: Path) -> None:
    text = NETWORK.format(label="x", name="a") + "      color: red\n"
    (tmp_path / "f.yaml").write_text(text)
    refused = await cli("apply", "f.yaml")
    assert refused.code == ExitCode.REFUSED
    assert "f.yaml, line 7: data.externalnetworks[0].color" in refused.err
    assert (await cli("apply", "f.yaml", "--format", "family")).code == 0


async def test_network_policies(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "k.yaml").write_text(POLICY)
    assert (await cli("api", "create", "ns", "--set", "name=cluster")).code == 0
    done = await cli("apply", "-n", "/cluster", "k.yaml")
    assert done.code == 0, done.err
    assert "Service shop/db: says nothing" in done.err
    assert "/cluster/shop" in await names(cli, "ns")
    assert await names(cli, "netruleset") == ["db", "not isolated incoming"]
    again = await cli("apply", "-n", "/cluster", "k.yaml", "--json")
    assert all(not answer[what] for answer in again.json["imports"] for what in ("created", "updated", "deleted"))
    (tmp_path / "wrong.yaml").write_text(POLICY.replace("ingress:", "ingres:"))
    wrong = await cli("apply", "-n", "/cluster", "wrong.yaml")
    assert wrong.code == ExitCode.USAGE
    assert "wrong.yaml, document 2, line 5" in wrong.err
    assert "ingres" in wrong.err


async def test_what_files_mean_can_be_seen_without_a_console(tmp_path: Path) -> None:
    alone = CommandLine(tmp_path)
    (tmp_path / "k.yaml").write_text(POLICY)
    rendered = await alone("apply", "k.yaml", "--render")
    assert rendered.code == 0, rendered.err
    (tmp_path / "own.yaml").write_text(rendered.out)
    again = await alone("apply", "own.yaml", "--render", "--json")
    assert again.json["documents"][0]["label"] == "kubernetes"
    assert set(again.json["documents"][0]["data"]) >= {"namespaces", "networkrulesetpolicies"}


async def test_files_that_are_nothing(cli: CommandLine, tmp_path: Path) -> None:
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    for text in ("- 1\n", "x: 1\n", "label: x\n", laughs, "{{ range }}", "data: {{ .Values }}"):
        (tmp_path / "f.yaml").write_text(text)
        refused = await cli("apply", "f.yaml")
        assert refused.code == ExitCode.USAGE, (text[:20], refused)
        assert "f.yaml" in refused.err


POLICY_OF_ITS_OWN = """\
label: shop
data:
  namespaces:
    - {name: /, namespace: /, defaultPUIncomingTrafficAction: Reject, defaultPUOutgoingTrafficAction: Reject}
    - {name: shop, type: Kubernetes}
  externalnetworks:
    - {name: office, entries: [192.0.2.0/24], associatedTags: [net=office], propagate: true}
  networkrulesetpolicies:
    - name: db
      namespace: /shop
      subject: [["@app:k8s:namespace=shop", "k8s:app=db"]]
      incomingRules:
        - {object: [["k8s:app=web", "@app:k8s:namespace=*"], [net=office]], protocolPorts: [tcp/5432]}
"""


async def test_export_and_import_make_the_same_again(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(POLICY_OF_ITS_OWN)
    assert (await cli("apply", "own.yaml")).code == 0
    written = await cli("export", "-o", "out.yaml", "--label", "shop")
    assert (written.code, written.out) == (0, ""), written.err
    again = await cli("apply", "out.yaml", "--json")
    assert again.code == 0, again.err
    assert all(not answer[what] for answer in again.json["imports"] for what in ("created", "updated", "deleted"))
    everything = await cli("export")
    assert "wwc1." not in everything.out
    assert "import-label" not in everything.out


async def test_export_for_others(cli: CommandLine, console: Running, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(POLICY_OF_ITS_OWN)
    assert (await cli("apply", "own.yaml")).code == 0
    kubernetes = await cli("export", "--format", "networkpolicy", "--json")
    assert kubernetes.code == 0, kubernetes.err
    by_name = {each["metadata"]["name"]: each["spec"] for each in kubernetes.json["documents"]}
    assert set(by_name) == {"deny-ingress", "deny-egress", "db-ingress-1"}
    blocks = [peer["ipBlock"] for peer in by_name["db-ingress-1"]["ingress"][0]["from"] if "ipBlock" in peer]
    assert blocks == [{"cidr": "192.0.2.0/24"}]
    offline = await CommandLine(tmp_path)("export", "own.yaml", "--format", "networkpolicy", "--json")
    assert offline.json["documents"] == kubernetes.json["documents"], "files and Console say different things"

    family = await cli("export", "--format", "family", "-n", "/shop")
    assert "@app:k8s:namespace=* cannot be said in the family" in family.err
    assert family.out.startswith("APIVersion: 1")
    assert (await cli("export", "--format", "family", "-n", "/shop", "--strict")).code == ExitCode.FAILED


async def test_export_to_nftables(cli: CommandLine, console: Running, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        POLICY_OF_ITS_OWN.replace("namespace: /shop\n      subject", "propagate: true\n      subject")
    )
    (tmp_path / "addresses.yaml").write_text("db: [10.0.0.1]\nweb: [10.0.0.2, fd00::2]\n")
    async with Peer(await enrol(console, "host")) as peer:
        pod = {"metadata": ("@app:k8s:namespace=shop",)}
        accepted = await peer.register(
            unit("1", "k8s:app=db", name="db", **pod), unit("2", "k8s:app=web", name="web", **pod)
        )
        assert not accepted.refused
        assert (await cli("apply", "own.yaml")).code == 0
        asked = ("export", "--format", "nftables", "--unit", "db", "--addresses", "addresses.yaml")
        done = await cli(*asked)
        assert done.code == 0, done.err
        assert "tcp dport { 5432 } accept" in done.out
        assert "10.0.0.2 : goto in_" in done.out
        assert "addresses stand for identities" in done.err
        (tmp_path / "addresses.yaml").write_text("db: [10.0.0.1]\n")
        fewer = await cli(*asked, "--strict")
        assert fewer.code == ExitCode.FAILED
        assert "allows web, whose addresses are not given" in fewer.err
        for wrong in (asked[:3], (*asked[:4], "nobody", *asked[5:]), (*asked, "-n", "/shop")):
            assert (await cli(*wrong)).code in (ExitCode.USAGE, ExitCode.NOT_FOUND)
