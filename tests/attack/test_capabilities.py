"""A unit with CAP_NET_ADMIN and CAP_NET_RAW in the host's own network namespace: it cannot take the programs away.

It may change queueing disciplines and filters, and try every way to a link, program, map, pin or cgroup. What its
sockets send is policed all the same, its connections prove who they are, and nobody without a proof comes in.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.packets import Segment
from tests.datapath.ground import Ground, grounds
from watchword.enforcer.datapath.ebpf import libbpf

ROOT = Path(__file__).parents[2]
_CAPABILITIES = "+net_admin,+net_raw"
_AS_UNIT = [
    *("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"),
    *("--bounding-set", f"-all,{_CAPABILITIES}", "--inh-caps", f"-all,{_CAPABILITIES}"),
    *("--ambient-caps", f"-all,{_CAPABILITIES}"),
]

#: Tries every number and path that it is given, and prints what worked.
GRASP = """
import ctypes, json, os, sys
pins, groups, own, numbers = sys.argv[1], sys.argv[2].split(","), sys.argv[3], json.loads(sys.argv[4])
lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
worked = []
for kind, ids in numbers.items():
    for number in ids:
        fd = getattr(lib, f"bpf_{kind}_get_fd_by_id")(ctypes.c_uint32(number))
        if fd >= 0:
            worked.append(f"open {kind} {number}")
            if kind == "link" and lib.bpf_link_detach(fd) == 0:
                worked.append(f"detach {number}")
for name in ("enforce_in", "refuse4", "state", "live"):
    fd = lib.bpf_obj_get(f"{pins}/{name}".encode())
    if fd >= 0:
        worked.append(f"open {name}")
    try:
        os.unlink(f"{pins}/{name}")
        worked.append(f"remove {name}")
    except OSError:
        pass
for group in groups:
    fd = os.open(group, os.O_RDONLY)
    for kind in (0, 1, 10, 11):
        if lib.bpf_prog_detach(fd, kind) == 0:
            worked.append(f"detach {kind} from {group}")
    if group == own:
        continue
    try:
        with open(f"{group}/cgroup.procs", "w") as file:
            file.write("0")
        worked.append(f"move to {group}")
    except OSError:
        pass
print(json.dumps(worked))
"""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("capable") as made:
        yield made


def numbers_of(pins: Path) -> dict[str, list[int]]:
    """IDs of the links and programs of a datapath, as its owner may ask for them."""
    found: dict[str, list[int]] = {"link": [], "prog": []}
    for path in pins.iterdir():
        if not path.name.startswith(("enforce", "refuse", "stamp_")):
            continue
        fd = libbpf.pinned(str(path))
        assert fd is not None
        with open(fd, "rb", closefd=True) as held:
            found["prog"].append(libbpf.link_program("ask", held.fileno()))
            info = Path(f"/proc/self/fdinfo/{held.fileno()}").read_text()
        found["link"] += [int(line.split()[1]) for line in info.splitlines() if line.startswith("link_id")]
    return found


def still_policed(ground: Ground) -> None:
    """Connections prove themselves, strangers stay out, and what is made by hand does not leave."""
    with ground.listen() as listener:
        with ground.connect(listener) as connection:
            connection.exchange()
            assert ground.server.flow(listener.getsockname()[1]).proved
        listener.settimeout(0.3)
        with ground.client.host.socket(socket.AF_INET, socket.SOCK_STREAM) as stranger:
            stranger.settimeout(0.3)
            with pytest.raises(TimeoutError):
                stranger.connect((ground.server.host.ipv4, listener.getsockname()[1]))
    port = ground.port()
    with ground.server.host.capture(f"dst port {port}") as arrived:
        made = Segment(ground.client.host.ipv4, ground.server.host.ipv4, 4000, port, "S")
        ground.client.host.send_raw(made, cgroup="app")
        ground.link.inject(ground.server.host, made.with_(sport=9))
        arrived.wait(lambda s: s.sport == 9)
    assert [s.sport for s in arrived.segments()] == [9]


def test_queueing_disciplines_and_filters_are_no_way_past(ground: Ground) -> None:
    device = ground.link.end(ground.client.host).device
    commands = [
        f"qdisc replace dev {device} root pfifo limit 1000",
        f"qdisc del dev {device} root",
        f"qdisc del dev {device} clsact",
        f"qdisc replace dev {device} clsact",
        f"filter del dev {device} egress",
        f"filter add dev {device} egress prio 1 matchall action pass",
        f"qdisc add dev {device} root prio",
        "qdisc replace dev lo root pfifo",
    ]
    worked = []
    for command in commands:
        done = ground.client.host.run([*_AS_UNIT, "tc", *command.split()], cgroup="app", check=False)
        worked += [command] if done.returncode == 0 else []
        still_policed(ground)
    assert len(worked) >= 5, "the unit really has the capability"
    for command in (f"qdisc del dev {device} clsact", f"qdisc del dev {device} root"):
        ground.client.host.run(["tc", *command.split()], check=False)


def test_links_programs_maps_pins_and_cgroups_are_out_of_reach(ground: Ground) -> None:
    host, pins = ground.client.host, ground.client.pinned()
    groups = [host.cgroup, host.subgroup("app"), host.subgroup("elsewhere"), host.cgroup.parent]
    numbers = numbers_of(pins)
    assert numbers["link"]
    arguments = [str(pins), ",".join(map(str, groups)), str(host.subgroup("app")), json.dumps(numbers)]
    done = host.run([*_AS_UNIT, sys.executable, "-c", GRASP, *arguments], cgroup="app", cwd=ROOT)
    assert json.loads(done.stdout) == []
    still_policed(ground)
