"""What a profile says of networks reaches the kernels of its Enforcers, and goes when it is taken back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from testbed.bed import Testbed
from tests.e2e.installation import WATCHWORD, Installation

_SERVER = """
import socket
with socket.create_server(("", 5432)) as listener:
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"hello")
        connection.close()
"""

_CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], 5432), 1) as connection:
    assert connection.recv(5) == b"hello"
"""

_POLICY = """
APIVersion: 1
label: storage
data:
  enforcerprofiles:
    - name: storage
      excludedNetworks: [{excluded}]
      identityRequiredNetworks: [{required}]
  enforcerprofilemappingpolicies:
    - name: storage
      subject: [["$name=web"], ["$name=db"]]
      object: [["$name=storage"]]
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    """Two hosts whose namespace rejects everything."""
    with Testbed("profiles") as bed:
        made = Installation(bed)
        token = made.console.directory / "install-token"
        made.told("api", "create", "namespace", "--set", "name=shop", *_defaults("Reject"))
        made.told("token", "create", "-n", "/shop", "--uses", "2", "--expires", "30m", "--output", str(token))
        for host in (made.web, made.db):
            (host.directory / "install-token").write_text(token.read_text())
            (host.directory / "install-token").chmod(0o600)
            made.start_enforcer(host)
        server = made.db.start([sys.executable, "-c", _SERVER], cgroup="server")
        made.until(lambda: "listening" in server.output())
        yield made


def _defaults(action: str) -> list[str]:
    return [part for way in ("Incoming", "Outgoing") for part in ("--set", f"defaultPU{way}TrafficAction={action}")]


def connects(made: Installation) -> bool:
    done = made.web.run([sys.executable, "-c", _CALL, made.db.ipv4], check=False, cgroup="client")
    return bool(done.returncode == 0)


def profile(made: Installation, excluded: str = "", required: str = "") -> None:
    path = made.console.directory / "profile.yaml"
    path.write_text(_POLICY.format(excluded=excluded, required=required))
    done = made.console.run([WATCHWORD, "apply", "-n", "/shop", str(path)], env=made.operator, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_profile_opens_and_closes_networks_while_everybody_runs(made: Installation) -> None:
    assert not connects(made)
    profile(made, excluded="10.77.0.0/16")
    made.until(lambda: connects(made))
    for host in (made.web, made.db):
        kept = json.loads(made.enforcer(host, "status", "--json").stdout)
        assert "boundaries" not in json.dumps(kept)
    profile(made)
    made.until(lambda: not connects(made))
    made.told("api", "update", "namespace", "shop", *_defaults("Allow"))
    made.until(lambda: connects(made))
    profile(made, required="10.77.0.0/16")
    # By identity the two may meet; whoever has none may not, from anywhere there.
    stranger = [sys.executable, "-c", _CALL, made.db.ipv4]
    made.until(lambda: made.console.run(stranger, check=False).returncode != 0)
    assert connects(made)
