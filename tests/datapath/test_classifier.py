"""How the programs hang at devices: the clsact hook of kernels before 6.6, forced here, beside the TCX hook.

The tests named for TCX need it; all others pass on every supported kernel (tests/kernels runs them on Debian's).
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import Host
from tests.datapath.ground import Ground, grounds, pins_of, until
from watchword.enforcer.datapath.base import DatapathError, Placement
from watchword.enforcer.datapath.ebpf.attachments import HOOK_VARIABLE, Attachments
from watchword.enforcer.datapath.ebpf.clsact import HANDLE, PRIORITY

#: A classifier that accepts all packets and lets no later filter see them.
ACCEPT = ["bpf", "da", "bytecode", "1,6 0 0 0,"]


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv(HOOK_VARIABLE, "clsact")
    with grounds("classifier") as ground:
        yield ground


@pytest.fixture
def tcx_ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv(HOOK_VARIABLE, "tcx")
    with grounds("classifier") as ground:
        yield ground


def tc(host: Host, *words: str) -> list[dict[str, Any]]:
    printed = host.run(["tc", "-json", *words]).stdout
    return list(json.loads(printed)) if printed.strip() else []


def filters(host: Host, device: str = "eth0", direction: str = "egress") -> list[dict[str, Any]]:
    """The options of all filters there, in the order in which they run."""
    listed = tc(host, "filter", "show", "dev", device, direction)
    return [entry["options"] | {"pref": entry["pref"]} for entry in listed if "handle" in entry.get("options", {})]


def ours(host: Host, device: str = "eth0") -> list[dict[str, Any]]:
    return [each for each in filters(host, device) if int(each["handle"], 16) == HANDLE]


def qdiscs(host: Host, device: str = "eth0") -> set[str]:
    return {each["kind"] for each in tc(host, "qdisc", "show", "dev", device)}


def stamped(host: Host) -> list[bool]:
    return [device.name.startswith("stamp_") for device in pins_of(host).iterdir()]


def meets(ground: Ground) -> bool:
    """Whether the client proves itself to the server in a new connection."""
    before = ground.server.counters()["proved"]
    with ground.listen() as listener, ground.connect(listener) as connection:
        connection.exchange()
    return ground.server.counters()["proved"] == before + 1


def refused(ground: Ground) -> bool:
    """Whether an unstamped client does not get in: what shows that the hook was needed."""
    with ground.listen() as listener:
        try:
            ground.connect(listener, timeout=0.5).close()
        except (TimeoutError, OSError):
            return True
    return False


def test_the_kernel_is_asked_which_hook_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOOK_VARIABLE, raising=False)
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    assert release is not None
    expected = "tcx" if (int(release[1]), int(release[2])) >= (6, 6) else "clsact"
    assert Attachments(tmp_path, tmp_path, {}).hook() == expected


def test_a_hook_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOOK_VARIABLE, "xdp")
    with pytest.raises(DatapathError, match="set it to tcx or clsact"):
        Attachments(tmp_path, tmp_path, {}).hook()


def test_both_ends_prove_themselves_through_the_filter(ground: Ground) -> None:
    assert meets(ground)
    for side in ground.sides:
        assert not any(stamped(side.host))
        for device in ("lo", "eth0"):
            (found,) = ours(side.host, device)
            assert found["pref"] == PRIORITY
            assert found["direct-action"] is True


def test_a_device_without_ethernet_header_gets_the_other_program(ground: Ground) -> None:
    ground.client.host.run(["ip", "tuntap", "add", "tun7", "mode", "tun"])
    ground.client.fence.call("attend")
    assert ours(ground.client.host, "tun7")[0]["prog"]["name"] == "stamp_plain"
    assert ours(ground.client.host, "eth0")[0]["prog"]["name"] == "stamp_ethernet"


def test_a_later_agent_replaces_the_program_and_no_connection_notices(ground: Ground) -> None:
    before = ours(ground.client.host)
    done, failures, made = threading.Event(), list[str](), list[int]()

    def connect() -> None:
        with ground.listen() as listener:
            while not done.is_set():
                try:
                    with ground.connect(listener) as connection:
                        connection.exchange()
                    made.append(1)
                except OSError as error:
                    failures.append(repr(error))

    unproved = ground.server.counters()["proved"]
    traffic = threading.Thread(target=connect)
    traffic.start()
    try:
        until(lambda: len(made) > 5)
        ground.client.fence.kill()
        ground.client.fence.start()
        enough = len(made) + 5
        until(lambda: len(made) > enough)
    finally:
        done.set()
        traffic.join()
    after = ours(ground.client.host)
    assert failures == []
    assert ground.server.counters()["proved"] - unproved == len(made)
    assert len(after) == len(before) == 1
    assert after[0]["prog"]["id"] != before[0]["prog"]["id"]


@pytest.mark.parametrize(
    "removed", [["filter", "del", "dev", "eth0", "egress"], ["qdisc", "del", "dev", "eth0", "clsact"]]
)
def test_what_somebody_removed_is_put_back(ground: Ground, removed: list[str]) -> None:
    ground.client.host.run(["tc", *removed])
    assert refused(ground)
    ground.client.fence.call("attend")
    assert len(ours(ground.client.host)) == 1
    assert meets(ground)


def test_a_filter_of_others_that_accepts_all_does_not_hide_ours(ground: Ground) -> None:
    host = ground.client.host
    host.run(["tc", "filter", "del", "dev", "eth0", "egress"])
    host.run(["tc", "filter", "add", "dev", "eth0", "egress", "prio", str(PRIORITY), *ACCEPT])
    assert refused(ground)
    ground.client.fence.call("attend")
    assert meets(ground)


def test_removal_leaves_nothing(ground: Ground) -> None:
    host = ground.client.host
    assert {"clsact"} <= qdiscs(host) & qdiscs(host, "lo")
    ground.client.fence.call("uninstall")
    assert (qdiscs(host), qdiscs(host, "lo")) == ({"noqueue"}, {"noqueue"})
    assert not (host.pins / "watchword").exists()


def test_removal_leaves_nothing_when_the_agent_had_died(ground: Ground) -> None:
    ground.client.fence.kill()
    ground.client.fence.close()
    assert qdiscs(ground.client.host) == {"noqueue"}


def test_removal_leaves_what_others_put_on_our_qdisc(ground: Ground) -> None:
    host = ground.client.host
    host.run(["tc", "filter", "add", "dev", "eth0", "egress", "prio", "1", *ACCEPT])
    host.run(["tc", "filter", "add", "dev", "lo", "ingress", "prio", "7", *ACCEPT])
    ground.client.fence.call("uninstall")
    assert [each["handle"] for each in filters(host)] == ["0x1"]
    assert [each["pref"] for each in filters(host, "lo", "ingress")] == [7]


def test_removal_leaves_the_qdisc_of_others(ground: Ground) -> None:
    host = ground.client.host
    ground.client.fence.call("uninstall")
    host.run(["tc", "qdisc", "add", "dev", "eth0", "clsact"])
    start_again(ground)
    assert meets(ground)
    ground.client.fence.call("uninstall")
    assert (qdiscs(host), filters(host)) == ({"noqueue", "clsact"}, [])
    assert qdiscs(host, "lo") == {"noqueue"}


def test_a_device_that_takes_no_filter_is_named_and_holds_up_no_other(ground: Ground) -> None:
    # An ingress qdisc takes filters for egress without complaint and runs them on what comes in.
    host = ground.client.host
    host.run(["tc", "qdisc", "del", "dev", "eth0", "clsact"])
    host.run(["tc", "qdisc", "add", "dev", "eth0", "ingress"])
    host.run(["ip", "link", "add", "later", "type", "veth", "peer", "name", "last"])
    with pytest.raises(DatapathError, match="eth0 has a qdisc of kind ingress"):
        ground.client.fence.call("attend")
    assert len(ours(host, "later")) == len(ours(host, "last")) == 1
    assert filters(host, "eth0", "ingress") == []
    host.run(["tc", "qdisc", "del", "dev", "eth0", "ingress"])
    ground.client.fence.call("attend")
    assert meets(ground)


def test_a_priority_that_filters_of_one_protocol_hold_is_named(ground: Ground) -> None:
    host = ground.client.host
    host.run(["tc", "filter", "del", "dev", "eth0", "egress"])
    host.run(["tc", "filter", "add", "dev", "eth0", "egress", "prio", "1", "protocol", "ip", *ACCEPT])
    with pytest.raises(DatapathError, match="attach to eth0: priority 1 at egress is for BPF"):
        ground.client.fence.call("attend")


def test_tcx_link_that_somebody_detached_is_put_back(tcx_ground: Ground) -> None:
    host = tcx_ground.client.host
    pin = pins_of(host) / f"stamp_{interface(host)}"
    host.run(["bpftool", "link", "detach", "pinned", str(pin)])
    assert refused(tcx_ground)
    tcx_ground.client.fence.call("attend")
    assert meets(tcx_ground)


def test_tcx_gives_way_when_the_other_hook_is_chosen_and_comes_back(
    tcx_ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tcx_ground.client.host
    assert any(stamped(host))
    for hook, links, qdisc in (("clsact", False, {"noqueue", "clsact"}), ("tcx", True, {"noqueue"})):
        monkeypatch.setenv(HOOK_VARIABLE, hook)
        tcx_ground.client.fence.kill()
        tcx_ground.client.fence.start()
        assert (any(stamped(host)), qdiscs(host)) == (links, qdisc)
        assert meets(tcx_ground)


def interface(host: Host) -> int:
    with host.enter():
        return socket.if_nametoindex("eth0")


def start_again(ground: Ground) -> None:
    """A new agent on the client after the old one was uninstalled."""
    ground.client.fence.kill()
    ground.client.fence.start()
    ground.client.fence.call("place", [Placement("client", str(ground.client.host.cgroup))])
    ground.trust()
    ground.allow()
