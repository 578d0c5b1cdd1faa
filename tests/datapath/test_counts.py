"""What the aggregates say of bytes and connections, held against what the applications carried, to the byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from testbed.firewall import rule
from tests.datapath.ground import Connection, Ground, grounds, until
from tests.datapath.workload import read
from watchword.enforcer.datapath.base import FlowSample

QUESTION, ANSWER = b"a question", b"its answer, longer"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("counts") as made:
        yield made


def both(ground: Ground, port: int) -> tuple[FlowSample, FlowSample]:
    """What client and server have counted; one sample each."""
    return ground.client.flow(port), ground.server.flow(port)


def carried(ground: Ground, port: int, connections: int, to_server: int, to_client: int) -> None:
    """Both ends agree with the applications on bytes and connections."""
    for sample, sent, received in zip(both(ground, port), (to_server, to_client), (to_client, to_server), strict=True):
        assert (sample.connections, sample.bytes_out, sample.bytes_in) == (connections, sent, received), sample


def asked(connection: Connection) -> None:
    """One question, one answer, of different lengths."""
    connection.near.sendall(QUESTION)
    assert read(connection.far, len(QUESTION)) == QUESTION
    connection.far.sendall(ANSWER)
    assert read(connection.near, len(ANSWER)) == ANSWER


def reset(end: socket.socket) -> None:
    """Close by RST."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def shut(how: int) -> Callable[[socket.socket], None]:
    """Shut down, and close at once."""

    def closing(end: socket.socket) -> None:
        end.shutdown(how)
        end.close()

    return closing


CLOSINGS: dict[str, Callable[[socket.socket], None]] = {
    "close": socket.socket.close,
    "shutdown-write": shut(socket.SHUT_WR),
    "shutdown-both": shut(socket.SHUT_RDWR),
    "reset": reset,
}


@pytest.mark.parametrize("wait", [0.0, 0.08], ids=["at-once", "later"])
@pytest.mark.parametrize("first", ["near", "far"])
@pytest.mark.parametrize("how", CLOSINGS)
def test_however_a_connection_ends_both_ends_count_it_once(ground: Ground, how: str, first: str, wait: float) -> None:
    """Whoever closes first, and also when the other end takes its time: longer than an ACK may be delayed."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        for number in range(1, 4):
            connection = ground.connect(listener)
            asked(connection)
            closing, other = (connection.near, connection.far) if first == "near" else (connection.far, connection.near)
            CLOSINGS[how](closing)
            time.sleep(wait)
            other.close()
            until(lambda number=number: all(s.connections == number for s in both(ground, port)))  # type: ignore[misc]
        carried(ground, port, 3, 3 * len(QUESTION), 3 * len(ANSWER))


@pytest.mark.parametrize("first", ["near", "far"])
def test_what_comes_after_one_half_is_closed(ground: Ground, first: str) -> None:
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        connection = ground.connect(listener)
        asked(connection)
        closing, other = (connection.near, connection.far) if first == "near" else (connection.far, connection.near)
        closing.shutdown(socket.SHUT_WR)
        assert read(other, 1) == b""
        carried(ground, port, 1, len(QUESTION), len(ANSWER))
        for _ in range(3):
            other.sendall(bytes(1000))
            read(closing, 1000)
        more = (0, 3000) if first == "near" else (3000, 0)
        carried(ground, port, 1, len(QUESTION) + more[0], len(ANSWER) + more[1])
        other.sendall(b"last")
        other.close()
        assert read(closing, 5) == b"last"
        closing.close()
        more = (0, 3004) if first == "near" else (3004, 0)
        carried(ground, port, 1, len(QUESTION) + more[0], len(ANSWER) + more[1])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 1447, 1448, 1449, 100_000, 5_000_000])
def test_any_size_both_ways(ground: Ground, size: int, version: int) -> None:
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        port = listener.getsockname()[1]
        transfer(connection, size, size // 3)
        carried(ground, port, 1, size, size // 3)
        connection.close()
        carried(ground, port, 1, size, size // 3)


def transfer(connection: Connection, there: int, back: int) -> None:
    """Both directions at once, each read to the last byte."""
    sender = threading.Thread(target=connection.near.sendall, args=(bytes(there),))
    answerer = threading.Thread(target=connection.far.sendall, args=(bytes(back),))
    reader = threading.Thread(target=read, args=(connection.far, there))
    threads = (sender, answerer, reader)
    for thread in threads:
        thread.start()
    assert len(read(connection.near, back)) == back
    for thread in threads:
        thread.join()


def lossy(ground: Ground, every: int) -> Callable[[], None]:
    """Lose every n-th TCP segment in both directions; returns what ends it."""
    match = ["-p", "tcp", "-m", "statistic", "--mode", "nth", "--every", str(every), "--packet", "0", "-j", "DROP"]
    for side in ground.sides:
        rule(side.host, 4, "-t", "raw", "-A", "PREROUTING", *match)

    def end() -> None:
        for side in ground.sides:
            rule(side.host, 4, "-t", "raw", "-F", "PREROUTING")

    return end


def test_what_is_sent_again_is_counted_once_as_bytes(ground: Ground) -> None:
    """Every seventh segment is lost, in both directions; packets are counted as often as they are sent."""
    with ground.listen() as listener, ground.connect(listener) as connection:
        port = listener.getsockname()[1]
        for end in (connection.near, connection.far):
            end.settimeout(60)
        end_loss = lossy(ground, 7)
        try:
            transfer(connection, 300_000, 200_000)
        finally:
            end_loss()
        carried(ground, port, 1, 300_000, 200_000)
        client, server = both(ground, port)
        assert client.packets_out > server.packets_in
        assert server.packets_out > client.packets_in


def test_an_agent_that_dies_loses_no_byte(ground: Ground) -> None:
    """Between two parts of one connection, and while another ends; also across the move to the table of old ones."""
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        lasting, ending = ground.connect(listener), ground.connect(listener)
        for part in range(3):
            transfer(lasting, 10_000, 7_000)
            if part == 1:
                carried(ground, port, 2, 20_000, 14_000)  # the agent has looked: both are in the table now
            for side in ground.sides:
                side.fence.kill()
            if part == 2:
                transfer(ending, 500, 600)
                ending.close()
            for side in ground.sides:
                side.restart()
            ground.trust()
            ground.allow()
        carried(ground, port, 2, 30_500, 21_600)
        lasting.close()
        carried(ground, port, 2, 30_500, 21_600)


def test_what_has_been_reported_is_told_as_growth(ground: Ground) -> None:
    """Each report says what there is and what the last one said: their difference adds up to what was carried."""
    with ground.listen() as listener, ground.connect(listener) as connection:
        port = listener.getsockname()[1]
        seen = 0
        for _ in range(3):
            transfer(connection, 1234, 0)
            ground.server.fence.call("look")  # so little makes no agent look before five seconds are over
            grown = [pair for pair in ground.server.fence.call("unreported") if pair[0].port == port]
            assert len(grown) == 1
            now, before = grown[0]
            seen += now.bytes_in - (before.bytes_in if before else 0)
            ground.server.fence.call("reported", [now])
            ground.server.fence.kill()
            ground.server.restart()
            ground.trust()
            ground.allow()
        assert seen == 3 * 1234
