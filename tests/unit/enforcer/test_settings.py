"""Settings: strict, and every error names the field and the remedy."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from watchword.enforcer.errors import SettingsError
from watchword.enforcer.settings import TOKEN_VARIABLE, Settings, install_token, load

FULL = """
console = "https://console.example:7443"
name = "edge"
data_dir = "/tmp/ww-data"
run_dir = "/tmp/ww-run"
cgroup_root = "/sys/fs/cgroup/unified"
tags = ["role=edge"]
offline_max_age = 3600

[[unit]]
name = "nginx"
type = "Service"
systemd = "nginx.service"
tags = ["app=edge"]

[[unit]]
name = "shop"
cgroup = "apps/shop"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "enforcer.toml"
    path.write_text(text)
    return path


def test_everything_in_a_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, FULL))
    assert settings.name == "edge"
    assert settings.offline_max_age == 3600
    assert [(unit.name, unit.type) for unit in settings.units] == [("nginx", "Service"), ("shop", "Process")]
    assert settings.socket_path == Path("/tmp/ww-run/enforcer.sock")


def test_overrides_win_and_none_is_no_override(tmp_path: Path) -> None:
    settings = load(written(tmp_path, FULL), {"name": "other", "data_dir": None})
    assert (settings.name, settings.data_dir) == ("other", "/tmp/ww-data")


def test_without_a_file_there_are_defaults() -> None:
    assert load(None).pin_dir == "/sys/fs/bpf/watchword"


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("nmae = 'x'", "nmae", "known are"),
        ("[[unit]]\nname='a'\ncgroup='a'\ntgas=[]", "unit[0].tgas", "known are"),
        ("offline_max_age = 'long'", "offline_max_age", "correct"),
        ("offline_max_age = -1", "offline_max_age", "for ever"),
        ("[[unit]]\nname='a'", "unit[0]", "cgroup or systemd"),
        ("[[unit]]\nname='a'\ncgroup='a'\nsystemd='a.service'", "unit[0]", "cgroup or systemd"),
        ("[[unit]]\nname='../a'\ncgroup='a'", "unit[0].name", "letters"),
        ("[[unit]]\nname='a'\ncgroup='a'\n[[unit]]\nname='a'\ncgroup='b'", "unit[1].name", "own name"),
        ("[[unit]]\nname='a'\nsystemd='../a'", "unit[0].systemd", "nginx.service"),
        ("[[unit]]\nname='a'\ntype='Host'\ncgroup='a'", "unit[0].type", "correct"),
        ("tags = ['novalue']", "tags[0]", "="),
        ("tags = ['@os:host=other']", "tags[0]", "not yours"),
        ("tags = ['$name=other']", "tags[0]", "not yours"),
        ("console = 'http://console'", "console", "https"),
        ("console = 'https://user:secret@console'", "console", "https"),
        ("console = 'https://console/?token=secret'", "console", "https"),
        ("data_dir = 'relative'", "data_dir", "absolute"),
        ("data_dir = '/'", "data_dir", "absolute"),
        ("proxy = 'socks5://proxy'", "proxy", "CONNECT"),
        ("name = ''", "name", "1 to 256"),
        ("= 3", "settings", "TOML"),
    ],
)
def test_errors_name_the_field_and_the_remedy(tmp_path: Path, text: str, field: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(written(tmp_path, text))
    assert error.value.field == field
    assert told in str(error.value)
    assert "secret" not in str(error.value)


def test_a_token_in_the_settings_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load(written(tmp_path, 'install_token = "ww1.verysecret"'))
    assert "verysecret" not in str(error.value)
    assert "install_token_file" in error.value.remedy


def token_file(tmp_path: Path, mode: int) -> Settings:
    path = tmp_path / "token"
    path.write_text("ww1.sesame\n")
    path.chmod(mode)
    return load(None, {"install_token_file": str(path)})


def test_the_token_comes_from_a_private_file(tmp_path: Path) -> None:
    token = install_token(token_file(tmp_path, 0o600))
    assert token.reveal() == "ww1.sesame"
    assert "sesame" not in f"{token} {token!r} {[token]}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SettingsError, match="open to others") as error:
        install_token(token_file(tmp_path, mode))
    assert "sesame" not in str(error.value)


def test_the_token_comes_from_standard_input() -> None:
    assert install_token(load(None, {"install_token_file": "-"}), stdin=io.StringIO("ww1.a\n")).reveal() == "ww1.a"


def test_the_token_comes_from_the_environment_and_does_not_stay_there() -> None:
    """Children inherit the environment; they must not inherit the token."""
    environ = dict(os.environ) | {TOKEN_VARIABLE: "ww1.b"}
    assert install_token(load(None), environ).reveal() == "ww1.b"
    assert TOKEN_VARIABLE not in environ


def test_no_token_is_an_error_that_says_where_to_get_one() -> None:
    with pytest.raises(SettingsError, match="no install token"):
        install_token(load(None), {})
