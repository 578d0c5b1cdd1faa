"""At the Console's address, with its TLS key and every document it ever sent, but without the key that signs.

Whatever such a one says, the applications meet what the last real revision says: the client gets in, the guest does
not, who is nobody does not. Then the Console comes back, at another address and with another certificate.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from testbed.services import listens
from tests.attack.impostor import Impostor, Victim
from tests.e2e.outpost import RULED, Outpost, data, outposts, until
from watchword.enforcer import credential
from watchword.enforcer.store import RevisionStore, SignedDocument
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import sign_boundaries, sign_revision
from watchword.wire import messages
from watchword.wire.messages import FRAME_LIMIT, Boundaries, Snapshot, Welcome
from watchword.wire.policy import PolicyDocument, difference, digest

pytestmark = pytest.mark.timeout(240)

SEED = 9


class Scene:
    """What the impostor has seen before the Console was gone."""

    def __init__(self, outpost: Outpost) -> None:
        self.outpost = outpost
        known = {name: credential.enrolled(data(host)) for name, host in outpost.hosts.items()}
        self.victim, self.other = known["db"], known["web"]
        assert self.victim is not None
        assert self.other is not None
        self.older = self._with_guests(True)
        self.held = self._with_guests(False)
        self.foreign = signed(outpost, "web")
        self.open = opened(self.held.document)
        self.key = SigningKey.generate(random.Random(SEED).randbytes)

    def _with_guests(self, allowed: bool) -> SignedDocument:
        (ruleset,) = self.outpost.operator.get("/v1/networkrulesetpolicies", recursive="true")
        rules = ruleset["incomingRules"]
        rules[0]["object"] = [["app=client"], ["app=guest"]] if allowed else [["app=client"]]
        path = f"/v1/networkrulesetpolicies/{ruleset['ID']}"
        self.outpost.enforces(self.outpost.operator.change(path, {"incomingRules": rules}), "web", "db")
        assert self.outpost.verdicts() == (True, allowed, False)
        return signed(self.outpost, "db")

    def forged(self, document: PolicyDocument) -> SignedDocument:
        """Signed by a key of the impostor's own."""
        assert self.victim is not None
        signature = sign_revision(self.key, self.victim.enforcer, document.revision, digest(document))
        return SignedDocument(document, signature)

    def unmoved(self) -> None:
        """The applications meet what the Console said last, and the agent lives."""
        assert self.outpost.verdicts() == RULED
        assert self.outpost.enforcers["db"].agent.running()
        assert self.outpost.status("db")["revision"]["enforced"] == self.held.document.revision


def signed(outpost: Outpost, name: str) -> SignedDocument:
    """The revision that a host has on disk."""
    enrolled = credential.enrolled(data(outpost.hosts[name]))
    assert enrolled is not None
    revision = outpost.status(name)["revision"]["enforced"]
    store = RevisionStore(data(outpost.hosts[name]), enrolled.console_public, enrolled.enforcer)
    until(lambda: (kept := store.load()) is not None and kept.document.revision == revision, outpost.logs)
    found = store.load()
    assert found is not None
    return found


def opened(document: PolicyDocument) -> PolicyDocument:
    """A newer revision in which everybody may do everything."""
    units = {
        key: msgspec.structs.replace(unit, incoming=(), default_incoming="Allow")
        for key, unit in document.units.items()
    }
    return msgspec.structs.replace(document, revision=document.revision + 1, units=units)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with outposts("impostor") as outpost:
        yield Scene(outpost)


@pytest.fixture(scope="module")
def impostor(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Impostor]:
    """In the Console's place. Afterwards that is back, elsewhere."""
    console, victim = scene.outpost.console, scene.victim
    assert victim is not None
    console.process.kill()
    stolen = tmp_path_factory.mktemp("stolen") / "server.pem"
    shutil.copy(console.host.directory / "data" / "server.pem", stolen)
    until(lambda: not listens(console.host, 7443), scene.outpost.logs)
    with Impostor(console.host, (console.host.ipv4, 7443), stolen, victim.console, victim.enforcer) as made:
        yield made


def welcome(scene: Scene, **more: Any) -> Welcome:
    assert scene.victim is not None
    return Welcome(scene.victim.enforcer, "/site", **more)


