"""Host names of external networks: what a unit looks up it may reach, before it can try, and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from testbed.nameserver import NameServer
from tests.datapath.ground import CLIENT, Ground, Verdicts, grounds, says, until
from tests.datapath.resolution import visit
from watchword.enforcer.datapath.base import Lookup

RESOLVER, API, WILD, BAD = 30, 31, 32, 33

#: Addresses of the server's host that no prefix of any test is about.
PLAIN = [f"192.0.2.{number}" for number in range(1, 40)]
PLAIN6 = ["2001:db8:53::1", "2001:db8:53::2"]

RECORDS = {
    "api.example.com": [PLAIN[0], PLAIN6[0]],
    "other.example.com": [PLAIN[1]],
    "edge.cdn.test": [PLAIN[2], PLAIN[3]],
    "a.b.wild.test": [PLAIN[4]],
    "wild.test": [PLAIN[5]],
    "notwild.test": [PLAIN[6]],
    "many.example.com": PLAIN[7:39],
    "inner.example.com": ["127.0.0.9", "169.254.9.9", PLAIN[1]],
}
ALIASES = {"www.example.com": "edge.example.net", "edge.example.net": "edge.cdn.test"}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("names") as made:
        server, client = made.server.host, made.client.host
        for address in (*PLAIN, *PLAIN6):
            server.run(["ip", "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo"])
        client.run(["ip", "route", "add", "192.0.2.0/24", "via", server.ipv4])
        client.run(["ip", "-6", "route", "add", "2001:db8:53::/64", "via", server.ipv6])
        made.server.apply(default="Allow")  # only the client's side is judged here
        made.client.fence.call("believe", [server.ipv4, server.ipv6])
        with NameServer(server, [server.ipv4, server.ipv6], RECORDS, ALIASES):
            yield made


@pytest.fixture(scope="module")
def port(ground: Ground) -> Iterator[int]:
    """A listener outside every fence, at all addresses of the server's host."""
    with ground.server.host.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", ground.port()))
        listener.listen(256)
        yield listener.getsockname()[1]


def decide(ground: Ground, names: dict[str, int], *more: Verdicts, **options: object) -> None:
    """The client may ask the resolver, and meet what these names stand for."""
    server = ground.server.host
    resolvers = {f"{server.ipv4}/32": RESOLVER, f"{server.ipv6}/128": RESOLVER}
    allowed = [says(CLIENT, number, "out", rule=f"r{number}") for number in {RESOLVER, *names.values()} - {BAD}]
    options.setdefault("reachable", False)
    prefixes = {**resolvers, **options.pop("prefixes", {})}  # type: ignore[dict-item]
    ground.client.apply(*allowed, *more, names=names, prefixes=prefixes, **options)  # type: ignore[arg-type]


