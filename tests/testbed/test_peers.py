"""The benchmark of other products: its arithmetic, its table, and that its settings demand to know the peer."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from cryptography import x509

from bench.fenced import PORT, PORTS, STREAM_PORT
from bench.peers import envoy, nebula, stunnel
from bench.peers.certificates import Authority
from bench.peers.contender import NotInstalledError, debian_version, program, resident_mb
from bench.peers.figures import FIGURES, Turn, figures, order, rounded, table
from bench.peers.turns import usage_us

OWN = Path("/x/own.pem"), Path("/x/own.key")


def test_each_turn_is_compared_with_the_bare_one_of_its_round() -> None:
    bare = [Turn(100, 50, 10, 60), Turn(100, 50, 10, 60), Turn(25, 200, 2.5, 60)]
    peer = [Turn(50, 80, 4, 200), Turn(40, 90, 4, 220), Turn(12.5, 240, 1, 210)]  # the machine became slower at the end
    found = figures(bare, peer)
    assert found == {
        "connection_ratio": 0.5,
        "per_second": 40,
        "added_latency_us": 40,
        "throughput_ratio": 0.4,
        "gbit_per_second": 4,
        "cpu_us": 210,
    }
    with pytest.raises(ValueError, match="2 turns and 3 of the bare kernel"):
        figures(bare, peer[:2])
    with pytest.raises(ValueError, match="above zero"):
        Turn(100, 50, 0, 60)


def test_nobody_always_follows_the_same() -> None:
    assert order(["a", "b", "c"], 0) == order(["a", "b", "c"], 2) == ["a", "b", "c"]
    assert order(["a", "b", "c"], 1) == ["c", "b", "a"]


def test_the_table_names_who_failed_and_the_line_has_every_key() -> None:
    found = {"nebula": {**dict.fromkeys(FIGURES, 0.5), "rss_mb": None}}
    head, row, failure = table(found, {"envoy": "not installed"}).splitlines()
    assert all(heading in head for heading, _ in FIGURES.values())
    assert row.split() == ["nebula", "0.500", "0", "0.5", "0.500", "0.50", "0.5", "-"]
    assert failure == "envoy failed: not installed"
    assert rounded({"connection_ratio": 0.123456}) == {**dict.fromkeys(FIGURES), "connection_ratio": 0.1235}


def test_memory_and_processor_time_are_read_as_the_kernel_writes_them() -> None:
    assert resident_mb("Name:\tx\nVmRSS:\t   20000 kB\n") == 20.48
    with pytest.raises(RuntimeError, match="has ended"):
        resident_mb("Name:\tx\nState:\tZ (zombie)\n")
    assert usage_us("usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n") == 1234


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(NotInstalledError, match="no-such-program is not installed: apt-get install its-package"):
        program("no-such-program", "its-package")
    assert debian_version("libc6")


def test_certificates_name_the_workload_and_the_authority_keeps_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    assert key.stat().st_mode & 0o777 == 0o600
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    read.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.read_bytes()))
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == ["client.bench", "spiffe://bench/client"]
    assert [path.name for path in tmp_path.glob("*.key")] == ["client.key"]


def test_nebula_lets_in_the_measured_ports_from_one_group_and_nothing_else() -> None:
    serving = nebula.settings("server", "10.0.0.1", "10.0.0.1", tmp := Path("/x"))
    calling = nebula.settings("client", "10.0.0.2", "10.0.0.1", tmp)
    ports = [f"{PORT}-{PORT + PORTS - 1}", str(STREAM_PORT)]
    assert serving["firewall"]["inbound"] == [{"port": port, "proto": "tcp", "groups": ["client"]} for port in ports]
    assert calling["firewall"]["outbound"] == [{"port": port, "proto": "tcp", "groups": ["server"]} for port in ports]
    assert serving["firewall"]["outbound"] == calling["firewall"]["inbound"] == []
    assert calling["static_host_map"] == {calling["lighthouse"]["hosts"][0]: ["10.0.0.1:4242"]}
    assert (serving["lighthouse"]["am_lighthouse"], calling["lighthouse"]["am_lighthouse"]) == (True, False)


@pytest.mark.parametrize(("side", "other"), [("client", "server"), ("server", "client")])
def test_both_stunnels_check_chain_and_name_of_the_other(side: str, other: str) -> None:
    head, *services = stunnel.settings(side, "10.0.0.1", Path("/x/ca.pem"), OWN).split("\n[")
    assert "verify" not in head
    assert len(services) == 2
    for service in services:
        lines = service.splitlines()
        assert {"verifyChain = yes", "CAfile = /x/ca.pem", f"checkHost = {other}.bench"} <= set(lines)
        assert f"client = {'yes' if side == 'client' else 'no'}" in lines


def test_both_envoys_demand_a_certificate_with_the_identity_of_the_other() -> None:
    for side, other in itertools.permutations(("client", "server")):
        document = envoy.settings(side, "10.0.0.1", Path("/x/ca.pem"), OWN)["static_resources"]
        sockets = [
            each["transport_socket"]["typed_config"]
            for listener in document["listeners"]
            for each in [*listener["filter_chains"], *document["clusters"]]
            if "transport_socket" in each
        ]
        assert len(sockets) >= 2
        for socket in sockets:
            checked = socket["common_tls_context"]["validation_context"]
            assert checked["trusted_ca"] == {"filename": "/x/ca.pem"}
            (name,) = checked["match_typed_subject_alt_names"]
            assert name == {"san_type": "URI", "matcher": {"exact": f"spiffe://bench/{other}"}}
            assert socket.get("require_client_certificate", False) is (side == "server")
        json.dumps(document)


def test_proxies_that_run_at_the_same_time_share_no_address() -> None:
    assert stunnel.LEGS.local != envoy.LEGS.local
    assert not set(stunnel.LEGS.encrypted.values()) & set(envoy.LEGS.encrypted.values())