def test_no_policy_of_somebody_elses_making_is_taken(scene: Scene, impostor: Impostor) -> None:
    """Unsigned, signed by another key, under the signature of another revision, old, another host's, as a delta."""
    held, opened = scene.held, scene.open
    offered = [
        SignedDocument(opened, b""),
        SignedDocument(opened, held.signature),
        SignedDocument(opened, bytes(64)),
        SignedDocument(msgspec.structs.replace(opened, revision=held.document.revision), held.signature),
        scene.forged(opened),
        scene.older,
        SignedDocument(msgspec.structs.replace(scene.older.document, revision=opened.revision), scene.older.signature),
        scene.foreign,
        SignedDocument(msgspec.structs.replace(scene.foreign.document, revision=2**62), scene.foreign.signature),
    ]
    deltas = [
        messages.Delta(difference(held.document, document), signature)
        for document, signature in (scene.forged(opened), (opened, held.signature), scene.older)
    ]

    async def attack(victim: Victim) -> list[str]:
        await victim.say(welcome(scene))
        for each in offered:
            await victim.say(Snapshot(each.document, each.signature))
        for delta in deltas:
            await victim.say(delta)
        return [refusal.reason for refusal in await victim.refusals(len(offered) + len(deltas))]

    reasons = impostor.attack(attack)
    assert "older than" in reasons[5], reasons
    assert sum("signature" in reason for reason in reasons) >= len(reasons) - 3, reasons
    scene.unmoved()


def test_no_damaged_or_enlarged_revision_does_anything(scene: Scene, impostor: Impostor) -> None:
    """The real one, cut and with bits flipped anywhere; one with a field more; one beyond the limit of a frame."""
    chance = random.Random(SEED)
    whole = messages.encode(Snapshot(*scene.held))
    frames = [whole[: chance.randrange(len(whole))] for _ in range(15)]
    for _ in range(45):
        at = chance.randrange(len(whole))
        frames.append(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
    content = msgspec.msgpack.decode(messages.encode(Snapshot(*scene.forged(scene.open))))
    content["document"]["unheard"] = True
    frames += [msgspec.msgpack.encode(content), bytes(FRAME_LIMIT + 1)]
    waiting = iter(frames)

    async def attack(victim: Victim) -> bool:
        """As many as one session takes; whether all have been sent."""
        await victim.say(welcome(scene))
        for frame in waiting:
            await victim.connection.send(frame)
            if len(frame) != len(whole) and await victim.ended(1.0):
                return False
        return True

    while not impostor.attack(attack):
        pass
    scene.unmoved()


def test_no_settings_that_open_anything_are_taken(scene: Scene, impostor: Impostor) -> None:
    """Networks to leave alone, rules that lapse when the session ends: unsigned, and signed by another key."""
    assert scene.victim is not None
    everything = Boundaries(2**60, ("0.0.0.0/0", "::/0"))
    said = [
        everything,
        msgspec.structs.replace(everything, signature=bytes(64)),
        sign_boundaries(scene.key, scene.victim.enforcer, everything),
        sign_boundaries(scene.key, scene.victim.enforcer, Boundaries(2**60, offline_max_age=0.001)),
        sign_boundaries(scene.key, scene.victim.enforcer, Boundaries(2**60, key_lifetime=1e12)),
    ]

    async def attack(victim: Victim) -> None:
        for boundaries in said:
            await victim.say(welcome(scene, boundaries=boundaries, offline_max_age=0.001))
        await victim.say(Snapshot(*scene.forged(scene.open)))
        await victim.refusals(1)

    impostor.attack(attack)
    assert any("networks" in problem for problem in scene.outpost.status("db")["problems"])
    for _ in range(15):  # the agent looks at the age of its revision twice a second
        assert not scene.outpost.status("db")["revision"]["lapsed"]
        time.sleep(0.1)
    scene.unmoved()


def test_the_console_comes_back_elsewhere_with_another_certificate(scene: Scene, impostor: Impostor) -> None:
    """Its address is a setting; what it is known by is its CA. It finds nothing of what somebody else has said."""
    outpost, console = scene.outpost, scene.outpost.console
    (console.host.directory / "data" / "server.pem").unlink()
    command = [
        word.replace(f"{console.host.ipv4}:7443", f"{console.host.ipv4}:7444") for word in console.process.command
    ]
    console.process = console.host.start(command)
    until(lambda: listens(console.host, 7444), console.process.output)
    for name, enforcer in outpost.enforcers.items():
        text = enforcer.settings.read_text()
        enforcer.settings.write_text(f"console = 'https://{console.host.ipv4}:7444'\n" + text)
        enforcer.kill()
        enforcer.start()
        until(lambda name=name: outpost.status(name)["link"]["state"] == "established", outpost.logs)  # type: ignore[misc]
    assert outpost.verdicts() == RULED
    assert outpost.status("db")["problems"] == []
    assert Path(outpost.enforcers["db"].settings).exists()
