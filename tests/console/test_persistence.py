"""What survives a restart, and who can read what lies on disk."""

from __future__ import annotations

import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from tests.console.rig import Peer, Running, enrol, new_token, ruleset, running, unit
from watchword.console import logs
from watchword.console.server import serve
from watchword.console.settings import Settings, SettingsError
from watchword.identity.signatures import verify_revision_record
from watchword.identity.tokens import InstallToken


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as first, first.client() as client:
        await client.post("/v1/namespaces", json={"name": "acme"})
        await client.post("/v1/networkrulesetpolicies", json=ruleset("db", "app=db", incoming=["app=web"]))
        host = await enrol(first, "edge")
        async with Peer(host) as peer:
            await peer.register(unit("pg", "app=db"))
        before = {
            plural: (await client.get(f"/v1/{plural}?recursive=true")).json()
            for plural in ("namespaces", "networkrulesetpolicies", "processingunits", "revisions")
        }
        ca, identifier = first.ready.ca_pem, first.ready.console_id
    async with running(data, first.credential) as second, second.client() as client:
        assert second.first is None
        assert (second.ready.ca_pem, second.ready.console_id) == (ca, identifier)
        for plural, resources in before.items():
            assert (await client.get(f"/v1/{plural}?recursive=true")).json() == resources


async def test_a_console_without_a_first_start_has_no_credential_to_show(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as first:
        assert first.first is not None
        assert first.first.credential not in repr(first.first)
    async with running(tmp_path / "data", first.credential) as second, second.client() as client:
        assert (await client.get("/v1/me")).json()["name"] == "administrator"


async def test_nothing_secret_is_readable(console: Running) -> None:
    """Modes, and that no bearer secret is in any file, whatever its mode."""
    token = InstallToken.decode(await new_token(console))
    host = await enrol(console, "edge")
    async with Peer(host) as peer:
        await peer.register(unit("web"))
    secrets = [console.credential.rpartition(".")[2].encode(), token.secret.encode()]
    assert stat.S_IMODE(console.data_dir.stat().st_mode) == 0o700
    seen = 0
    for path in console.data_dir.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, (path, oct(mode))
        if path.is_file():
            seen += 1
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert seen >= 8


async def test_a_wide_open_directory_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    async with running(data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_no_secret_in_the_log(console: Running) -> None:
    logs.configure(json=True)
    try:
        with capture_logs() as events:
            token = await new_token(console)
            async with console.client() as client:
                made = await client.post("/v1/appcredentials", json={"name": "c", "roles": ["namespace.viewer"]})
                bad = {"Authorization": f"Bearer {made.json()['credential']}x"}
                await client.get("/v1/me", headers=bad)
            host = await enrol(console, "edge")
            async with Peer(host) as peer:
                await peer.register(unit("web"), unit("bad", "$id=1"))
        assert events
        written = repr(events)
        for secret in (console.credential, token, InstallToken.decode(token).secret, made.json()["credential"]):
            assert secret.rpartition(".")[2] not in written
    finally:
        structlog.reset_defaults()


async def test_a_failure_shows_no_secret_however_logging_is_set_up(
    console: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The renderer that structlog takes by itself shows local variables, the bearer's text among them."""

    def broken(*_: Any) -> bool:
        raise RuntimeError("the database is gone")

    structlog.reset_defaults()
    monkeypatch.setattr("watchword.console.api.context.matches", broken)
    async with console.client() as client:
        answer = await client.get("/v1/me")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:watchword:problem:internal"
    assert "database" not in answer.text
    shown = "".join(capfd.readouterr())
    assert "the database is gone" in shown
    unboxed = re.sub(r"[^A-Za-z0-9]", "", shown)  # a long value may be wrapped
    assert re.sub(r"[^A-Za-z0-9]", "", console.credential)[:40] not in unboxed


def test_tracebacks_show_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (True, False):
        logs.configure(json=as_json)
        try:
            secret = "".join(("hush", "-", "hush"))
            try:
                raise ValueError(len(secret))
            except ValueError:
                structlog.get_logger().exception("failed")
        finally:
            structlog.reset_defaults()
        written = capsys.readouterr().err
        assert "ValueError" in written
        assert "hush-hush" not in written


async def test_two_consoles_cannot_share_a_directory(console: Running) -> None:
    with pytest.raises(SettingsError, match="another Console"):
        await serve(Settings(console.data_dir, listen=("127.0.0.1:0",)), signals=False)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"listen": ()}, "listen"),
        ({"listen": ("7443",)}, "listen"),
        ({"listen": (":7443",)}, "listen"),
        ({"listen": ("127.0.0.1:x",)}, "listen"),
        ({"listen": ("192.0.2.1:0",)}, "cannot listen"),
        ({"listen": ("127.0.0.1:0",), "url": "http://x"}, "https"),
    ],
)
async def test_unusable_settings(tmp_path: Path, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        await serve(Settings(tmp_path / "data", **settings), signals=False)


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=str(port)):
            await serve(Settings(tmp_path / "data", listen=(f"127.0.0.1:{port}",)), signals=False)


async def test_several_addresses_and_new_names(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as first:
        pass
    async with running(tmp_path / "data", first.credential, url="https://console.test:1/") as second:
        assert second.ready.url == "https://console.test:1"
        assert second.ready.ca_pem == first.ready.ca_pem


async def test_the_history_of_revisions_is_chained(console: Running) -> None:
    """Every record is signed together with the one before; a changed one is noticed."""
    import msgspec

    from watchword.identity.keys import SignatureError
    from watchword.model import chain
    from watchword.model.resources import Revision

    host = await enrol(console, "edge")
    async with console.client() as client:
        await client.post("/v1/networkrulesetpolicies", json=ruleset("db", "app=db", incoming=["app=web"]))
        found = (await client.get("/v1/revisions?order=number")).json()
    previous = b""
    for each in found:
        stored = msgspec.convert(each, Revision)
        signature = bytes.fromhex(stored.signature)
        said = chain.signed_text(stored)
        verify_revision_record(host.console_key, stored.number, said, previous, signature)
        forged = chain.signed_text(msgspec.structs.replace(stored, author="nobody"))
        with pytest.raises(SignatureError):
            verify_revision_record(host.console_key, stored.number, forged, previous, signature)
        previous = signature
    assert len(found) >= 3


async def test_a_lost_administrator_cannot_be_had_from_the_database(console: Running) -> None:
    engine = create_engine(f"sqlite:///{console.data_dir / 'console.db'}")
    with engine.connect() as connection:
        (stored,) = connection.execute(text("SELECT secret_hash FROM appcredentials")).scalars()
    engine.dispose()
    async with console.client(f"wwc1.{console.credential.split('.')[1]}.{stored.hex()}") as client:
        assert (await client.get("/v1/me")).status_code == 401