def outcomes(ground: Ground, port: int, *names: str, version: int = 4, **options: object) -> dict[str, str]:
    """What becomes of connections to each address of the names, looked up in a process of the client's unit."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    resolver = ground.server.host.address(version)
    found = visit(ground.client.host, resolver, port, names, family=family, **options)  # type: ignore[arg-type]
    assert found
    return {address: outcome for _, address, outcome in found}


@pytest.mark.parametrize("version", [4, 6])
def test_a_name_that_was_looked_up_is_reached_at_once(ground: Ground, port: int, version: int) -> None:
    decide(ground, {"api.example.com": API})
    assert outcomes(ground, port, "api.example.com", version=version) == {
        (PLAIN if version == 4 else PLAIN6)[0]: "connected"
    }
    if version == 4:
        assert outcomes(ground, port, "other.example.com") == {PLAIN[1]: "PermissionError"}


def test_nothing_is_reached_that_was_not_looked_up(ground: Ground, port: int) -> None:
    decide(ground, {"other.example.com": API})
    with pytest.raises(PermissionError):
        ground.client.app.connect(PLAIN[1], port)
    assert outcomes(ground, port, "other.example.com") == {PLAIN[1]: "connected"}
    ground.client.app.connect(PLAIN[1], port).close()


@pytest.mark.parametrize(
    "listed", ["www.example.com", "edge.example.net", "edge.cdn.test", "*.cdn.test", "*.example.com"]
)
def test_addresses_belong_to_every_name_of_the_chain(ground: Ground, port: int, listed: str) -> None:
    decide(ground, {listed: API})
    assert outcomes(ground, port, "www.example.com") == {PLAIN[2]: "connected", PLAIN[3]: "connected"}


def test_a_star_stands_for_what_is_below_and_for_nothing_else(ground: Ground, port: int) -> None:
    decide(ground, {"*.wild.test": WILD})
    found = outcomes(ground, port, "a.b.wild.test", "wild.test", "notwild.test")
    assert found == {PLAIN[4]: "connected", PLAIN[5]: "PermissionError", PLAIN[6]: "PermissionError"}


def test_case_does_not_matter(ground: Ground, port: int) -> None:
    decide(ground, {"*.wild.test": WILD})
    assert outcomes(ground, port, "A.b.WILD.TeSt") == {PLAIN[4]: "connected"}


def test_all_of_many_addresses_are_learned_with_edns(ground: Ground, port: int) -> None:
    decide(ground, {"many.example.com": API})
    found = outcomes(ground, port, "many.example.com", options="timeout:2 edns0")
    assert set(found) == set(RECORDS["many.example.com"])
    assert set(found.values()) == {"connected"}


def test_a_reject_by_prefix_wins_over_a_name(ground: Ground, port: int) -> None:
    reject = says(CLIENT, BAD, "out", "Reject", explicit=True, rule="no")
    decide(ground, {"many.example.com": API}, reject, prefixes={"192.0.2.8/30": BAD})
    found = outcomes(ground, port, "many.example.com", options="timeout:2 edns0")
    rejected = {address for address, outcome in found.items() if outcome != "connected"}
    assert rejected == {"192.0.2.8", "192.0.2.9", "192.0.2.10", "192.0.2.11"}


def test_a_reject_by_name_wins_over_an_allowed_prefix(ground: Ground, port: int) -> None:
    reject = says(CLIENT, BAD, "out", "Reject", explicit=True, rule="no")
    wide = says(CLIENT, WILD, "out")
    decide(ground, {"edge.cdn.test": BAD, "*.example.com": API}, reject, wide, prefixes={"192.0.2.0/24": WILD})
    assert set(outcomes(ground, port, "www.example.com").values()) == {"PermissionError"}
    assert outcomes(ground, port, "api.example.com") == {PLAIN[0]: "connected"}


def test_a_new_revision_says_anew_what_learned_names_belong_to(ground: Ground, port: int) -> None:
    decide(ground, {"api.example.com": API})
    assert outcomes(ground, port, "api.example.com") == {PLAIN[0]: "connected"}
    decide(ground, {"*.example.com": WILD})  # the next needs no new answer
    ground.client.app.connect(PLAIN[0], port).close()
    reject = says(CLIENT, BAD, "out", "Reject", explicit=True, rule="no")
    decide(ground, {"*.example.com": WILD, "api.example.com": BAD}, reject)
    with pytest.raises(PermissionError):
        ground.client.app.connect(PLAIN[0], port)
    decide(ground, {"*.example.org": WILD})
    with pytest.raises(PermissionError):
        ground.client.app.connect(PLAIN[0], port)


def test_a_connection_lives_through_revisions_and_ends_with_its_name(ground: Ground, port: int) -> None:
    decide(ground, {"api.example.com": API})
    assert outcomes(ground, port, "api.example.com") == {PLAIN[0]: "connected"}
    with ground.client.app.connect(PLAIN[0], port) as standing:
        decide(ground, {"*.example.com": WILD})
        standing.sendall(b"still there")
        decide(ground, {"other.example.com": API})
        standing.settimeout(10)
        with pytest.raises(ConnectionError):
            standing.recv(1)


def test_addresses_of_the_host_itself_are_never_learned(ground: Ground, port: int) -> None:
    decide(ground, {"inner.example.com": API})
    outcomes(ground, port, "inner.example.com")
    assert "inner.example.com" in ground.client.fence.call("learned", CLIENT, PLAIN[1])
    assert ground.client.fence.call("learned", CLIENT, "127.0.0.9") == []
    assert ground.client.fence.call("learned", CLIENT, "169.254.9.9") == []


def test_datagrams_follow_names_too(ground: Ground, port: int) -> None:
    decide(ground, {"api.example.com": API})
    assert outcomes(ground, port, "api.example.com") == {PLAIN[0]: "connected"}
    with ground.server.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("0.0.0.0", ground.port()))
        far.settimeout(2)
        with ground.client.app.make(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.sendto(b"named", (PLAIN[0], far.getsockname()[1]))
            assert far.recv(16) == b"named"
            near.sendto(b"nameless", (PLAIN[6], far.getsockname()[1]))
            with pytest.raises(TimeoutError):
                far.recv(16)


def test_a_restarted_agent_finds_what_was_learned(ground: Ground, port: int) -> None:
    decide(ground, {"api.example.com": API})
    assert outcomes(ground, port, "api.example.com") == {PLAIN[0]: "connected"}
    ground.client.fence.kill()
    ground.client.app.connect(PLAIN[0], port).close()
    ground.client.restart()
    decide(ground, {"*.example.com": WILD})
    ground.client.app.connect(PLAIN[0], port).close()


def test_lookups_are_counted_by_unit_name_and_result(ground: Ground, port: int) -> None:
    decide(ground, {})
    outcomes(ground, port, "wild.test", "wild.test", "missing.test")
    found = {
        (sample.name, sample.result): sample
        for sample in ground.client.fence.call("lookups")
        if sample.unit_badge == CLIENT and sample.kind == 1
    }
    known, missing = found["wild.test", "resolved"], found["missing.test", "no-such-name"]
    assert known.count >= 2
    assert (known.addresses, known.resolver) == (1, ground.server.host.ipv4)
    assert missing.count >= 1
    assert missing.addresses == 0
    assert time.time() - 60 < known.first_seen <= known.last_seen <= time.time() + 1


def unreported(ground: Ground, kind: int = 1) -> dict[tuple[str, str], tuple[Lookup, Lookup | None]]:
    """Look-ups of the client's unit that have grown, with what was reported last."""
    return {
        (sample.name, sample.result): (sample, before)
        for sample, before in ground.client.fence.call("unreported_lookups")
        if sample.unit_badge == CLIENT and sample.kind == kind
    }


