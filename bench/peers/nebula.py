"""Nebula: an overlay of encrypted UDP, every host with a certificate that names its groups, firewalls by group.

As its documentation sets it up: an authority of one's own, the server as lighthouse, MTU 1300 in the tunnel, everything
not named denied. Both ends name the other's group, as Watchword's rulesets do. Files are JSON, which is YAML.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.fenced import PORT, PORTS, STREAM_PORT
from bench.peers.contender import GROUP, Contender, Target, debian_version, program

_ADDRESSES = {"server": "100.64.77.1", "client": "100.64.77.2"}
_UDP = 4242


def firewall(group: str) -> list[dict[str, Any]]:
    """Rules that allow the measured ports with members of one group."""
    ports = f"{PORT}-{PORT + PORTS - 1}", str(STREAM_PORT)
    return [{"port": port, "proto": "tcp", "groups": [group]} for port in ports]


def settings(side: str, listen: str, server: str, files: Path) -> dict[str, Any]:
    """The settings of ``client`` or ``server``; ``server`` is the lighthouse's address, ``files`` has certificates."""
    serves = side == "server"
    lighthouse = _ADDRESSES["server"]
    return {
        "pki": {"ca": str(files / "ca.crt"), "cert": str(files / f"{side}.crt"), "key": str(files / f"{side}.key")},
        "static_host_map": {} if serves else {lighthouse: [f"{server}:{_UDP}"]},
        "lighthouse": {"am_lighthouse": serves, "interval": 60, "hosts": [] if serves else [lighthouse]},
        "listen": {"host": listen, "port": _UDP},
        "tun": {"dev": "nebula", "mtu": 1300},
        "logging": {"level": "warning", "format": "text"},
        "firewall": {
            "inbound": firewall("client") if serves else [],
            "outbound": [] if serves else firewall("server"),
        },
    }


class Nebula(Contender):
    """One ``nebula`` on each host."""

    name = "nebula"

    def version(self) -> str:
        """The Debian package's."""
        program("nebula", "nebula")
        return debian_version("nebula")

    def start(self) -> Target:
        """Make authority and certificates, start both."""
        files = Path(tempfile.mkdtemp(dir=self.directory("server")))  # it overwrites no key
        self._certify("ca", "-name", "bench", "-out-crt", str(files / "ca.crt"), "-out-key", str(files / "ca.key"))
        hosts = {"server": self.pair.server, "client": self.pair.client}
        for side, host in hosts.items():
            self._sign(files, side)
            text = json.dumps(settings(side, host.ipv4, self.pair.server.ipv4, files), indent=1)
            command = [program("nebula", "nebula"), "-config", str(self.settings(side, text))]
            self.processes.append(host.start(command, cgroup=GROUP))
        return Target(_ADDRESSES["server"])

    def _sign(self, files: Path, side: str) -> None:
        group = self.caller if side == "client" else side
        self._certify(
            *("sign", "-ca-crt", str(files / "ca.crt"), "-ca-key", str(files / "ca.key"), "-name", side),
            *("-ip", f"{_ADDRESSES[side]}/24", "-groups", group),
            *("-out-crt", str(files / f"{side}.crt"), "-out-key", str(files / f"{side}.key")),
        )

    def _certify(self, *arguments: str) -> None:
        done = subprocess.run(
            [program("nebula-cert", "nebula"), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"nebula-cert {arguments[0]} failed: {done.stderr.strip()}")
