"""Real look-ups by real clients: a process of a unit that asks its system's resolver library, and connects at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from testbed import Host

#: Looks a name up as every program does, and connects to each address found.
_CLIENT = """
import json, socket, sys
port, family, options, told = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], []
for name in sys.argv[4:]:
    try:
        found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        told.append([name, "", f"no address: {error}"])
        continue
    for kind, sort, protocol, _, address in found:
        with socket.socket(kind, sort, protocol) as caller:
            caller.settimeout(5)
            try:
                caller.connect(address)
                outcome = "connected"
            except OSError as error:
                outcome = type(error).__name__
        told.append([name, address[0], outcome])
print(json.dumps(told))
"""


def visit(
    host: Host,
    resolver: str,
    port: int,
    names: Sequence[str],
    *,
    family: int = 0,
    options: str = "timeout:2 attempts:2",
    cgroup: str = "app",
) -> list[tuple[str, str, str]]:
    """Look each name up with getaddrinfo() and connect to every address: (name, address, outcome)."""
    config = host.directory / "resolv.conf"
    config.write_text(f"nameserver {resolver}\noptions {options}\n")
    order = host.directory / "nsswitch.conf"
    order.write_text("hosts: dns\n")
    mounts = f"mount --bind {config} /etc/resolv.conf && mount --bind {order} /etc/nsswitch.conf"
    client = [sys.executable, "-c", _CLIENT, str(port), str(family), "", *names]
    done = host.run(["unshare", "--mount", "--", "sh", "-c", f'{mounts} && exec "$@"', "sh", *client], cgroup=cgroup)
    return [(name, address, outcome) for name, address, outcome in json.loads(done.stdout)]
