"""The REST client against a real TLS server on loopback: whom it believes, and what becomes of refusals."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from watchword.cli.client import Client, resource_path
from watchword.cli.failure import ExitCode, Failure
from watchword.cli.profiles import Profile


def certificate(address: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for one address and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test console")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path: /v1/pages counts, /v1/refuse/N refuses with status N, the rest echoes."""

    server: Server

    def answer(self) -> None:
        self.server.seen.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )
        parts = urlsplit(self.path)
        if parts.path == "/v1/pages":
            self.page({key: values[0] for key, values in parse_qs(parts.query).items()})
        elif parts.path.startswith("/v1/refuse/"):
            self.refuse(int(parts.path.rpartition("/")[2]), parts.query)
        else:
            self.send(200, {"path": self.path})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def page(self, query: dict[str, str]) -> None:
        first = int(query.get("after", "0"))
        last = min(2500, first + int(query["limit"]))
        headers = {"X-Next": str(last)} if last < 2500 else {}
        self.send(200, [{"ID": str(number)} for number in range(first, last)], headers)

    def refuse(self, status: int, style: str) -> None:
        if style == "html":
            self.send(status, "<h1>proxy</h1>", content="text/html")
            return
        errors = [{"path": "a[0].b", "message": "is wrong", "remedy": "write c"}] if style == "fields" else []
        self.send(status, {"title": "No", "detail": "because", "status": status, "errors": errors})

    def send(
        self, status: int, body: Any, headers: dict[str, str] | None = None, content: str = "application/json"
    ) -> None:
        data = body.encode() if content == "text/html" else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": content, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


class Server(http.server.ThreadingHTTPServer):
    """An HTTPS server whose certificate is for ``address``, though it listens on 127.0.0.1."""

    daemon_threads = True

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.ca, key = (data.decode() for data in certificate(address))
        (folder / "server.pem").write_text(self.ca + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not believe us is what some tests want."""

    def profile(self, ca: str = "") -> Profile:
        return Profile("test", f"https://127.0.0.1:{self.server_address[1]}", ca or self.ca, "wwc1.me.secret", "/acme")


def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield from running(Server(tmp_path, "127.0.0.1"))


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Server]:
    """Has a certificate of the CA the profile names, but for another address."""
    yield from running(Server(tmp_path, "192.0.2.1"))


def test_a_request_carries_credential_and_namespace(server: Server) -> None:
    with Client(server.profile()) as client:
        assert client.get("/v1/me", a="b c").body == {"path": "/v1/me?a=b+c"}
    ((method, _path, headers),) = server.seen
    assert method == "GET"
    assert headers["authorization"] == "Bearer wwc1.me.secret"
    assert headers["x-namespace"] == "/acme"


def test_another_ca_is_not_believed(server: Server) -> None:
    stranger = certificate("127.0.0.1")[0].decode()
    with Client(server.profile(stranger)) as client, pytest.raises(Failure) as caught:
        client.get("/v1/me")
    assert caught.value.code == ExitCode.UNREACHABLE
    assert "does not prove" in str(caught.value)
    assert server.seen == []


def test_a_certificate_for_another_host_is_not_believed(impostor: Server) -> None:
    with Client(impostor.profile()) as client, pytest.raises(Failure) as caught:
        client.get("/v1/me")
    assert "does not prove" in str(caught.value)
    assert impostor.seen == []


def test_a_certificate_of_the_systems_own_cas_is_not_enough(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "system.pem").write_text(server.ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    with Client(server.profile(certificate("127.0.0.1")[0].decode())) as client, pytest.raises(Failure):
        client.get("/v1/me")
    assert server.seen == []


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(server.profile()) as client:
        assert client.get("/v1/me").status == 200


def test_nobody_there() -> None:
    profile = Profile("test", "https://127.0.0.1:1", certificate("127.0.0.1")[0].decode(), "c")
    with Client(profile) as client, pytest.raises(Failure) as caught:
        client.get("/v1/me")
    assert caught.value.code == ExitCode.UNREACHABLE
    assert "doctor" in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ExitCode.REFUSED),
        (401, ExitCode.UNAUTHORISED),
        (403, ExitCode.UNAUTHORISED),
        (404, ExitCode.NOT_FOUND),
        (409, ExitCode.CONFLICT),
        (412, ExitCode.CONFLICT),
        (422, ExitCode.REFUSED),
        (423, ExitCode.REFUSED),
        (500, ExitCode.FAILED),
    ],
)
def test_refusals_have_exit_codes(server: Server, status: int, code: ExitCode) -> None:
    with Client(server.profile()) as client, pytest.raises(Failure) as caught:
        client.get(f"/v1/refuse/{status}")
    assert caught.value.code == code
    assert str(caught.value) == "No: because"
    assert caught.value.document()["problem"]["status"] == status


def test_a_refusal_names_field_and_remedy(server: Server) -> None:
    with Client(server.profile()) as client, pytest.raises(Failure) as caught:
        client.get("/v1/refuse/422?fields")
    assert [vars(each) for each in caught.value.fields] == [
        {"path": "a[0].b", "detail": "is wrong", "remedy": "write c"}
    ]


def test_an_answer_that_is_no_problem_document(server: Server) -> None:
    with Client(server.profile()) as client, pytest.raises(Failure, match="502 Bad Gateway"):
        client.get("/v1/refuse/502?html")


@pytest.mark.parametrize(("limit", "count", "requests"), [(0, 2500, 3), (10, 10, 1), (1000, 1000, 1), (1500, 1500, 2)])
def test_lists_are_read_page_by_page(server: Server, limit: int, count: int, requests: int) -> None:
    with Client(server.profile()) as client:
        records = list(client.pages("/v1/pages", {"order": "name"}, limit=limit))
    assert [record["ID"] for record in records] == [str(number) for number in range(count)]
    assert len(server.seen) == requests
    assert all("order=name" in path for _method, path, _headers in server.seen)


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert resource_path("namespaces", "/acme/prod") == "/v1/namespaces/%2Facme%2Fprod"
    assert resource_path("tokens", "../enforcers/x?y=1#z") == "/v1/tokens/..%2Fenforcers%2Fx%3Fy%3D1%23z"
