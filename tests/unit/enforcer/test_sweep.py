"""When the agent looks at sockets, and when it need not."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchword.enforcer.datapath.ebpf.sweep import is_still, tcp_activity

SNMP = """Ip: Forwarding DefaultTTL InReceives
Ip: 2 64 80
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs
Tcp: 1 200 120000 -1 30 12 4 5 6 7000 8000
Udp: InDatagrams NoPorts
Udp: 1 2
"""


def test_activity_is_opened_connections_and_segments(tmp_path: Path) -> None:
    snmp = tmp_path / "snmp"
    snmp.write_text(SNMP)
    assert tcp_activity(snmp) == (42, 15000)


def test_this_kernel_says_it_as_well() -> None:
    opened, segments = tcp_activity()
    assert opened >= 0
    assert segments >= opened


@pytest.mark.parametrize(
    ("now", "still"), [((42, 15000), True), ((42, 15064), True), ((42, 15065), False), ((43, 15000), False)]
)
def test_a_host_keeps_still_without_connections_and_with_hardly_a_segment(now: tuple[int, int], still: bool) -> None:
    assert is_still((42, 15000), now) is still
