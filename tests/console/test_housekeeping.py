"""What the Console does by itself as time goes by, with the clock in the test's hand."""

from __future__ import annotations

import base64
import datetime
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import func, select

from tests.console.rig import running
from watchword.console import enrolment, housekeeping, lifecycle
from watchword.console.bootstrap import AUTHOR
from watchword.console.console import Console, fill, open_console
from watchword.console.recovery import recover_administrator
from watchword.console.settings import Settings, SettingsError
from watchword.console.spaces import space
from watchword.console.store import records
from watchword.console.store.schema import TABLES, answers
from watchword.console.stream import registration
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import sign_enrolment
from watchword.identity.tokens import InstallToken
from watchword.model.resources import FlowReport, Token
from watchword.wire.messages import UnitRegistration


class Clock:
    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now

    def advance(self, **time: float) -> None:
        self.now += datetime.timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def quiet(tmp_path: Path, clock: Clock) -> AsyncIterator[Console]:
    """A Console that is open but does not listen."""
    console = await open_console(Settings(tmp_path / "data", names=("127.0.0.1",)), clock=clock)
    console.mint.url = "https://127.0.0.1:7443"
    await fill(console, None)
    yield console
    await console.close()


async def enrolled(console: Console, name: str = "edge") -> Any:
    key = SigningKey.generate(secrets.token_bytes)
    async with console.changes.begin(AUTHOR) as change:
        where = await space(change.connection, "/")
        token = (
            await lifecycle.create(change, console.mint, enrolment.TOKEN, where, Token(name=f"t-{name}"))
        ).shown.token
        proof = sign_enrolment(key, InstallToken.decode(token).id)
        given = enrolment.Enrolment(
            token=token,
            public_key=base64.b64encode(key.public).decode(),
            proof=base64.b64encode(proof).decode(),
            name=name,
        )
        told, _ = await enrolment.enrol(change, console.trust, console.mint, given)
    return await enforcer(console, told.enforcer_id)


async def enforcer(console: Console, identifier: str) -> Any:
    async with console.database.reading() as connection:
        record = await records.by_id(connection, lifecycle.ENFORCER, identifier)
    assert record is not None
    return record.resource


async def count(console: Console, table: Any) -> int:
    async with console.database.reading() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def test_certificates_are_renewed_in_time(quiet: Console, clock: Clock) -> None:
    first = await enrolled(quiet)
    server = (quiet.settings.data_dir / "server.pem").read_bytes()
    await quiet.housekeeping.renew_certificates()
    assert (await enforcer(quiet, first.id)).certificate == first.certificate
    before = quiet.roster.world.revision
    clock.advance(days=290)
    await quiet.housekeeping.renew_certificates()
    renewed = await enforcer(quiet, first.id)
    assert renewed.certificate != first.certificate
    ends = x509.load_pem_x509_certificate(renewed.certificate.encode()).not_valid_after_utc
    assert ends - clock.now > datetime.timedelta(days=300)
    assert quiet.roster.world.revision == before + 1  # peers get it, connected or not
    assert (quiet.settings.data_dir / "server.pem").read_bytes() == server
    clock.advance(days=90)
    await quiet.housekeeping.renew_certificates()
    assert (quiet.settings.data_dir / "server.pem").read_bytes() != server


async def test_a_certificate_from_the_future_does_not_stay(quiet: Console, clock: Clock) -> None:
    """The clock was a year ahead, and something was renewed then: nobody would accept it for that year."""
    clock.advance(days=400)
    await quiet.housekeeping.renew_certificates()
    ahead = (quiet.settings.data_dir / "server.pem").read_bytes()
    await quiet.housekeeping.renew_certificates()
    assert (quiet.settings.data_dir / "server.pem").read_bytes() == ahead
    clock.advance(days=-400)
    await quiet.housekeeping.renew_certificates()
    present = (quiet.settings.data_dir / "server.pem").read_bytes()
    assert present != ahead
    begins = x509.load_pem_x509_certificate(present).not_valid_before_utc
    assert begins < clock.now


