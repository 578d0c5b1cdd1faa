"""Profiles: which Console to talk to, as whom, and whose certificate to believe.

They live in one TOML file that only its owner may read, because it holds credentials. A credential
comes from a file, standard input or the environment, never from an argument: arguments are public.

The environment overrides a profile: ``WATCHWORD_URL``, ``WATCHWORD_CA`` (a PEM file),
``WATCHWORD_CREDENTIAL``, ``WATCHWORD_NAMESPACE``; ``WATCHWORD_PROFILE`` chooses one, and
``WATCHWORD_PROFILES`` is another file.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from watchword.cli.failure import ExitCode, Failure

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAMESPACE = re.compile(r"/|(/[A-Za-z0-9_-]+)+")
_FIELDS = ("url", "namespace", "ca", "credential")


@dataclass(frozen=True)
class Profile:
    """One Console and one way to be known there. ``ca`` is PEM text."""

    name: str
    url: str
    ca: str
    credential: str = field(repr=False)
    namespace: str = "/"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.path.strip("/"):
            raise _wrong(f"{self.name}: {self.url!r} is no Console address", "give https://HOST:PORT")
        if not _NAME.fullmatch(self.name):
            raise _wrong(f"{self.name!r} is no profile name", "use letters, digits, - and _")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise _wrong(f"{self.name}: {self.namespace!r} is no namespace", "write it like /acme/prod")
        if self.ca and "-----BEGIN CERTIFICATE-----" not in self.ca:
            raise _wrong(f"{self.name}: the CA is no PEM certificate", "give the file ca.pem of the Console")


@dataclass(frozen=True)
class Profiles:
    """The whole file."""

    active: str = ""
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def chosen(self, name: str = "") -> Profile:
        """The profile called ``name``, else the active one."""
        wanted = name or self.active
        if not wanted:
            raise _wrong("there is no profile", "add one: watchword profile add NAME --url URL --ca FILE")
        if wanted not in self.profiles:
            known = ", ".join(sorted(self.profiles)) or "none"
            raise _wrong(f"there is no profile {wanted!r} (there is: {known})", "see: watchword profile list")
        return self.profiles[wanted]

    def with_profile(self, profile: Profile, *, activate: bool) -> Profiles:
        """These profiles and ``profile``, which replaces one of the same name."""
        active = profile.name if activate or not self.active else self.active
        return Profiles(active, {**self.profiles, profile.name: profile})

    def with_active(self, name: str) -> Profiles:
        """These profiles, with ``name`` the active one."""
        return replace(self, active=self.chosen(name).name)


def _wrong(message: str, remedy: str) -> Failure:
    return Failure(message, remedy, ExitCode.USAGE)


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the profiles are."""
    if path := environment.get("WATCHWORD_PROFILES"):
        return Path(path)
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(home) / "watchword" / "profiles.toml"


def load(path: Path) -> Profiles:
    """The profiles in ``path``; none if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Profiles()
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise _wrong(f"{path} holds credentials and others may read it (mode {mode:o})", f"chmod 600 {path}")
        if status.st_uid != os.geteuid():
            raise _wrong(f"{path} belongs to another user", "use a file of your own: WATCHWORD_PROFILES=PATH")
        try:
            content = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise _wrong(f"{path}: {error}", "repair the file, or remove it and add the profile again") from None
    return _parsed(path, content)


def _parsed(path: Path, content: Mapping[str, object]) -> Profiles:
    unknown = set(content) - {"active", "profiles"}
    tables, active = content.get("profiles", {}), content.get("active", "")
    if unknown or not isinstance(tables, dict) or not isinstance(active, str):
        raise _wrong(f"{path}: unknown entries {sorted(unknown)}", "remove them")
    profiles = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or set(table) - set(_FIELDS) or not {"url", "ca"} <= set(table):
            raise _wrong(f"{path}: profile {name!r} must have url and ca, and may have namespace and credential", "")
        if not all(isinstance(value, str) for value in table.values()):
            raise _wrong(f"{path}: profile {name!r} holds something that is not text", "repair it")
        profiles[name] = Profile(name=name, **{"credential": "", **table})
    return Profiles(active, profiles)


def save(path: Path, profiles: Profiles) -> None:
    """Write ``profiles`` to ``path``: whole or not at all, readable by the owner only."""
    lines = [f"active = {_quoted(profiles.active)}"]
    for name, profile in sorted(profiles.profiles.items()):
        lines += ["", f"[profiles.{name}]"]
        lines += [f"{key} = {_quoted(getattr(profile, key))}" for key in _FIELDS]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, "\n".join(lines) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that holds a secret: mode 0600 from its first byte, replaced in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        beside.rename(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Failure(f"cannot write {path}: {error.strerror}", "choose a place you may write to") from error


def _quoted(text: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's, except that TOML also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def current(
    name: str = "", namespace: str = "", *, environment: Mapping[str, str] = os.environ, path: Path | None = None
) -> Profile:
    """What a command uses: the chosen profile, with what the environment and the command line override."""
    profiles = load(path or default_path(environment))
    url, ca_file = environment.get("WATCHWORD_URL", ""), environment.get("WATCHWORD_CA", "")
    name = name or environment.get("WATCHWORD_PROFILE", "")
    if url and not name:
        # The whole address comes from the environment: a profile's credential must not go to another Console.
        profile = Profile("environment", url, _read_ca(ca_file) if ca_file else "", "")
    else:
        profile = profiles.chosen(name)
    credential = environment.get("WATCHWORD_CREDENTIAL", "").strip() or profile.credential
    namespace = namespace or environment.get("WATCHWORD_NAMESPACE", "") or profile.namespace
    profile = replace(profile, credential=credential, namespace=namespace)
    if not profile.credential:
        raise Failure(
            f"profile {profile.name!r} has no credential",
            f"watchword profile add {profile.name} …, or set WATCHWORD_CREDENTIAL",
            ExitCode.UNAUTHORISED,
        )
    if not profile.ca:
        raise _wrong(f"profile {profile.name!r} has no CA certificate", "set WATCHWORD_CA to the Console's ca.pem")
    return profile


def _read_ca(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"cannot read the CA certificate {file}: {error}", "give the Console's ca.pem") from None
