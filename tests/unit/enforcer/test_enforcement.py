"""Desired to actual: what reaches the datapath, in which order, and what stays when something fails."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.fakes.datapath import Kernel, MemoryDatapath
from tests.unit.enforcer.signing_side import CONSOLE, ENFORCER, WEB, SigningSide, document
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.enforcement import Enforcement
from watchword.enforcer.errors import RevisionError
from watchword.enforcer.pairing import Pairing
from watchword.enforcer.settings import load
from watchword.enforcer.units import Units
from watchword.identity.keys import DatapathPrivateKey
from watchword.identity.pairwise import End, own_end, pairwise_key
from watchword.wire.messages import Boundaries
from watchword.wire.policy import EnforcerEntry, PolicyDocument, RuleEntry

SIDE = SigningSide()
PEER, PEER_KEYS = SIDE.peer("enforcer-2", 4, 5)
OWN = (DatapathPrivateKey.generate(7, secrets.token_bytes), DatapathPrivateKey.generate(6, secrets.token_bytes))


class Bench:
    """An Enforcement over a memory datapath, on a host whose cgroup root is a directory."""

    def __init__(self, root: Path, kernel: Kernel) -> None:
        self.kernel = kernel
        self.root = root / "cgroup"
        self.root.mkdir(exist_ok=True)
        self.units = Units(load(None, {"name": "db"}), self.root, root / "units")
        self.pairing = Pairing(SIDE.authority.certificate, CONSOLE, ENFORCER)
        self.enforcement = Enforcement(MemoryDatapath(kernel), self.pairing, self.units)
        self.enforcement.own_keys(OWN)

    def enforce(self, wanted: PolicyDocument) -> bool:
        self.enforcement.want(SIDE.sign(wanted))
        if not self.enforcement.installed:
            self.enforcement.install(lambda event: None)
        return self.enforcement.reconcile()

    def decide(self, port: int = 5432, peer: int | str = WEB) -> str:
        return self.kernel.decide(str(self.root), peer, "incoming", 6, port)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, Kernel())
    yield made
    made.enforcement.datapath.close()
    made.units.close()


def with_peer(revision: int, **changes: object) -> PolicyDocument:
    return document(revision, enforcers={"enforcer-2": PEER}, **changes)  # type: ignore[arg-type]


def test_nothing_reaches_the_kernel_before_a_document(bench: Bench) -> None:
    assert not bench.enforcement.reconcile()
    assert bench.kernel.history == []


def test_keys_and_placements_are_there_before_the_tables(bench: Bench) -> None:
    assert bench.enforce(with_peer(1))
    assert bench.kernel.history == ["install", "place", "set_keys", "apply 1"]
    assert bench.decide() == "Allow"
    assert bench.decide(port=22) == "Reject"
    assert bench.decide(peer=999) == "Reject"
    assert bench.enforcement.places("host")


def test_a_second_pass_does_nothing(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    before = list(bench.kernel.history)
    assert not bench.enforcement.reconcile()
    assert bench.kernel.history == before


def test_of_several_documents_only_the_last_is_applied(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    for revision in (2, 3, 4):
        bench.enforcement.want(SIDE.sign(with_peer(revision, action="Reject")))
    assert bench.enforcement.reconcile()
    assert bench.kernel.applied == [1, 4]
    assert bench.decide() == "Reject"


def test_deltas_are_followed_whatever_came_between(bench: Bench) -> None:
    """What is told of each delta is about the document wanted before it, compiled or not, lapsed or broken."""
    allow, reject = with_peer(1), with_peer(2, action="Reject")
    rules = {"rules": set(reject.rules)}
    bench.enforce(allow)
    bench.enforcement.want(SIDE.sign(reject), rules)
    bench.enforcement.want(SIDE.sign(with_peer(3, action="Reject")), {"peers": set(), "units": set()})
    assert bench.enforcement.reconcile()
    assert bench.decide() == "Reject", "the first of two deltas counts too"
    assert bench.enforcement.expire(True)
    bench.enforcement.reconcile()
    bench.enforcement.expire(False)
    bench.enforcement.want(SIDE.sign(with_peer(4)), rules)
    assert bench.enforcement.reconcile()
    assert bench.decide() == "Allow", "units have their rules again, which no delta mentions"
    with pytest.raises(RevisionError):
        bench.enforce(broken(5))
    bench.enforcement.want(SIDE.sign(with_peer(6, action="Reject")), rules)
    assert bench.enforcement.reconcile()
    assert bench.decide() == "Reject"


def test_keys_are_those_that_the_peer_derives(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    derived = bench.kernel.keys["enforcer-2"]
    assert set(derived) == {(7, 5), (7, 4), (6, 5), (6, 4)}
    for (own, peer), key in derived.items():
        (mine,) = (k for k in OWN if k.epoch == own)
        assert key == pairwise_key("enforcer-2", PEER_KEYS[peer], own_end(ENFORCER, mine))
    assert bench.kernel.own_epochs == (7, 6)


def test_units_of_one_host_share_keys_across_epochs(bench: Bench) -> None:
    bench.enforce(document(1))
    own = bench.kernel.keys[ENFORCER]
    assert set(own) == {(7, 7), (7, 6), (6, 7), (6, 6)}
    assert own[7, 6] == own[6, 7]


def broken(revision: int) -> PolicyDocument:
    """Rightly signed, but a unit names a rule that is not there."""
    return msgspec.structs.replace(with_peer(revision), rules={})


def test_a_document_that_does_not_compile_changes_nothing(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    with pytest.raises(RevisionError, match="revision 2 cannot be compiled"):
        bench.enforce(broken(2))
    assert not bench.enforcement.reconcile(), "it is wanted no longer"
    assert bench.kernel.applied == [1]
    assert bench.decide() == "Allow"
    assert bench.enforce(with_peer(3, action="Reject"))
    assert bench.decide() == "Reject"


def test_a_first_document_that_does_not_compile_leaves_nothing_wanted(bench: Bench) -> None:
    with pytest.raises(RevisionError):
        bench.enforce(broken(1))
    assert not bench.enforcement.wanted
    assert bench.kernel.applied == []


def test_what_the_kernel_refuses_stays_wanted(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    bench.kernel.refuse = "no room for verdicts"
    with pytest.raises(DatapathError):
        bench.enforce(with_peer(2, action="Reject"))
    assert bench.decide() == "Allow"
    bench.kernel.refuse = ""
    assert bench.enforcement.reconcile()
    assert bench.decide() == "Reject"


def test_a_peer_with_a_forged_key_gets_no_key_and_stops_nobody_else(bench: Bench) -> None:
    forged, _ = SigningSide().peer("enforcer-3", 1)
    wanted = document(1, enforcers={"enforcer-2": PEER, "enforcer-3": forged})
    bench.enforce(wanted)
    assert "enforcer-3" not in bench.kernel.keys
    assert bench.decide() == "Allow"
    assert any("enforcer-3" in problem for problem in bench.pairing.problems)


def test_a_peer_that_uses_anothers_certificate_gets_no_key(bench: Bench) -> None:
    stolen, _ = SIDE.peer("enforcer-3", 1)
    bench.enforce(document(1, enforcers={"enforcer-2": stolen}))
    assert "enforcer-2" not in bench.kernel.keys
    assert bench.decide() == "Reject"


def test_a_peers_new_epoch_changes_its_keys_only(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    before = dict(bench.kernel.keys)
    renewed = EnforcerEntry(PEER.certificate, PEER.keys[:1])
    bench.enforce(document(2, enforcers={"enforcer-2": renewed}))
    assert set(bench.kernel.keys["enforcer-2"]) == {(7, 5), (6, 5)}
    assert bench.kernel.keys["enforcer-2"][7, 5] == before["enforcer-2"][7, 5]
    assert bench.kernel.keys[ENFORCER] == before[ENFORCER]


def test_an_own_rotation_reaches_the_kernel_without_a_new_document(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    newest = DatapathPrivateKey.generate(8, secrets.token_bytes)
    bench.enforcement.own_keys((newest, OWN[0]))
    assert not bench.enforcement.reconcile()
    assert bench.kernel.own_epochs == (8, 7)
    assert bench.kernel.keys["enforcer-2"][8, 5] == pairwise_key(
        "enforcer-2", PEER_KEYS[5], End(ENFORCER, 8, newest.public)
    )


def test_what_becomes_of_older_connections_is_known_before_the_first_tables(bench: Bench) -> None:
    bench.enforcement.keep_existing = False
    bench.enforce(with_peer(4))
    assert bench.kernel.history.index("cut_existing") < bench.kernel.history.index("apply 4")


def test_interfaces_to_leave_alone_are_those_of_the_boundaries_in_force(bench: Bench) -> None:
    kernel = bench.kernel
    bench.enforcement.bound(Boundaries(1, excluded_interfaces=("eth1", "wg0")))
    bench.enforce(with_peer(4))
    assert kernel.excluded == ("eth1", "wg0")
    bench.enforcement.bound(None)
    bench.enforcement.reconcile()
    assert not kernel.excluded


def test_when_rules_lapse_the_defaults_decide(bench: Bench) -> None:
    bench.enforce(with_peer(1))
    assert bench.enforcement.expire(True)
    assert not bench.enforcement.reconcile(), "it is no other revision"
    assert bench.decide() == "Reject"
    assert bench.enforcement.actual is not None
    assert bench.enforcement.actual.expired
    bench.enforcement.expire(False)
    bench.enforcement.reconcile()
    assert bench.decide() == "Allow"


def test_lapsed_rules_of_a_discovering_namespace_allow(bench: Bench) -> None:
    bench.enforce(with_peer(1, action="Reject", default="Allow"))
    assert bench.decide() == "Reject"
    bench.enforcement.expire(True)
    bench.enforcement.reconcile()
    assert bench.decide() == "Allow"


def test_observed_rules_do_not_lapse_into_decisions(bench: Bench) -> None:
    observing = with_peer(1)
    rule = observing.rules["r1/in/0"]
    observed = RuleEntry(**{**msgspec.structs.asdict(rule), "observed": True})
    bench.enforce(msgspec.structs.replace(observing, rules={"r1/in/0": observed}))
    assert bench.decide() == "Reject"


def test_a_restarted_agent_takes_over_what_the_kernel_has(bench: Bench, tmp_path: Path) -> None:
    bench.enforce(with_peer(1))
    bench.enforcement.datapath.close()
    assert bench.decide() == "Allow", "the kernel goes on deciding"
    successor = Bench(tmp_path, bench.kernel)
    try:
        assert successor.enforce(with_peer(1))
        assert successor.decide() == "Allow"
    finally:
        successor.enforcement.datapath.close()
        successor.units.close()
