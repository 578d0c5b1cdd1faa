"""Where the process of a ping goes, and what it reads of a segment."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from testbed.packets import Option, Segment, mss
from watchword.enforcer.attempt import _leaf
from watchword.enforcer.caller import segment
from watchword.enforcer.errors import UnitError
from watchword.enforcer.hostaddresses import host_addresses
from watchword.identity.transcript import OPTION_KIND, SynOption

SYN = SynOption(0xA0000001, 1, 80, 0x0123456789ABCDEF)


def group(directory: Path, controllers: str) -> Path:
    (directory / "cgroup.subtree_control").write_text(controllers)
    (directory / "cgroup.type").write_text("domain\n")
    return directory


def test_a_process_goes_into_the_units_own_cgroup(tmp_path: Path) -> None:
    with _leaf(group(tmp_path, "")) as where:
        assert where == tmp_path


def test_a_cgroup_that_hands_controllers_down_gets_one_below_it_for_a_while(tmp_path: Path) -> None:
    with _leaf(group(tmp_path, "memory pids\n")) as where:
        assert where.parent == tmp_path
        assert where.is_dir()
    assert not where.exists()


def test_the_root_of_the_tree_takes_processes_all_the_same(tmp_path: Path) -> None:
    (group(tmp_path, "memory\n") / "cgroup.type").unlink()
    with _leaf(tmp_path) as where:
        assert where == tmp_path


def test_a_cgroup_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnitError, match="gone"), _leaf(tmp_path / "gone"):
        pass


@pytest.mark.parametrize(("source", "to"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_a_segment_is_read_with_its_identity(source: str, to: str) -> None:
    made = Segment(source, to, 4000, 80, "S", seq=77, options=[mss(), Option(OPTION_KIND, SYN.data())])
    seen = segment(made.packet())
    assert (seen["flags"], seen["sequence"], seen["mss"]) == (2, 77, 1460)
    assert SynOption.parse(bytes.fromhex(str(seen["identity"]))) == SYN


def test_what_is_no_whole_segment_is_nothing() -> None:
    packet = Segment("10.0.0.1", "10.0.0.2", 4000, 80, "S").packet()
    for length in range(len(packet)):
        seen = segment(packet[:length])
        assert not seen or seen["flags"] == 2
    damaged = Segment("10.0.0.1", "10.0.0.2", 4000, 80, "S", raw_options=bytes([OPTION_KIND, 60, 0x57, 0x57])).packet()
    assert segment(damaged)["identity"] == ""


def test_addresses_are_those_that_others_can_use() -> None:
    for address in host_addresses():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.inet_pton(family, address)
        assert not address.startswith(("127.", "fe80:"))
        assert address != "::1"
