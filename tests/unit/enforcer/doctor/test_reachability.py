"""The way to a Console, broken in each way that it breaks: names, routes, proxies, inspection, clocks."""

from __future__ import annotations

import base64
import datetime
import secrets
import socket
from pathlib import Path

import pytest

from tests.unit.enforcer.doctor.network_side import console, context, listening, proxy
from watchword.enforcer.doctor.contact import Trust
from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.doctor.reachability import explore
from watchword.identity.certificates import Authority
from watchword.identity.tokens import fingerprint


class Network:
    """A Console's CA and a stranger's."""

    def __init__(self, directory: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.own, self.stranger = (Authority.create(name, now, secrets.token_bytes) for name in ("own", "stranger"))
        self.pem, self.der = self.own.certificate_pem(), self.own.certificate_der()
        self.directory = directory
        self.tls, self.strange = context(self.own, directory), context(self.stranger, directory)
        self.further = directory / "inspector.pem"
        self.further.write_bytes(self.stranger.certificate_pem())


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Network(tmp_path)


def found(findings: list[Finding], name: str) -> Finding:
    finding = next(finding for finding in findings if finding.name == name)
    assert finding.remedy or finding.result in ("pass", "skip")
    return finding


def test_a_console_that_answers(network: Network) -> None:
    with listening(console(network.tls, network.pem)) as port:
        url = f"https://localhost:{port}"
        findings, allow = explore(url, trust=Trust(network.der), also=[url])
        assert {finding.result for finding in findings} == {"pass"}
        assert [entry["port"] for entry in allow] == [port, port]
        assert allow[0]["reached"] is True
        unknown, _ = explore(url)  # before installation: whoever answers names the CA
        assert {finding.result for finding in unknown} == {"pass"}
        pinned, _ = explore(url, expected=fingerprint(network.der))
        assert found(pinned, "certificate").result == "pass"
        impostor, _ = explore(url, expected=fingerprint(network.stranger.certificate_der()))
        assert found(impostor, "certificate").result == "fail"


@pytest.mark.parametrize(("ahead", "result"), [(0, "pass"), (-120, "degraded"), (3600, "fail"), (-86400, "fail")])
def test_clocks_that_differ(ahead: float, result: str, network: Network) -> None:
    with listening(console(network.tls, network.pem, ahead)) as port:
        findings, _ = explore(f"https://localhost:{port}", trust=Trust(network.der))
    clock = found(findings, "clock")
    assert clock.result == result
    if ahead:
        assert ("ahead of" in clock.detail) == (ahead < 0)


def test_inspection_is_found_and_what_accepts_it(network: Network) -> None:
    asked: list[bytes] = []
    with (
        listening(console(network.tls, network.pem)) as port,
        listening(proxy(asked, inspect=network.strange)) as between,
    ):
        url, way = f"https://localhost:{port}", f"http://127.0.0.1:{between}"
        for trust in (Trust(network.der), Trust()):
            findings, _ = explore(url, way, trust)
            refused = found(findings, "certificate")
            assert refused.result == "fail"
            assert "TLS is inspected" in refused.detail
        findings, _ = explore(url, way, Trust(network.der, str(network.further)))
        assert found(findings, "certificate").result == "degraded"
        assert found(findings, "Console").result == "pass"
    assert asked


def test_through_a_proxy_with_a_password_that_nobody_gets_to_see(network: Network) -> None:
    asked: list[bytes] = []
    with listening(console(network.tls, network.pem)) as port, listening(proxy(asked)) as between:
        way = f"http://joe:hunter2@127.0.0.1:{between}"
        findings, allow = explore(f"https://localhost:{port}", way, Trust(network.der))
        assert {finding.result for finding in findings} == {"pass"}
        assert (allow[0]["host"], allow[0]["port"]) == ("127.0.0.1", between)
        assert "hunter2" not in str(findings) + str(allow)
    assert base64.b64encode(b"joe:hunter2") in asked[0]


def test_a_proxy_that_refuses_or_is_not_there(network: Network) -> None:
    with listening(console(network.tls, network.pem)) as port:
        url = f"https://localhost:{port}"
        with listening(proxy([], "407 Proxy Authentication Required")) as between:
            findings, _ = explore(url, f"http://127.0.0.1:{between}", Trust(network.der))
            assert "gives no tunnel" in found(findings, "Console").detail
            assert "407" in found(findings, "Console").detail
        findings, _ = explore(url, f"http://127.0.0.1:{between}", Trust(network.der))
        assert found(findings, "Console").result == "fail"


def test_nobody_listens_and_no_such_name(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    findings, allow = explore(f"https://127.0.0.1:{port}")
    assert "refused" in found(findings, "Console").detail
    assert allow[0]["reached"] is False
    findings, _ = explore("https://console.invalid:7443")
    assert "cannot be resolved" in found(findings, "Console").detail


def test_what_is_no_tls_or_no_http(network: Network) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def mute(connection: socket.socket) -> None:
        with network.tls.wrap_socket(connection, server_side=True) as secured:
            secured.recv(100)
            secured.sendall(b"nonsense\r\n\r\n")

    for serve in (plain, mute):
        with listening(serve) as port:
            findings, _ = explore(f"https://localhost:{port}")
            assert "does not speak as a Console" in found(findings, "Console").detail


def test_settings_that_cannot_be_used(network: Network) -> None:
    findings, allow = explore("https://localhost:1", trust=Trust(further=str(network.directory / "absent.pem")))
    assert found(findings, "trusted_ca").result == "fail"
    assert allow == []
