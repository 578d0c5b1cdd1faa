"""Settings of one Enforcer: a TOML file, then overrides from the command line.

Every value is checked here, so that the rest of the agent need not ask again; an error names the
field and the remedy. The install token is no setting: it is a secret, read from where a setting
points to (a file, standard input, an environment variable) when and only when it is needed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
import sys
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import urlsplit

import msgspec

from watchword.enforcer.errors import SettingsError
from watchword.enforcer.secret import Secret
from watchword.model.problems import Invalid
from watchword.model.tags import check_user

#: The variable that may hold an install token; it is removed from the environment when read.
TOKEN_VARIABLE = "WATCHWORD_INSTALL_TOKEN"  # noqa: S105 - the name of a variable

#: What a unit may be called: also the name of a cgroup and of a file, so nothing that means a path.
UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,127}")

_TOKEN_LIMIT = 16384

UnitType = Literal["Service", "Process", "Container", "Pod"]


class UnitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit declared in the settings: whatever lives in one cgroup, or one systemd unit."""

    name: str
    type: UnitType = "Process"
    cgroup: str = ""  # absolute, or relative to the cgroup root
    systemd: str = ""  # name of a systemd unit
    tags: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one Enforcer, by the names they have in its file."""

    console: str = ""  # https://host:port; may also come with the install token
    name: str = msgspec.field(default_factory=socket.gethostname)
    install_token_file: str = ""  # "-" is standard input
    data_dir: str = "/var/lib/watchword"
    run_dir: str = "/run/watchword"
    pin_dir: str = "/sys/fs/bpf/watchword"
    cgroup_root: str = ""  # empty for the whole cgroup v2 tree
    tags: tuple[str, ...] = ()  # of the host unit
    units: tuple[UnitSettings, ...] = msgspec.field(default=(), name="unit")
    offline_max_age: float | None = None  # seconds; None for what the Console says, 0 for ever
    proxy: str = ""  # empty: as the environment says; "none": no proxy; else the proxy's URL
    trusted_ca: str = ""  # PEM file of a further CA to accept, for TLS-inspecting proxies
    resolvers: tuple[str, ...] = ()  # whose DNS answers are believed; empty for those in /etc/resolv.conf
    table_sizes: dict[str, int] = msgspec.field(default_factory=dict)  # entries of kernel tables, by name

    @property
    def data(self) -> Path:
        """The directory of keys, credential and policy."""
        return Path(self.data_dir)

    @property
    def socket_path(self) -> Path:
        """Where the agent answers ``watchword run`` and ``watchword enforcer status``."""
        return Path(self.run_dir) / "enforcer.sock"


def load(path: str | os.PathLike[str] | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in the file at ``path`` (if any) with ``overrides`` by field name on top.

    An override of None is one that was not given.
    """
    values = _parsed(Path(path)) if path is not None else {}
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    if "install_token" in values or "install_token" in given:
        remedy = "put it into a file of its own (mode 0600) and name that with install_token_file"
        raise SettingsError("install_token", "a token does not belong into settings", remedy)
    try:
        settings = msgspec.convert(values | given, Settings)
    except msgspec.ValidationError as error:
        raise _explained(error) from error
    return checked(settings)


def checked(settings: Settings) -> Settings:
    """``settings`` themselves when every field makes sense; otherwise :class:`SettingsError`."""
    if settings.console:
        check_console(settings.console)
    if not 1 <= len(settings.name) <= 256:
        raise SettingsError("name", f"has {len(settings.name)} characters", "use 1 to 256, such as the host's name")
    for field in ("data_dir", "run_dir", "pin_dir"):
        directory = getattr(settings, field)
        if not os.path.isabs(directory) or os.path.normpath(directory) == "/":
            raise SettingsError(
                field, f"{directory!r} is no absolute directory of its own", "such as /var/lib/watchword"
            )
    if settings.offline_max_age is not None and settings.offline_max_age < 0:
        raise SettingsError("offline_max_age", "is negative", "give seconds, or 0 to hold a revision for ever")
    if settings.proxy not in ("", "none") and urlsplit(settings.proxy).scheme != "http":
        raise SettingsError("proxy", "is no http:// address", 'give that of a CONNECT proxy, or "none"')
    for index, address in enumerate(settings.resolvers):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise SettingsError(f"resolvers[{index}]", f"{address!r} is no address", "such as 192.0.2.53") from None
    _check_tags("tags", settings.tags)
    _check_units(settings.units)
    return settings


