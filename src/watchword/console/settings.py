"""What an operator decides about one Console before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Names that a Console's TLS certificate always has.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class SettingsError(ValueError):
    """A setting is unusable; the message names it and says what to write instead. Stop."""


@dataclass(frozen=True, slots=True)
class Settings:
    """See ``docs/rest.md`` for each field."""

    data_dir: Path
    listen: tuple[str, ...] = ("0.0.0.0:7443",)
    names: tuple[str, ...] = ()
    url: str = ""
    database_url: str = ""
    flow_days: int = 30

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """``listen`` as pairs of host and port. Raises :class:`SettingsError`."""
        if not self.listen:
            raise SettingsError("listen: is empty; give at least one host:port")
        return tuple(map(_address, self.listen))

    def certificate_names(self) -> tuple[str, ...]:
        """All names of the TLS certificate, the given ones first."""
        return tuple(dict.fromkeys((*self.names, *LOCAL_NAMES)))

    def store_url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'console.db'}"

    def public_url(self, port: int) -> str:
        """Where Enforcers find this Console, if it listens on ``port``."""
        if self.url:
            if not self.url.startswith("https://"):
                raise SettingsError("url: has to begin with https://")
            return self.url.rstrip("/")
        name = self.certificate_names()[0]
        return f"https://[{name}]:{port}" if ":" in name else f"https://{name}:{port}"


@dataclass(frozen=True, slots=True)
class FirstStart:
    """Given once, when a data directory is filled for the first time. ``credential`` is a secret."""

    url: str
    credential: str
    ca_pem: str
    ca_sha256: str
    console_id: str

    def __repr__(self) -> str:
        return f"FirstStart(url={self.url!r}, ca_sha256={self.ca_sha256!r}, console_id={self.console_id!r})"


@dataclass(frozen=True, slots=True)
class Ready:
    """Given at every start, when connections are accepted."""

    url: str
    ca_pem: str
    ca_sha256: str
    console_id: str
    addresses: tuple[str, ...]


FirstStartHandler = Callable[[FirstStart], None]
ReadyHandler = Callable[[Ready], None]


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"listen: {text!r} is not host:port; write 0.0.0.0:7443 or [::]:7443")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise SettingsError(f"listen: {text!r} has no host; write 0.0.0.0:{port} for every address")
    return host, int(port)
