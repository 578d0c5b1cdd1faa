"""Profiles: what is kept of a Console, who may read it, and what overrides what."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.profiles import Profile, Profiles, current, default_path, load, save, write_private

CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PROFILE = Profile("home", "https://console.example.com:7443", CA, "wwc1.id.secret", "/acme")


def environment(path: Path, **others: str) -> dict[str, str]:
    return {"WATCHWORD_PROFILES": str(path), **others}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profiles.toml"
    odd = Profile("odd", "https://[::1]:7443", CA + 'a "quote", a \\ and \x7f ünï 😀\n', "wwc1.a.b")
    profiles = Profiles().with_profile(PROFILE, activate=True).with_profile(odd, activate=False)
    save(path, profiles)
    assert load(path) == profiles
    assert load(path).active == "home"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "profiles.toml"
    previous = os.umask(0)
    try:
        save(path, Profiles().with_profile(PROFILE, activate=True))
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["profiles.toml"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "profiles.toml"
    save(path, Profiles().with_profile(PROFILE, activate=True))
    path.chmod(mode)
    with pytest.raises(Failure, match="others may read it") as caught:
        load(path)
    assert "chmod 600" in caught.value.remedy
    assert "secret" not in str(caught.value)


def test_a_private_file_does_not_follow_a_planted_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "token"
    target.symlink_to(victim)
    write_private(target, "new")
    assert victim.read_text() == "precious"
    assert target.read_text() == "new"
    assert not target.is_symlink()


def test_the_secret_is_not_in_the_representation() -> None:
    assert "secret" not in repr(PROFILE)
    assert "secret" not in repr(Profiles().with_profile(PROFILE, activate=True))


@pytest.mark.parametrize(
    "content",
    [
        'active = "a"\nsurprise = 1\n',
        '[profiles.a]\nurl = "https://x:1"\nca = ""\nsurprise = "x"\n',
        '[profiles.a]\nurl = "https://x:1"\n',
        "[profiles.a]\nurl = 1\nca = ''\n",
        "[[profiles]]\n",
        "active = 1\n",
        "not toml",
        '[profiles.a]\nurl = "http://x:1"\nca = ""\n',
        '[profiles."a b"]\nurl = "https://x:1"\nca = ""\n',
        '[profiles.a]\nurl = "https://x:1"\nca = ""\nnamespace = "acme"\n',
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Failure) as caught:
        load(path)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    "url", ["http://h:1", "h:1", "https://", "https://u:p@h:1", "https://h:1/path", "https://h:1?q=1", "file:///etc"]
)
def test_only_a_plain_https_address_is_a_console(url: str) -> None:
    with pytest.raises(Failure, match="no Console address"):
        Profile("a", url, CA, "c")


def test_the_environment_overrides_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    save(path, Profiles().with_profile(PROFILE, activate=True))
    chosen = current(environment=environment(path, WATCHWORD_NAMESPACE="/b", WATCHWORD_CREDENTIAL="wwc1.x.y\n"))
    assert (chosen.namespace, chosen.credential, chosen.url) == ("/b", "wwc1.x.y", PROFILE.url)
    assert current(namespace="/c", environment=environment(path, WATCHWORD_NAMESPACE="/b")).namespace == "/c"


def test_another_console_never_gets_the_profiles_credential(tmp_path: Path) -> None:
    path, ca = tmp_path / "profiles.toml", tmp_path / "ca.pem"
    save(path, Profiles().with_profile(PROFILE, activate=True))
    ca.write_text(CA)
    elsewhere = environment(path, WATCHWORD_URL="https://evil.example.com", WATCHWORD_CA=str(ca))
    with pytest.raises(Failure, match="no credential"):
        current(environment=elsewhere)
    chosen = current(environment={**elsewhere, "WATCHWORD_CREDENTIAL": "wwc1.x.y"})
    assert (chosen.url, chosen.credential) == ("https://evil.example.com", "wwc1.x.y")


def test_without_a_ca_nothing_is_sent(tmp_path: Path) -> None:
    alone = environment(tmp_path / "none", WATCHWORD_URL="https://h:1", WATCHWORD_CREDENTIAL="wwc1.x.y")
    with pytest.raises(Failure, match="no CA certificate"):
        current(environment=alone)


def test_an_unknown_profile_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    save(path, Profiles().with_profile(PROFILE, activate=True))
    with pytest.raises(Failure, match=r"'work' \(there is: home\)"):
        current("work", environment=environment(path))


def test_where_the_file_is() -> None:
    assert default_path({"WATCHWORD_PROFILES": "/x/y"}) == Path("/x/y")
    assert default_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/watchword/profiles.toml")
    assert default_path({"HOME": "/h"}) == Path("/h/.config/watchword/profiles.toml")
