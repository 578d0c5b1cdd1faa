"""The Console's half of what an Enforcer verifies: real keys, certificates, documents and signatures."""

from __future__ import annotations

import datetime
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from watchword.enforcer import credential
from watchword.enforcer.credential import Credential, Enrolled
from watchword.enforcer.store import SignedDocument
from watchword.identity.certificates import Authority
from watchword.identity.keys import DatapathPrivateKey, SigningKey
from watchword.identity.signatures import sign_datapath_key, sign_revision
from watchword.wire.policy import (
    Action,
    EnforcerEntry,
    PeerEntry,
    PolicyDocument,
    PortRange,
    RuleEntry,
    UnitEntry,
    digest,
)

NOW = datetime.datetime.now(datetime.UTC)
CONSOLE = "console-1"
ENFORCER = "enforcer-1"

WEB, DB = 101, 202


@dataclass
class SigningSide:
    """One Console's keys."""

    authority: Authority = field(default_factory=lambda: Authority.create(CONSOLE, NOW, secrets.token_bytes))
    key: SigningKey = field(default_factory=lambda: SigningKey.generate(secrets.token_bytes))

    def enrolled(self, key: SigningKey, enforcer: str = ENFORCER, url: str = "https://localhost:1") -> Credential:
        """The credential that this Console would give to the owner of ``key``."""
        certificate = self.authority.issue_enforcer(CONSOLE, enforcer, key.public, NOW, secrets.token_bytes)
        authority = ssl.PEM_cert_to_DER_cert(self.authority.certificate_pem().decode())
        enrolled = Enrolled(url, CONSOLE, self.key.public, enforcer, "host", "/", certificate, authority)
        return credential.checked(enrolled, key)

    def sign(self, document: PolicyDocument, enforcer: str = ENFORCER) -> SignedDocument:
        """The document with this Console's signature."""
        return SignedDocument(document, sign_revision(self.key, enforcer, document.revision, digest(document)))

    def peer(self, enforcer: str, *epochs: int) -> tuple[EnforcerEntry, dict[int, DatapathPrivateKey]]:
        """Another Enforcer, as documents name it, and its private datapath keys."""
        signing = SigningKey.generate(secrets.token_bytes)
        keys = {epoch: DatapathPrivateKey.generate(epoch, secrets.token_bytes) for epoch in epochs}
        published = tuple(
            sign_datapath_key(signing, enforcer, epoch, keys[epoch].public) for epoch in sorted(keys, reverse=True)
        )
        certificate = self.authority.issue_enforcer(CONSOLE, enforcer, signing.public, NOW, secrets.token_bytes)
        return EnforcerEntry(certificate, published), keys


def document(
    revision: int,
    *,
    native_id: str = "host",
    action: Action = "Allow",
    default: Action = "Reject",
    enforcers: Mapping[str, EnforcerEntry] | None = None,
    tags: tuple[str, ...] = ("app=db",),
) -> PolicyDocument:
    """A small policy: the local unit (badge DB) takes tcp/5432 from the one peer (badge WEB)."""
    return PolicyDocument(
        revision=revision,
        units={
            "unit-db": UnitEntry(native_id, DB, "db", "/", tags, ("r1/in/0",), (), default, default),
        },
        rules={"r1/in/0": RuleEntry("r1", "web to db", "/", "", action, "s1", (PortRange(6, 5432, 5432),))},
        selectors={"s1": (("app=web",),)},
        peers={WEB: PeerEntry("unit-web", "web", "/", "enforcer-2", ("s1",))},
        enforcers=dict(enforcers or {}),
    )
