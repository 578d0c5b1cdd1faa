"""Boundaries are taken with the Console's signature for this Enforcer, and never older ones than are in force."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import pytest

from tests.unit.enforcer.signing_side import ENFORCER, SigningSide
from watchword.enforcer.welcome import Pledge, keep_welcome, remembered_welcome
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import sign_boundaries
from watchword.wire.messages import Boundaries, Welcome

SIDE = SigningSide()
PLEDGE = Pledge(SIDE.key.public, ENFORCER)


def saying(issued: int, *excluded: str, required: tuple[str, ...] = (), enforcer: str = ENFORCER) -> Welcome:
    signed = sign_boundaries(SIDE.key, enforcer, Boundaries(issued, excluded, required))
    return Welcome(ENFORCER, "/", boundaries=signed)


def test_what_is_signed_is_taken_and_newer_takes_its_place() -> None:
    problems = {"boundaries": "an old one"}
    first, second = saying(5, "10.0.0.0/8"), saying(6, required=("10.0.0.0/8",))
    assert PLEDGE.settled(first, None, problems) is first
    assert problems == {}
    assert PLEDGE.settled(second, first, problems) is second
    assert PLEDGE.settled(second, second, problems) is second
    assert (PLEDGE.binding(first), PLEDGE.binding(second)) == (True, True)
    assert (PLEDGE.binding(saying(7)), PLEDGE.binding(Welcome(ENFORCER, "/"))) == (False, False)


def test_what_is_not_said_stays() -> None:
    first = saying(5, "10.0.0.0/8")
    later = PLEDGE.settled(Welcome(ENFORCER, "/", report_interval=7.0), first, {})
    assert (later.report_interval, later.boundaries) == (7.0, first.boundaries)


def changed(welcome: Welcome, **fields: object) -> Welcome:
    assert welcome.boundaries is not None
    return msgspec.structs.replace(welcome, boundaries=msgspec.structs.replace(welcome.boundaries, **fields))


@pytest.mark.parametrize(
    "forged",
    [
        saying(4, "10.0.0.0/8"),  # signed before
        saying(6, "10.0.0.0/8", enforcer="another"),
        changed(saying(6, "10.0.0.0/8"), excluded_networks=("0.0.0.0/0",)),
        changed(saying(6, "10.0.0.0/8"), excluded_interfaces=("eth0",)),
        changed(saying(6, required=("10.0.0.0/8",)), identity_required_networks=()),
        changed(saying(6, "10.0.0.0/8"), excluded_networks=(), identity_required_networks=("10.0.0.0/8",)),
        changed(saying(4, "10.0.0.0/8"), issued=6),
        changed(saying(6), signature=b""),
        changed(saying(6, "192.0.2.0/24"), offline_max_age=0.1),
        changed(saying(6, "192.0.2.0/24"), existing_connections="Cut"),
        changed(saying(6, "192.0.2.0/24"), key_lifetime=1e9),
        Welcome(
            ENFORCER,
            "/",
            boundaries=sign_boundaries(SigningKey.generate(secrets.token_bytes), ENFORCER, Boundaries(6, ("::/0",))),
        ),
    ],
)
def test_what_is_forged_or_old_changes_nothing_and_is_a_problem(forged: Welcome) -> None:
    held, problems = saying(5, "192.0.2.0/24"), dict[str, str]()
    slower = msgspec.structs.replace(forged, report_interval=9.0)
    settled = PLEDGE.settled(slower, held, problems)
    assert settled.boundaries == held.boundaries
    assert settled.report_interval == 9.0
    assert "profile's networks" in problems["boundaries"]


def test_a_file_is_worth_its_signature(tmp_path: Path) -> None:
    good = saying(5, "192.0.2.0/24")
    keep_welcome(tmp_path, good)
    assert PLEDGE.settled(remembered_welcome(tmp_path, ENFORCER, "/", {}), None, {}) == good
    keep_welcome(tmp_path, changed(good, excluded_networks=("::/0",)))
    assert PLEDGE.settled(remembered_welcome(tmp_path, ENFORCER, "/", {}), None, {}).boundaries is None


def test_a_file_that_says_nothing_is_a_problem(tmp_path: Path) -> None:
    """Networks of the profile may not be in force then: nobody may take that for their absence."""
    problems = dict[str, str]()
    assert remembered_welcome(tmp_path, ENFORCER, "/", problems) == Welcome(ENFORCER, "/")
    assert problems == {}
    keep_welcome(tmp_path, saying(5, required=("192.0.2.0/24",)))
    (tmp_path / "welcome").write_bytes((tmp_path / "welcome").read_bytes()[:-1])
    assert remembered_welcome(tmp_path, ENFORCER, "/", problems) == Welcome(ENFORCER, "/")
    assert "unusable" in problems["settings"]