async def test_units_are_remembered_for_a_while(quiet: Console, clock: Clock) -> None:
    owner = await enrolled(quiet)
    registrations = [UnitRegistration(native_id=name, type="Process", name=name) for name in ("old", "new", "alive")]
    async with quiet.changes.begin(AUTHOR) as change:
        await registration.register(change, quiet.identifiers, owner, registrations, complete=True)
    async with quiet.changes.begin(AUTHOR) as change:
        await registration.retire(change, owner, ["old"])
    clock.advance(days=5)
    async with quiet.changes.begin(AUTHOR) as change:
        await registration.retire(change, owner, ["new"])
    clock.advance(days=3)
    await quiet.housekeeping.forget()
    async with quiet.database.reading() as connection:
        left = await records.everything(connection, lifecycle.UNIT)
    assert {record.resource.name for record in left} == {"new", "alive"}


async def test_old_answers_and_activities_go(quiet: Console, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with quiet.database.writing() as connection:
        for key, age in (("old", 25), ("new", 1)):
            await connection.execute(
                answers.insert().values(
                    credential_id="c",
                    key=key,
                    request_hash=b"",
                    status=201,
                    headers={},
                    body=b"",
                    time=clock.now - datetime.timedelta(hours=age),
                )
            )
    for index in range(5):
        clock.advance(seconds=1)
        await enrolled(quiet, f"h{index}")
    monkeypatch.setattr(housekeeping, "ACTIVITY_LIMIT", 3)
    await quiet.housekeeping.forget()
    async with quiet.database.reading() as connection:
        assert (await connection.execute(select(answers.c.key))).scalars().all() == ["new"]
    assert await count(quiet, TABLES["activity"]) == 3


async def test_old_flows_go_and_counting_goes_on(quiet: Console, clock: Clock) -> None:
    def report() -> FlowReport:
        return FlowReport(namespace="/", timestamp=clock.now)

    await quiet.reports.flows.append("e", 1, [report(), report()])
    clock.advance(days=31)
    await quiet.reports.flows.append("e", 2, [report()])
    await quiet.housekeeping.forget()
    from watchword.console.flows.store import ReportQuery

    (left,) = await quiet.reports.flows.query(ReportQuery("/"))
    assert left.id == f"{3:016x}"
    clock.advance(days=31)
    await quiet.housekeeping.forget()
    assert [each.id for each in await quiet.reports.flows.query(ReportQuery("/"))] == [f"{3:016x}"]


async def test_silence_makes_unreachable(quiet: Console, clock: Clock) -> None:
    first = await enrolled(quiet)
    quiet.presence.connected(first.id)
    clock.advance(minutes=6)
    await quiet.presence.write()
    assert (await enforcer(quiet, first.id)).unreachable is False  # connected: pings see to it
    quiet.presence.disconnected(first.id)
    clock.advance(minutes=6)
    await quiet.presence.write()
    state = await enforcer(quiet, first.id)
    assert (state.unreachable, state.operational_status) == (True, "Disconnected")


async def test_a_new_name_makes_a_new_certificate(tmp_path: Path) -> None:
    for names in (("a.example.com",), ("b.example.com", "192.0.2.1")):
        console = await open_console(Settings(tmp_path / "data", names=names))
        await console.close()
        certificate = x509.load_pem_x509_certificate((tmp_path / "data/server.pem").read_bytes())
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {str(name.value) for name in alternative} >= set(names) | {"localhost", "127.0.0.1", "::1"}


async def test_a_lost_administrator_is_replaced(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "data")
    with pytest.raises(SettingsError, match="yet"):
        await recover_administrator(settings)
    async with running(tmp_path / "data"):
        with pytest.raises(SettingsError, match="another Console"):
            await recover_administrator(settings)
    name, credential = await recover_administrator(settings)
    async with running(tmp_path / "data", credential) as console, console.client() as client:
        assert console.first is None
        assert (await client.get("/v1/me")).json()["name"] == name
