"""`watchword doctor --kubeconfig`: the way to a cluster's API, who asks, and what is made of the answers."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peers.certificates import Authority
from tests.unit.cli.command_line import CommandLine
from tests.unit.cli.kubernetes_api import NODES, FakeCluster, istiod, kubeconfig, node, serving
from watchword.cli.clusterapi import ask
from watchword.cli.failure import ExitCode, Failure
from watchword.cli.kubeconfig import read
from watchword.enforcer.doctor.clusters import Cluster

TOKEN = {"token": "sesame"}


class Site:
    """A cluster, where its API is, and the files of people who ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cluster = folder, FakeCluster()
        (folder / "pki").mkdir()
        self.authority = Authority(folder / "pki")
        self.server = ""

    def file(self, user: dict[str, Any], **cluster: Any) -> Path:
        return kubeconfig(self.folder / "config", self.server, self.authority, user, **cluster)

    def asked(self, user: dict[str, Any], **cluster: Any) -> Cluster:
        return ask(read(str(self.file(user, **cluster))))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with serving(made.cluster, made.authority) as made.server:
        yield made


def base64_of(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def test_a_cluster_that_has_everything(site: Site) -> None:
    done = await CommandLine(site.folder)("doctor", "--kubeconfig", str(site.file(TOKEN)), "--json")
    assert done.code == 0, done.err
    assert (done.json["result"], done.json["datapath"], done.json["allow"]) == ("pass", "", [])
    results = {finding["name"]: finding["result"] for finding in done.json["findings"]}
    assert results == {"Kubernetes": "pass", "nodes": "pass", "CNI plugin": "skip", "cluster roles": "pass"}
    assert {finding["group"] for finding in done.json["findings"]} == {"orchestrator"}


async def test_a_cluster_that_is_too_old_and_runs_windows(site: Site) -> None:
    site.cluster.version, site.cluster.nodes = "v1.15.12", [node("w", "windows")]
    done = await CommandLine(site.folder)("doctor", "--kubeconfig", str(site.file(TOKEN)))
    assert done.code == 1
    for word in ("older than 1.16", "there is no Linux node", "Enforcers cannot run in this cluster as it is (2 fail)"):
        assert word in done.out


def test_somebody_without_a_credential_is_told_so(site: Site) -> None:
    with pytest.raises(Failure, match=r"/apis: it may not be read") as failure:
        site.asked({})
    assert failure.value.remedy


async def test_a_credential_that_is_not_taken_is_a_finding_and_other_options_do_not_go_with_it(site: Site) -> None:
    shell, file = CommandLine(site.folder), str(site.file({"token": "a-stale-secret"}))
    done = await shell("doctor", "--kubeconfig", file, "--json")
    (finding,) = done.json["findings"]
    assert (done.code, finding["name"], finding["result"]) == (1, "API", "fail")
    assert "does not take the credential" in finding["detail"]
    assert "a-stale-secret" not in done.out + done.err
    assert (await shell("doctor", "--kubeconfig", file, "--url", "https://x")).code == ExitCode.USAGE
    assert (await shell("doctor", "--context", "here")).code == ExitCode.USAGE


def test_lists_are_read_to_their_end(site: Site) -> None:
    site.cluster.nodes = [node(f"n{number}") for number in range(1201)]
    found = site.asked(TOKEN)
    assert found.nodes is not None
    assert [each.name for each in found.nodes] == [f"n{number}" for number in range(1201)]
    assert site.cluster.asked.count(("admin", NODES)) == 3


def test_what_the_api_says_of_platform_mesh_and_routes(site: Site) -> None:
    aks = {"kubernetes.azure.com/mode": "system"}
    site.cluster.nodes = [node("a", reason="RouteCreated", **aks)]
    site.cluster.istiods = [
        istiod("docker.io/istio/pilot:1.20.3-distroless"),
        istiod("registry.example:5000/istio/pilot@sha256:0123"),
    ]
    found = site.asked(TOKEN)
    assert found.nodes is not None
    assert (found.platform, found.nodes[0].routed, found.istio) == ("AKS", True, ("1.20.3-distroless", ""))
    assert found.openshift == ""
    site.cluster.openshift = "4.14.8"
    assert site.asked(TOKEN).openshift == "4.14.8"


def test_what_one_may_not_read_is_unknown_not_absent(site: Site) -> None:
    site.cluster.openshift = "4.14.8"
    found = site.asked({"token": "guess"})
    assert (found.version, found.nodes, found.istio, found.openshift, found.may_grant) == (
        "v1.30.2",
        None,
        None,
        None,
        False,
    )


def test_who_asks_is_told_by_certificate_token_file_or_a_program(site: Site) -> None:
    certificate, key = site.authority.issue("admin")
    inline = {"client-certificate-data": base64_of(certificate), "client-key-data": base64_of(key)}
    (site.folder / "token").write_text("sesame\n")
    program = site.folder / "log-in"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\ninfo = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert info['spec']['cluster']['server'].startswith('https://'), info\n"
        "json.dump({**info, 'status': {'token': os.environ['HALF'] + sys.argv[1]}}, sys.stdout)\n"
    )
    program.chmod(0o755)
    fetched = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./log-in",
        "args": ["ame"],
        "env": [{"name": "HALF", "value": "ses"}],
        "provideClusterInfo": True,
    }
    for user in (inline, {"client-certificate": str(certificate), "client-key": str(key)}, {"tokenFile": "token"}):
        assert site.asked(user).may_grant is True
    assert site.asked({"exec": fetched}).may_grant is True
    assert {user for user, _ in site.cluster.asked} == {"admin"}
    wrongs: tuple[dict[str, Any], ...] = (
        {"args": []},
        {"command": "./nowhere"},
        {"command": "/bin/echo"},
        {"env": [1]},
    )
    for wrong in wrongs:
        with pytest.raises(Failure, match="exec ") as failure:
            site.asked({"exec": {**fetched, **wrong, "installHint": "get it there"}})
        assert failure.value.remedy == "get it there"


