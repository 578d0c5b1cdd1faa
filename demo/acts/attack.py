"""Act 4: the intruder tries harder: scanning, replaying, forging."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from demo import forger, traffic
from demo.cast import PORTS
from demo.forger import Handshake, Outcome
from demo.show import Show
from demo.stage import Stage

TITLE = "Attack: replayed handshakes and forged badges"
WORDS = (
    "The intruder reads and writes the wire. It records how the job greets the database, plays it back, exactly and "
    "with everything corrected that TCP would notice, and forges handshakes with the job's badge. A badge is public; "
    "what counts is the proof, and that is good for one connection only."
)


def perform(show: Show) -> None:
    """Record, replay, forge, scan."""
    stage = show.stage
    with show.narrator.working("recording a handshake of the job with the database"):
        recorded = forger.record(stage)
    _look_at_the_wire(show, recorded)
    before = len(_seen_by_postgres(stage))
    with show.narrator.working("replaying and forging"):
        outcomes = {
            "replaying the packets as they were": forger.replay_verbatim(stage, recorded),
            "replaying with all of TCP put right": forger.replay_fitted(stage, recorded),
            "the job's badge and a made-up proof, from a host without Enforcer": forger.forge_from_outside(
                stage, recorded, secrets.token_bytes(8)
            ),
            "the job's badge and the job's old proof, from there": forger.forge_from_outside(
                stage, recorded, (recorded.ack.option(forger.OPTION) or b"")[-8:]
            ),
            "the same by raw sockets from the compromised workload": forger.forge_from_inside(stage, recorded),
        }
        fooled = forger.replay_answer(stage, recorded)
        page = forger.hand_made_page(stage)
    for text, outcome in outcomes.items():
        show.expect(f"{text}: PostgreSQL says nothing", not outcome.entered, outcome.words)
    _somebody_listened(show, outcomes["replaying with all of TCP put right"])
    show.expect("a recorded answer does not make the job believe in a false database", not fooled, fooled.why)
    show.expect(
        "the tools are sound: where the rules allow it, a handshake by hand gets its page", page.entered, page.words
    )
    came = _seen_by_postgres(stage)[before:]
    known = {stage.address(name, version) for name in ("job", "api") for version in (4, 6)}
    ports = {outcome.port for outcome in outcomes.values()}
    strangers = [f"{host} port {port}" for host, port in came if host not in known or port in ports]
    show.expect(
        "PostgreSQL's own log knows of nobody but the job and the API",
        not strangers,
        ", ".join(strangers) or f"{len(came)} connections of theirs meanwhile",
    )
    _scan(show)
    _reports(show)


def _look_at_the_wire(show: Show, recorded: Handshake) -> None:
    rows, sizes = [], []
    for name, segment in (("SYN", recorded.syn), ("SYN-ACK", recorded.synack), ("ACK", recorded.ack)):
        option = segment.option(forger.OPTION) or b""
        sizes.append(len(option) + 2 if option else 0)
        rows.append((name, f"{sizes[-1]} bytes", _grouped(option)))
    show.narrator.table("The identity option on the wire", ("packet", "option 253", "content"), rows)
    show.expect("each packet of the handshake carries its part of the proof", sizes == [20, 20, 28], str(sizes))


def _grouped(option: bytes) -> str:
    text = option.hex()
    return " ".join(text[at : at + 8] for at in range(0, len(text), 8))


def _somebody_listened(show: Show, outcome: Outcome) -> None:
    """A replay that got no answer at all would show little."""
    show.expect("it was the proof that failed: the replayed SYN itself was answered", outcome.answered, outcome.words)


def _seen_by_postgres(stage: Stage) -> list[tuple[str, int]]:
    """Who has ever connected, by PostgreSQL's log; in order."""
    log: Path = stage.postgres.process.log
    found = re.findall(r"connection received: host=(\S+) port=(\d+)", log.read_text(errors="replace"))
    return [(host, int(port)) for host, port in found]


def _scan(show: Show) -> None:
    stage = show.stage
    targets = [(stage.address(name, version), port) for name, port in PORTS.items() for version in (4, 6)]
    targets += [(stage.address("shop"), port) for port in (22, 443, 3306, 6379)]
    with show.narrator.working("the intruder scans again"):
        found = stage.puppets["wiki"].scan(targets)
        anonymous = stage.outside.scan(targets)
    public = {(stage.address("nginx", version), PORTS["nginx"]) for version in (4, 6)}
    show.expect("the intruder's port scan finds nothing", not found, f"{len(targets)} ports tried, {len(found)} open")
    show.expect(
        "a scan without identity finds the customers' door and nothing else", set(anonymous) == public,
        f"{len(targets)} ports tried, {len(anonymous)} open",
    )  # fmt: skip


def _reports(show: Show) -> None:
    """What the operator sees of all this."""
    operator, stage = show.stage.operator, show.stage
    bad = operator.flows('action == Reject and reason != policy and destinationName == "postgres"')
    reasons = sorted({each["reason"] for each in bad})
    show.expect("the forgeries are reported, with the reason", reasons, ", ".join(reasons))
    outside = operator.flows(
        f'action == Reject and destinationName == "postgres" and sourceIP == "{stage.address("outside", 6)}"'
    )
    show.expect("and SQL without identity, with the address", outside, _named(outside))


def _named(records: list[dict[str, object]]) -> str:
    return ", ".join(sorted({traffic.because(each) for each in records}))
