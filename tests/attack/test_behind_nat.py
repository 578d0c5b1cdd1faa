"""Attackers where addresses are translated: behind the client's own address, and with the translation in hand."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import Host
from testbed import Segment as Packet
from testbed.packets import Option, mss
from testbed.translation import dialled, masqueraded
from tests.attack.ground import announces
from tests.datapath.estate import Estate, accepted, estates
from tests.datapath.ground import Connection, Side, says, until
from watchword.identity.transcript import OPTION_KIND
from watchword.policy.tables import Segment, Verdict, VerdictKey

VERSIONS = pytest.mark.parametrize("version", [4, 6])
_sources = itertools.count(30000)


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with estates("behind", ["client", "web", "spare"]) as made:
        yield made


@pytest.fixture(scope="module")
def intruder(estate: Estate) -> Host:
    """A host without Enforcer behind the same router."""
    host = estate.bed.host("intruder", estate.router)
    host.mute_resets()
    return host


@pytest.fixture(autouse=True)
def allowed(estate: Estate) -> None:
    """The client may call web and nobody else; web and spare would both let it in."""
    estate["client"].apply(estate.meet("client", "web"))
    for name in ("web", "spare"):
        estate[name].apply(estate.meet(name, "client", direction="in"))


@pytest.fixture(params=[4, 6])
def proved(request: pytest.FixtureRequest, estate: Estate) -> Iterator[tuple[int, socket.socket, Connection]]:
    """A live connection of the client's to web, as all that web is sent from the router's own address."""
    version, web = request.param, estate["web"]
    with (
        masqueraded(estate.router, web.host.links[0].near.device, version),
        web.app.listen(estate.port()) as listener,
    ):
        near = estate["client"].app.connect(web.host.address(version), listener.getsockname()[1])
        connection, _ = accepted(near, listener)
        with connection:
            connection.exchange()
            listener.settimeout(0.5)
            yield version, listener, connection
            connection.exchange()


def refused(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


def syn_of(intruder: Host, web: Side, version: int, port: int, *options: Option) -> Packet:
    source = next(_sources)
    there = web.host.address(version)
    return Packet(intruder.address(version), there, source, port, seq=source << 8, options=[mss(), *options])


def inject(intruder: Host, estate: Estate, *packets: Packet) -> None:
    """From the intruder to the router, which translates them."""
    intruder.links[0].inject(estate.router, *packets)


def test_the_clients_address_is_nobody(
    estate: Estate, intruder: Host, proved: tuple[int, socket.socket, Connection]
) -> None:
    """A neighbour calls from the very address that a proved connection has at this moment."""
    version, listener, connection = proved
    web, port = estate["web"], listener.getsockname()[1]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with intruder.socket(family, socket.SOCK_STREAM) as caller, web.host.capture(f"dst port {port}") as taken:
        caller.settimeout(1)
        with pytest.raises(TimeoutError):
            caller.connect((web.host.address(version), port))
        refused(listener)
    assert {s.source for s in taken.segments()} == {connection.far.getpeername()[0].removeprefix("::ffff:")}
    rejected = web.flow(port, "Reject")
    assert (rejected.peer_badge, rejected.reason, rejected.proved) == (0, "policy", False)


def test_a_badge_needs_its_proof_there_too(
    estate: Estate, intruder: Host, proved: tuple[int, socket.socket, Connection]
) -> None:
    version, listener, _ = proved
    client, web = estate["client"], estate["web"]
    port = listener.getsockname()[1]
    with intruder.capture(f"src port {port}") as answers:
        inject(intruder, estate, syn_of(intruder, web, version, port, announces(port, client.badge)))
        answer = answers.wait(lambda s: s.has("SA"))
        inject(
            intruder,
            estate,
            answer.reply("A", seq=answer.ack, ack=answer.seq + 1),
            answer.reply("PA", seq=answer.ack, ack=answer.seq + 1, payload=b"evil"),
        )
        refused(listener)
    until(lambda: {f.reason for f in web.flows(port) if f.action == "Reject"} >= {"proof-missing"})


@pytest.mark.parametrize("seen", ["before", "behind"])
def test_what_was_seen_is_worth_nothing_again(
    estate: Estate, intruder: Host, proved: tuple[int, socket.socket, Connection], seen: str
) -> None:
    """SYN and ACK as the client sent them, or as the router passed them on, from the same address as before."""
    version, listener, first = proved
    client, web = estate["client"], estate["web"]
    port = listener.getsockname()[1]
    where = client.host if seen == "before" else web.host
    with where.capture(f"dst port {port}") as taken:
        near = client.app.connect(web.host.address(version), port)
        second, _ = accepted(near, listener)
        with second:
            second.exchange()
    listener.settimeout(0.5)
    sent = [segment for segment in taken.segments() if segment.option(OPTION_KIND)]
    syn = next(s for s in sent if s.flags == "S")
    proof = next(s for s in sent if s.flags == "A").option(OPTION_KIND)
    announced = syn.option(OPTION_KIND)
    assert proof
    assert announced
    before = web.counters()["dropped-proof-wrong"]
    fresh = syn_of(intruder, web, version, port, Option(OPTION_KIND, announced))
    with intruder.capture(f"src port {port}") as answers:
        inject(intruder, estate, fresh)
        answer = answers.wait(lambda s: s.has("SA"))
        inject(
            intruder,
            estate,
            answer.reply("A", seq=answer.ack, ack=answer.seq + 1, options=[Option(OPTION_KIND, proof)]),
            answer.reply("PA", seq=answer.ack, ack=answer.seq + 1, payload=b"evil"),
        )
        refused(listener)
    until(lambda: web.counters()["dropped-proof-wrong"] > before)
    # And on the very tuple that web has seen, past the router, as somebody at its address could.
    web.host.links[0].inject(
        web.host, *(s.with_(source=first.far.getpeername()[0].removeprefix("::ffff:")) for s in sent)
    )
    refused(listener)


@VERSIONS
@pytest.mark.parametrize("dial", ["the host", "an address of nobody's"])
def test_a_client_is_not_led_to_another_unit(estate: Estate, version: int, dial: str) -> None:
    """Who rewrites the destination decides where packets go, and not with whom the client talks."""
    client, web, spare = (estate[name] for name in ("client", "web", "spare"))
    to = web.host.address(version) if dial == "the host" else {4: "10.99.0.1", 6: "fd99::1"}[version]
    outer, inner = estate.port(), estate.port()
    with (
        dialled(estate.router, to, outer, [(spare.host.address(version), inner)]),
        web.app.listen(outer) as meant,
        spare.app.listen(inner) as wrong,
    ):
        with pytest.raises((ConnectionAbortedError, ConnectionResetError)):
            client.app.connect(to, outer, timeout=8)
        for listener in (meant, wrong):
            listener.settimeout(0.3)
            refused(listener)
    rejected = client.flow(outer, "Reject")
    assert (rejected.peer_badge, rejected.reason, rejected.direction) == (spare.badge, "policy", "outgoing")


@VERSIONS
def test_a_client_is_not_led_to_a_host_without_identity(estate: Estate, intruder: Host, version: int) -> None:
    client, web = estate["client"], estate["web"]
    port = estate.port()
    with (
        dialled(estate.router, web.host.address(version), port, [(intruder.address(version), port)]),
        intruder.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM) as listener,
    ):
        listener.bind((intruder.address(version), port))
        listener.listen()
        listener.settimeout(0.3)
        with pytest.raises((ConnectionAbortedError, ConnectionResetError)):
            client.app.connect(web.host.address(version), port, timeout=8)
        refused(listener)
    assert client.flow(port, "Reject").peer_badge == 0


@VERSIONS
def test_a_port_that_policy_closes_is_not_reached_through_one_that_it_opens(estate: Estate, version: int) -> None:
    """Dialled as an open port, diverted to a closed one of the same unit: the server judges by where it arrives."""
    client, web = estate["client"], estate["web"]
    opened, closed = estate.port(), estate.port()
    made = web.tables({})
    web.fence.call(
        "apply",
        replace(
            made,
            segments=(Segment(6, opened, opened, 1),),
            verdicts={
                **made.verdicts,
                **says(web.badge, client.badge, "in", "Reject"),
                VerdictKey(web.badge, client.badge, "in", 6, 1): Verdict("Allow", "rule"),
            },
        ),
    )
    with web.app.listen(opened) as right, web.app.listen(closed) as wrong:
        connection, _ = accepted(client.app.connect(web.host.address(version), opened), right)
        connection.close()
        with dialled(estate.router, web.host.address(version), opened, [(web.host.address(version), closed)]):
            with pytest.raises(TimeoutError):
                client.app.connect(web.host.address(version), opened, timeout=1.5)
            wrong.settimeout(0.3)
            refused(wrong)
        assert web.flow(closed, "Reject").peer_badge == client.badge


@VERSIONS
def test_a_connection_is_not_taken_over_by_a_change_of_translation(estate: Estate, version: int) -> None:
    """The SYN-ACK comes from web, the ACK is led to spare: a proof is worth something where it was asked for only."""
    client, web, spare = (estate[name] for name in ("client", "web", "spare"))
    port, before = estate.port(), spare.counters()["dropped-proof-wrong"]
    with (
        web.app.listen(port) as meant,
        spare.app.listen(port) as wrong,
        web.host.capture(f"dst port {port}") as taken,
    ):
        connection, _ = accepted(client.app.connect(web.host.address(version), port), meant)
        with connection:
            connection.exchange()
            taken.wait(lambda s: bool(s.payload))
        led = [s.with_(destination=spare.host.address(version)) for s in taken.segments() if not s.has("S")]
        spare.host.links[0].inject(spare.host, *led)
        time.sleep(0.2)
        wrong.settimeout(0.3)
        refused(wrong)
    assert spare.counters()["dropped-proof-wrong"] > before
