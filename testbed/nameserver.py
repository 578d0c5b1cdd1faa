"""A real name server (dnsmasq) on a simulated host: it answers for the names it is given, over UDP and TCP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.host import Host
from testbed.services import Service


class NameServer(Service):
    """dnsmasq at ``addresses``, port 53.

    ``records`` are addresses by name, ``aliases`` names by alias; ``ttl`` is that of all answers, seconds.
    """

    def __init__(
        self,
        host: Host,
        addresses: Sequence[str],
        records: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str] | None = None,
        *,
        ttl: int = 300,
        cgroup: str = "resolver",
        name: str = "names",
    ) -> None:
        directory = host.directory / f"dnsmasq-{name}"
        directory.mkdir()
        hosts = directory / "hosts"
        hosts.write_text("".join(f"{address} {name}\n" for name, found in records.items() for address in found))
        command = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--group=root",
            f"--pid-file={directory / 'pid'}",
            "--no-resolv",
            "--no-hosts",
            f"--addn-hosts={hosts}",
            "--bind-interfaces",
            "--except-interface=none",
            *(f"--listen-address={address}" for address in addresses),
            *(f"--cname={alias},{target}" for alias, target in (aliases or {}).items()),
            f"--local-ttl={ttl}",
            "--local=//",
            "--local=/#/",
            "--edns-packet-max=4096",
        ]
        process = host.start(command, cgroup=cgroup, log=directory / "log")
        super().__init__(host, 53, process)
        self.await_ready()