def test_what_was_looked_up_is_reported_once_with_what_was_learned(ground: Ground, port: int) -> None:
    """Also by an agent that comes after one that was killed; what is not reported is not dropped to make room."""
    decide(ground, {"www.example.com": API})
    outcomes(ground, port, "www.example.com")
    first, before = unreported(ground)["www.example.com", "resolved"]
    assert set(first.learned) == {PLAIN[2], PLAIN[3]}
    assert before is None or before.count < first.count
    ground.client.fence.call("forget", ground.client.fence.call("lookups"))
    assert unreported(ground)["www.example.com", "resolved"][0].count == first.count
    ground.client.fence.call("reported_lookups", [first])
    ground.client.fence.kill()
    ground.client.restart()
    decide(ground, {"www.example.com": API})
    assert ("www.example.com", "resolved") not in unreported(ground)
    outcomes(ground, port, "www.example.com")
    again, before = unreported(ground)["www.example.com", "resolved"]
    assert before is not None
    assert (before.count, again.count) == (first.count, first.count + 1)
    ground.client.fence.call("reported_lookups", [again])
    ground.client.fence.call("forget", [again])
    assert all(each.name != "www.example.com" or each.kind != 1 for each in ground.client.fence.call("lookups"))


def test_a_truncated_answer_teaches_nothing_and_the_agent_is_told(ground: Ground, port: int) -> None:
    """Without EDNS 32 addresses do not fit; whether the library asks again over TCP nobody knows yet."""
    decide(ground, {"truncated.test": API, "many.example.com": API})
    before = ground.client.counters()["answer-unread"]
    ground.client.fence.call("forget", ground.client.fence.call("lookups"))
    outcomes(ground, port, "many.example.com", options="timeout:2")
    if ground.client.counters()["answer-unread"] == before:
        pytest.fail("the answer was not truncated")
    until(lambda: any(getattr(event, "name", "") == "many.example.com" for event in ground.client.events()))
