"""stunnel on both hosts: the client speaks to its own host, the two stunnels to each other by TLS with certificates of
both, the server's to the service on its host. Each checks the other's chain and name. What is not said is its default.
"""

from __future__ import annotations

from pathlib import Path

from bench.fenced import PORT, STREAM_PORT
from bench.peers.certificates import Authority, host_name
from bench.peers.contender import GROUP, Contender, Legs, Target, debian_version, program

_GLOBAL = """\
foreground = quiet
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
"""

LEGS = Legs("127.0.0.2", {PORT: 18000, STREAM_PORT: 19000})


def settings(side: str, server: str, authority: Path, own: tuple[Path, Path]) -> str:
    """The settings of ``client`` or ``server``; ``server`` is the server's address, ``own`` certificate and key."""
    text = _GLOBAL
    for plain, encrypted in LEGS.encrypted.items():
        accept, connect = f"{LEGS.local}:{plain}", f"{server}:{encrypted}"
        if side == "server":
            accept, connect = connect, f"127.0.0.1:{plain}"
        text += (
            f"\n[{plain}]\nclient = {'yes' if side == 'client' else 'no'}\naccept = {accept}\nconnect = {connect}\n"
            f"cert = {own[0]}\nkey = {own[1]}\nCAfile = {authority}\nverifyChain = yes\n"
            f"checkHost = {host_name('server' if side == 'client' else 'client')}\n"
        )
    return text


class Stunnel(Contender):
    """One ``stunnel4`` on each host."""

    name = "stunnel"

    def version(self) -> str:
        """The Debian package's."""
        program("stunnel4", "stunnel4")
        return debian_version("stunnel4")

    def start(self) -> Target:
        """Make authority and certificates, start both."""
        authority = Authority(self.directory("server"))
        for side, who, host in (("server", "server", self.pair.server), ("client", self.caller, self.pair.client)):
            text = settings(side, self.pair.server.ipv4, authority.certificate, authority.issue(who))
            command = [program("stunnel4", "stunnel4"), str(self.settings(side, text))]
            self.processes.append(host.start(command, cgroup=GROUP))
        return Target(LEGS.local, ports=1)
