"""Names that nobody may mint: answers that were not asked for, from elsewhere, late, twice or bent teach nothing."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.datapath.ground import CLIENT, Ground, grounds, says, until

RESOLVER, API, OPEN = 30, 31, 32
TARGET = "192.0.2.1"

A, AAAA, CNAME = 1, 28, 5


def name(text: str) -> bytes:
    """A name as the wire has it."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def question(number: int, asked: str, kind: int = A) -> bytes:
    """A query of one question, recursion desired."""
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + name(asked) + struct.pack(">2H", kind, 1)


def record(owner: bytes, kind: int, data: bytes, ttl: int = 300, class_: int = 1) -> bytes:
    """A resource record."""
    return owner + struct.pack(">2HIH", kind, class_, ttl, len(data)) + data


def answer(number: int, asked: str, *records: bytes, kind: int = A, flags: int = 0x8180) -> bytes:
    """A whole answer; ``b"\\xc0\\x0c"`` in a record is the name that was asked for."""
    head = struct.pack(">6H", number, flags, 1, len(records), 0, 0)
    return head + name(asked) + struct.pack(">2H", kind, 1) + b"".join(records)


HERE = record(b"\xc0\x0c", A, socket.inet_aton(TARGET))


class Stage:
    """A unit with a socket to ask by, a resolver under the test's control, and an impostor beside it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        host = ground.server.host
        self.resolver = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.resolver.bind((host.ipv4, 53))
        self.impostor = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.impostor.bind(("192.0.2.53", 53))
        for end in (self.resolver, self.impostor):
            end.settimeout(5)
        self.number = 100

    def ask(self, asked: str = "db.example.com", kind: int = A) -> tuple[socket.socket, tuple[str, int], int]:
        """A question of the unit that has reached the resolver: its socket, where that is, and the number."""
        self.number += 1
        caller = self.ground.client.app.make(socket.AF_INET, socket.SOCK_DGRAM)
        caller.settimeout(5)
        caller.sendto(question(self.number, asked, kind), self.resolver.getsockname())
        _, where = self.resolver.recvfrom(4096)
        return caller, where, self.number

    def tell(self, sender: socket.socket, caller: socket.socket, where: tuple[str, int], message: bytes) -> None:
        """Let the application get a datagram."""
        sender.sendto(message, where)
        assert caller.recv(8192) == message, "the application itself gets what policy lets through"

    def learned(self, address: str = TARGET) -> list[str]:
        """What the unit has learned of an address."""
        found: list[str] = self.ground.client.fence.call("learned", CLIENT, address)
        return found

    def close(self) -> None:
        self.resolver.close()
        self.impostor.close()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("mint") as made:
        server, client = made.server.host, made.client.host
        for address in (TARGET, "192.0.2.53"):
            server.run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
        client.run(["ip", "route", "add", "192.0.2.0/24", "via", server.ipv4])
        made.client.fence.call("believe", [server.ipv4])
        resolvers = {f"{server.ipv4}/32": RESOLVER, "192.0.2.53/32": RESOLVER, "127.0.0.0/8": RESOLVER}
        # Whoever answers is let in, so that nothing but the reading of answers decides what is learned.
        come, go, named = (
            says(CLIENT, RESOLVER, "in"),
            says(CLIENT, RESOLVER, "out"),
            says(CLIENT, API, "out"),
        )
        names = {"db.example.com": API, "*.wild.test": API}
        made.client.apply(come, go, named, prefixes=resolvers, names=names, reachable=False)
        yield made


@pytest.fixture
def stage(ground: Ground) -> Iterator[Stage]:
    made = Stage(ground)
    yield made
    made.close()


def test_the_right_answer_is_learned_so_the_attacks_below_mean_something(stage: Stage) -> None:
    caller, where, number = stage.ask("x.wild.test")
    with caller:
        data = record(b"\xc0\x0c", A, socket.inet_aton("192.0.2.77"))
        stage.tell(stage.resolver, caller, where, answer(number, "x.wild.test", data))
    assert stage.learned("192.0.2.77") == ["x.wild.test"]


def test_an_answer_of_somebody_else_teaches_nothing(stage: Stage) -> None:
    caller, where, number = stage.ask()
    with caller:
        stage.tell(stage.impostor, caller, where, answer(number, "db.example.com", HERE))
    assert stage.learned() == []


def test_an_answer_that_nobody_asked_for_teaches_nothing(stage: Stage) -> None:
    caller, where, number = stage.ask("other.example.com")
    before = stage.ground.client.counters()["answer-stray"]
    with caller:
        stage.tell(stage.resolver, caller, where, answer(number, "db.example.com", HERE))  # another name
        stage.tell(stage.resolver, caller, where, answer(number + 1, "other.example.com", HERE))  # another number
        stage.tell(stage.resolver, caller, where, answer(number, "other.example.com", HERE, kind=AAAA))
    assert stage.learned() == []
    assert stage.ground.client.counters()["answer-stray"] == before + 3


def test_an_answer_to_another_socket_teaches_nothing(stage: Stage) -> None:
    caller, _, number = stage.ask()
    second, elsewhere, _ = stage.ask("other.example.com")
    with caller, second:
        stage.tell(stage.resolver, second, elsewhere, answer(number, "db.example.com", HERE))
    assert stage.learned() == []


def test_an_answer_counts_once(stage: Stage) -> None:
    caller, where, number = stage.ask("y.wild.test")
    first, second = (record(b"\xc0\x0c", A, socket.inet_aton(f"192.0.2.{last}")) for last in (81, 82))
    with caller:
        stage.tell(stage.resolver, caller, where, answer(number, "y.wild.test", first))
        stage.tell(stage.resolver, caller, where, answer(number, "y.wild.test", second))
    assert stage.learned("192.0.2.81") == ["y.wild.test"]
    assert stage.learned("192.0.2.82") == []


def test_a_late_answer_teaches_nothing(stage: Stage) -> None:
    caller, where, number = stage.ask()
    with caller:
        time.sleep(15.5)
        stage.tell(stage.resolver, caller, where, answer(number, "db.example.com", HERE))
    assert stage.learned() == []


def test_a_question_is_no_answer(stage: Stage) -> None:
    caller, where, number = stage.ask()
    with caller:
        stage.tell(stage.resolver, caller, where, answer(number, "db.example.com", HERE, flags=0x0100))
        stage.tell(stage.resolver, caller, where, answer(number, "db.example.com", HERE, flags=0xA980))  # an update's
    assert stage.learned() == []


BENT = {
    "owner": (record(name("evil.test"), A, socket.inet_aton(TARGET)),),
    "class": (record(b"\xc0\x0c", A, socket.inet_aton(TARGET), class_=3),),
    "length": (record(b"\xc0\x0c", A, socket.inet_aton(TARGET) + b"\0"),),
    "loop": (record(b"\xc0\x0c", CNAME, b"\xc0\x0c"), HERE),
    "pointer to itself": (b"\xc0\x28" + struct.pack(">2HIH", A, 1, 300, 4) + socket.inet_aton(TARGET),),
    "behind the end": (HERE, b"\xc0\x0c" + struct.pack(">2HIH", A, 1, 300, 400)),
    "alias of another": (
        record(name("evil.test"), CNAME, name("x.evil.test")),
        record(name("x.evil.test"), A, socket.inet_aton(TARGET)),
    ),
}


@pytest.mark.parametrize("bent", BENT)
def test_what_does_not_follow_from_the_question_teaches_nothing(stage: Stage, bent: str) -> None:
    caller, where, number = stage.ask()
    with caller:
        stage.tell(stage.resolver, caller, where, answer(number, "db.example.com", *BENT[bent]))
    assert stage.learned() == []


@pytest.mark.parametrize(
    "asked", [b"\x0edb.example.com\0" + bytes(1), b"\x02db\x0bexample.com\0", b"\x0aevil.wild\x04test\0"]
)
def test_a_dot_inside_a_label_separates_nothing(stage: Stage, asked: bytes) -> None:
    """A label may hold any byte; one name must not look like another."""
    caller = stage.ground.client.app.make(socket.AF_INET, socket.SOCK_DGRAM)
    caller.settimeout(5)
    asked = asked.rstrip(b"\0") + b"\0"
    head, tail = struct.pack(">6H", 9, 0x0100, 1, 0, 0, 0), struct.pack(">2H", A, 1)
    with caller:
        caller.sendto(head + asked + tail, stage.resolver.getsockname())
        _, where = stage.resolver.recvfrom(4096)
        stage.tell(stage.resolver, caller, where, struct.pack(">6H", 9, 0x8180, 1, 1, 0, 0) + asked + tail + HERE)
    assert stage.learned() == []


def test_what_one_unit_learns_opens_nothing_to_another(stage: Stage) -> None:
    caller, where, number = stage.ask("z.wild.test")
    with caller:
        data = record(b"\xc0\x0c", A, socket.inet_aton("192.0.2.90"))
        stage.tell(stage.resolver, caller, where, answer(number, "z.wild.test", data))
    assert stage.learned("192.0.2.90") == ["z.wild.test"]
    assert stage.ground.client.fence.call("learned", CLIENT + 1, "192.0.2.90") == []


def test_a_unit_cannot_be_its_own_resolver(stage: Stage) -> None:
    """The address of a resolver on this host, taken by a unit that answers itself."""
    client = stage.ground.client
    server = stage.ground.server.host
    client.fence.call("believe", [server.ipv4, "127.0.0.53"])
    try:
        with (
            client.app.make(socket.AF_INET, socket.SOCK_DGRAM, bind=("127.0.0.53", 53)) as fake,
            client.app.make(socket.AF_INET, socket.SOCK_DGRAM) as caller,
        ):
            fake.settimeout(5)
            caller.settimeout(5)
            caller.sendto(question(7, "db.example.com"), ("127.0.0.53", 53))
            _, where = fake.recvfrom(4096)
            fake.sendto(answer(7, "db.example.com", HERE), where)
            assert caller.recv(4096)
        assert stage.learned() == []
    finally:
        client.fence.call("believe", [server.ipv4])


def test_a_full_table_withholds_the_answer_and_counts_it(stage: Stage) -> None:
    """More names of one address than it has room for, each of another network."""
    client = stage.ground.client
    many = {f"n{number}.example.net": 40 + number for number in range(9)}
    resolvers = {f"{stage.ground.server.host.ipv4}/32": RESOLVER}
    verdicts = [says(CLIENT, number, "out") for number in many.values()]
    before = client.counters()["name-lost"]
    client.apply(says(CLIENT, RESOLVER, "out"), *verdicts, prefixes=resolvers, names=many, reachable=False)
    data = record(b"\xc0\x0c", A, socket.inet_aton("192.0.2.99"))
    for asked in list(many)[:8]:
        caller, where, number = stage.ask(asked)
        with caller:
            stage.tell(stage.resolver, caller, where, answer(number, asked, data))
    caller, where, number = stage.ask("n8.example.net")
    with caller:
        stage.resolver.sendto(answer(number, "n8.example.net", data), where)
        until(lambda: client.counters()["name-lost"] == before + 1)
        caller.settimeout(0.2)
        with pytest.raises(TimeoutError):
            caller.recv(4096)
    assert stage.learned("192.0.2.99") == sorted(many)[:8]
