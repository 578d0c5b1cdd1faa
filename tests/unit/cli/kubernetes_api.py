"""A Kubernetes API over TLS, for what ``doctor`` asks: users by token or certificate, permissions, lists in pieces.

Answers have the form of the real API's (``meta/v1`` Status, NodeList with ``continue``, 201 for reviews).
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.peers.certificates import Authority

NODES = "/api/v1/nodes"
DEPLOYMENTS = "/apis/apps/v1/deployments"
OPENSHIFT = "/apis/config.openshift.io/v1/clusterversions/version"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def node(name: str, system: str = "linux", reason: str = "CalicoIsUp", **labels: str) -> dict[str, Any]:
    """A node as the API writes it."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": system, **labels}},
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {
            "nodeInfo": {"operatingSystem": system, "kubeletVersion": "v1.30.2"},
            "conditions": [
                {"type": "NetworkUnavailable", "status": "False", "reason": reason},
                {"type": "Ready", "status": "True", "reason": "KubeletReady"},
            ],
        },
    }


def istiod(image: str) -> dict[str, Any]:
    """Its deployment."""
    containers = [{"name": "discovery", "image": image}]
    return {
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


@dataclass
class FakeCluster:
    """What there is, and who may ask for it."""

    version: str = "v1.30.2"
    nodes: list[dict[str, Any]] = field(default_factory=lambda: [node("a")])
    istiods: list[dict[str, Any]] = field(default_factory=list)
    openshift: str = ""
    tokens: dict[str, str] = field(default_factory=lambda: {"sesame": "admin", "guess": "guest"})
    forbidden: dict[str, set[str]] = field(default_factory=lambda: {"guest": {NODES, DEPLOYMENTS, OPENSHIFT}})
    asked: list[tuple[str, str]] = field(default_factory=list)  # by whom, for what

    def answer(self, user: str, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """What a GET brings."""
        self.asked.append((user, path))
        if path in self.forbidden.get(user, ()) or (user == "system:anonymous" and path != "/version"):
            return 403, _status(403, "Forbidden", f'User "{user}" cannot list resource at {path}')
        if path == "/version":
            return 200, {"major": "1", "minor": "30", "gitVersion": self.version}
        if path == "/apis":
            names = ["apps", "authorization.k8s.io", *(["config.openshift.io"] if self.openshift else [])]
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": name} for name in names]}
        if path == OPENSHIFT and self.openshift:
            return 200, {"kind": "ClusterVersion", "status": {"desired": {"version": self.openshift}}}
        if path == NODES:
            return 200, _piece("NodeList", self.nodes, query)
        if path == DEPLOYMENTS and query.get("labelSelector") == ["app=istiod"]:
            return 200, _piece("DeploymentList", self.istiods, query)
        return 404, _status(404, "NotFound", "the server could not find the requested resource")

    def review(self, user: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A SelfSubjectAccessReview: the same object with its status."""
        wanted = body["spec"]["resourceAttributes"]
        assert wanted == {"group": "rbac.authorization.k8s.io", "resource": "clusterroles", "verb": "create"}
        return 201, {**body, "status": {"allowed": user == "admin", "reason": "RBAC"}}


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _piece(kind: str, items: list[dict[str, Any]], query: dict[str, list[str]]) -> dict[str, Any]:
    begin, size = int(query.get("continue", ["0"])[0] or 0), int(query["limit"][0])
    end = begin + size
    metadata = {"resourceVersion": "71", **({"continue": str(end)} if end < len(items) else {})}
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items[begin:end]}


@contextlib.contextmanager
def serving(cluster: FakeCluster, authority: Authority) -> Iterator[str]:
    """The API at a free port of loopback, with a certificate for ``server.bench``; where it is."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(lambda user, path, query: cluster.answer(user, path, query))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply(lambda user, path, _query: cluster.review(user, body))

        def reply(self, make: Any) -> None:
            parts = urlsplit(self.path)
            if (user := self.user()) is None:
                code, document = 401, _status(401, "Unauthorized", "Unauthorized")
            else:
                code, document = make(user, parts.path, parse_qs(parts.query, keep_blank_values=True))
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def user(self) -> str | None:
            secured = self.connection
            assert isinstance(secured, ssl.SSLSocket)
            if shown := secured.getpeercert():
                subject: Any = shown["subject"]
                return str(dict(pair for (pair,) in subject)["commonName"])
            if (given := self.headers.get("Authorization")) is None:
                return "system:anonymous"
            return cluster.tokens.get(given.removeprefix("Bearer "))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing is written to the terminal."""

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(*map(str, authority.issue("server")))
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that believes nobody hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(path: Path, server: str, authority: Authority | None, user: dict[str, Any], /, **cluster: Any) -> Path:
    """A file with one context; ``cluster`` are further fields of its cluster."""
    believed = {"certificate-authority": str(authority.certificate)} if authority else {}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": server, "tls-server-name": "server.bench", **believed, **cluster}}
        ],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(document))
    return path
