"""The Console's own keys on disk: its ID, its authority, the key that signs revisions, its TLS certificate.

Made once, complete or not at all; every private file has mode 0600 in a directory of mode 0700. The
TLS certificate is made again when it nears its end or the names change; the rest stays.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from watchword.console.settings import SettingsError
from watchword.identity.certificates import Authority, server_names
from watchword.identity.keys import Random, SigningKey
from watchword.identity.tokens import fingerprint

#: The TLS certificate is made again when less than this is left of it.
RENEWAL = datetime.timedelta(days=30)
#: An Enforcer's certificate is made again when less than this is left of it.
ENFORCER_RENEWAL = datetime.timedelta(days=90)


@dataclass(frozen=True)
class Trust:
    """What makes this Console this Console."""

    console_id: str
    authority: Authority
    signing_key: SigningKey

    @property
    def ca_pem(self) -> str:
        """The CA certificate."""
        return self.authority.certificate_pem().decode()

    @property
    def ca_sha256(self) -> str:
        """Its fingerprint, as install tokens carry it."""
        return fingerprint(self.authority.certificate_der())

    def certify(self, enforcer: str, public: bytes, now: datetime.datetime, random: Random) -> str:
        """A certificate (PEM) that says whose Enforcer ``enforcer``'s key is. Raises :class:`ValueError`."""
        der = self.authority.issue_enforcer(self.console_id, enforcer, public, now, random)
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def renewal_due(certificate: str, now: datetime.datetime) -> bool:
    """Whether an Enforcer's certificate (PEM) nears its end."""
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc - now < ENFORCER_RENEWAL


def claim_directory(path: Path) -> int:
    """Make the data directory private and ours alone; returns a file descriptor that holds the claim.

    Raises :class:`SettingsError` when it is somebody else's or another Console runs on it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise SettingsError(f"data_dir: {path} belongs to user {status.st_uid}; give it to user {os.geteuid()}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)
    lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(f"data_dir: another Console runs on {path}; stop it or choose another directory") from None
    return lock


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, complete or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(data_dir: Path, now: datetime.datetime, random: Random) -> Trust:
    """The trust root in ``data_dir``, made if there is none yet."""
    directory = data_dir / "trust"
    if not directory.exists():
        _create(data_dir, directory, now, random)
    trust = Trust(
        console_id=(directory / "console-id").read_text().strip(),
        authority=Authority.from_pem((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes()),
        signing_key=SigningKey.from_pem((directory / "signing.key").read_bytes()),
    )
    write_private(data_dir / "ca.pem", trust.authority.certificate_pem())
    return trust


def _create(data_dir: Path, directory: Path, now: datetime.datetime, random: Random) -> None:
    console_id = random(8).hex()
    authority = Authority.create(console_id, now, random)
    temporary = data_dir / f".trust.{secrets.token_hex(4)}"
    temporary.mkdir(mode=0o700)
    write_private(temporary / "console-id", console_id.encode())
    write_private(temporary / "ca.pem", authority.certificate_pem())
    write_private(temporary / "ca.key", authority.key_pem())
    write_private(temporary / "signing.key", SigningKey.generate(random).to_pem())
    temporary.rename(directory)


def server_certificate(
    data_dir: Path, trust: Trust, names: tuple[str, ...], now: datetime.datetime, random: Random
) -> tuple[Path, bool]:
    """The file with TLS certificate and key for ``names``, and whether it was made anew."""
    path = data_dir / "server.pem"
    if path.exists():
        present, not_before, not_after = server_names(path.read_bytes())
        # one from the future was made by a clock that has been put right: nobody would accept it until then
        if present == frozenset(names) and not_before <= now < not_after - RENEWAL:
            return path, False
    certificate, key = trust.authority.issue_server(names, now, random)
    write_private(path, certificate + key)
    return path, True