def check_console(address: str) -> None:
    """Refuse anything that is not the plain address of a Console."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        raise SettingsError(
            "console", f"{parts.scheme or 'nothing'}:// is no https:// address", "such as https://console:8443"
        )
    if parts.username or parts.password or parts.query or parts.fragment or parts.path not in ("", "/"):
        raise SettingsError("console", "has more than host and port", "such as https://console:8443")


def check_unit(field: str, name: str, tags: tuple[str, ...]) -> None:
    """Refuse a unit name or user tag that the Console or the file system would not take."""
    if not UNIT_NAME.fullmatch(name):
        remedy = "use letters, digits and _ . @ : - (at most 128), a letter or digit first"
        raise SettingsError(f"{field}.name", f"{name!r} cannot name a unit", remedy)
    _check_tags(f"{field}.tags", tags)


def install_token(
    settings: Settings, environ: MutableMapping[str, str] | None = None, stdin: TextIO | None = None
) -> Secret:
    """The install token from where the settings (or the environment) say it is."""
    environ = os.environ if environ is None else environ
    if settings.install_token_file == "-":  # noqa: S105 - not a secret but where it is
        text = (stdin or sys.stdin).read(_TOKEN_LIMIT)
    elif settings.install_token_file:
        text = _token_file(Path(settings.install_token_file))
    else:
        text = environ.pop(TOKEN_VARIABLE, "")
    if not text.strip():
        remedy = "make one at the Console, put it into a file of mode 0600 and name that"
        raise SettingsError("install_token_file", "no install token was given", remedy)
    return Secret(text.strip())


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("settings", f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("settings", f"{path} is not TOML ({error})", "correct it") from error


def _explained(error: msgspec.ValidationError) -> SettingsError:
    """msgspec's text names the place at its end: `… - at `$.unit[0].type``."""
    text, _, place = str(error).partition(" - at ")
    field = place.strip("`").removeprefix("$").lstrip(".") or "settings"
    unknown = re.search(r"unknown field `(.+?)`", text)
    if unknown:
        known = UnitSettings if field.startswith("unit") else Settings
        name = unknown.group(1) if field == "settings" else f"{field}.{unknown.group(1)}"
        return SettingsError(name, "is no setting", "known are " + ", ".join(known.__struct_encode_fields__))
    return SettingsError(field, text, "correct the value")


def _check_tags(field: str, tags: tuple[str, ...]) -> None:
    for index, tag in enumerate(tags):
        try:
            check_user(tag, f"{field}[{index}]")
        except Invalid as problem:
            raise SettingsError(problem.path, problem.message, problem.remedy) from None


def _check_units(units: tuple[UnitSettings, ...]) -> None:
    seen: set[str] = set()
    for index, unit in enumerate(units):
        field = f"unit[{index}]"
        check_unit(field, unit.name, unit.tags)
        if unit.name in seen:
            raise SettingsError(f"{field}.name", f"{unit.name!r} is declared twice", "give each unit its own name")
        seen.add(unit.name)
        if bool(unit.cgroup) == bool(unit.systemd):
            raise SettingsError(field, "needs either cgroup or systemd", "say where the unit runs, once")
        if unit.systemd and ("/" in unit.systemd or "." not in unit.systemd):
            raise SettingsError(f"{field}.systemd", f"{unit.systemd!r} is no systemd unit", "such as nginx.service")


def _token_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                remedy = "make a new token and keep it with mode 0600"
                raise SettingsError("install_token_file", f"{path} is open to others (mode {mode:o})", remedy)
            return file.read(_TOKEN_LIMIT)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("install_token_file", f"{path} cannot be read", "check the path") from error