def test_nobody_is_believed_whom_the_file_does_not_name(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    believed = {"certificate-authority": str(other.certificate)}
    for cluster in (believed, {"tls-server-name": "elsewhere.bench"}, {"certificate-authority": ""}):
        with pytest.raises(Failure) as failure:
            site.asked(TOKEN, **cluster)
        assert failure.value.code == ExitCode.UNREACHABLE
        assert "certificate verify failed" in failure.value.message
    assert site.cluster.asked == [], "no credential goes to a stranger"


@pytest.mark.parametrize(
    ("user", "cluster", "field"),
    [
        (TOKEN, {"server": "http://127.0.0.1:1"}, "server"),
        (TOKEN, {"server": "https://u:hidden@127.0.0.1:1"}, "server"),
        (TOKEN, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        (TOKEN, {"certificate-authority-data": "hidden!"}, "certificate-authority-data"),
        (TOKEN, {"certificate-authority": "nowhere.pem"}, "certificate-authority"),
        ({"username": "a", "password": "hidden"}, {}, "username"),
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider"),
        ({**TOKEN, "as": "root"}, {}, "as"),
        ({"token": 71}, {}, "token"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(
    user: dict[str, Any], cluster: dict[str, Any], field: str, tmp_path: Path
) -> None:
    file = kubeconfig(tmp_path / "config", "https://127.0.0.1:1", None, user, **cluster)
    with pytest.raises(Failure) as failure:
        read(str(file))
    assert f": {field}: " in failure.value.message
    assert failure.value.remedy
    assert failure.value.code == ExitCode.USAGE
    assert "hidden" not in failure.value.message


def test_files_that_are_no_kubeconfig_and_contexts_that_are_not_there(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "https://127.0.0.1:1", None, TOKEN)
    assert "sesame" not in repr(read(str(file)))
    with pytest.raises(Failure, match="there is no context called 'there'"):
        read(str(file), "there")
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, "current-context": ""}))
    with pytest.raises(Failure, match="current-context: there is none"):
        read(str(file))
    assert read(str(file), "here").server == "https://127.0.0.1:1"
    for text in ("[]", "kind: Pod", "token: 'hidden"):
        file.write_text(text)
        with pytest.raises(Failure) as failure:
            read(str(file))
        assert "hidden" not in failure.value.message
    with pytest.raises(Failure, match="No such file"):
        read(str(tmp_path / "nowhere"))
