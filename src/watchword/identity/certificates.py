"""The Console's certificate authority, and the certificates it issues and Enforcers verify.

The authority and the Console's TLS certificate use P-256, which every TLS library takes. An
Enforcer's certificate carries its Ed25519 signing key and its ID as a URI name
``spiffe://<console ID>/enforcer/<enforcer ID>``; it says who owns a key, nothing about tags.
Clock and randomness are passed in; files are somebody else's business.
"""

from __future__ import annotations

import datetime
import ipaddress
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from watchword.identity.keys import Random

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
SERVER_LIFETIME = datetime.timedelta(days=397)
ENFORCER_LIFETIME = datetime.timedelta(days=365)
#: Certificates begin this long before they are made, for hosts whose clock is behind.
CLOCK_SLACK = datetime.timedelta(hours=24)

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class CertificateError(Exception):
    """A certificate is not what it has to be; the message says in what."""


@dataclass(frozen=True, slots=True)
class EnforcerIdentity:
    """What an Enforcer's certificate says."""

    console: str
    enforcer: str
    public: bytes  # Ed25519
    not_after: datetime.datetime


def _private_key(random: Random) -> ec.EllipticCurvePrivateKey:
    # 64 bits more than the order: the bias of the remainder is far below notice.
    number = int.from_bytes(random(40), "big") % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _serial(random: Random) -> int:
    return int.from_bytes(random(19), "big") | 1


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """The Console's certificate authority."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, console: str, now: datetime.datetime, random: Random) -> Authority:
        """A new authority for the Console with ID ``console``."""
        key = _private_key(random)
        name = _common_name(f"Watchword Console {console}")
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(_serial(random))
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(now + AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Authority:
        """The authority stored as two PEM files."""
        private = serialization.load_pem_private_key(key, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise CertificateError("the authority's key is not an elliptic-curve key")
        loaded = x509.load_pem_x509_certificate(certificate)
        if loaded.public_key() != private.public_key():
            raise CertificateError("the authority's certificate and key do not belong together")
        return cls(loaded, private)

    def certificate_pem(self) -> bytes:
        """The authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def certificate_der(self) -> bytes:
        """The same as DER, as fingerprints cover it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self) -> bytes:
        """The authority's private key, for a file of mode 0600."""
        return _pem(self._key)

    def _builder(self, subject: str, now: datetime.datetime, random: Random) -> x509.CertificateBuilder:
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(subject))
            .issuer_name(self.certificate.subject)
            .serial_number(_serial(random))
            .not_valid_before(now - CLOCK_SLACK)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(issuer_key, critical=False)
        )

    def issue_server(self, names: Sequence[str], now: datetime.datetime, random: Random) -> tuple[bytes, bytes]:
        """A TLS server certificate for ``names`` (host names and addresses): certificate and key, PEM."""
        if not names:
            raise CertificateError("a server certificate needs at least one name")
        key = _private_key(random)
        certificate = (
            self._builder(names[0], now, random)
            .public_key(key.public_key())
            .not_valid_after(now + SERVER_LIFETIME)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)

    def issue_enforcer(
        self, console: str, enforcer: str, public: bytes, now: datetime.datetime, random: Random
    ) -> bytes:
        """A certificate (DER) that says Ed25519 key ``public`` belongs to Enforcer ``enforcer``."""
        uri = x509.UniformResourceIdentifier(f"spiffe://{console}/enforcer/{enforcer}")
        certificate = (
            self._builder(enforcer, now, random)
            .public_key(Ed25519PublicKey.from_public_bytes(public))
            .not_valid_after(now + ENFORCER_LIFETIME)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)


def server_names(pem: bytes) -> tuple[frozenset[str], datetime.datetime, datetime.datetime]:
    """The names of a TLS server certificate, when it begins to be valid and when it ends."""
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = frozenset(str(name.value) for name in names)
    return found, certificate.not_valid_before_utc, certificate.not_valid_after_utc


#: All that the library raises for bytes that are no certificate, or none that it knows.
_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def verify_enforcer(authority: x509.Certificate, der: bytes, now: datetime.datetime) -> EnforcerIdentity:
    """What ``der`` says, if ``authority`` issued it to an Enforcer and it is valid at ``now``.

    Raises :class:`CertificateError`.
    """
    try:
        with warnings.catch_warnings():
            # Oddities that the library only warns of cannot be ours: the signature check ends them.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(authority)
        if not der.endswith(b"\0" + certificate.signature):  # a count of unused bits, which is signed by nobody
            raise CertificateError("the certificate is malformed: its signature is not whole bytes")
        key = certificate.public_key()
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except InvalidSignature:
        raise CertificateError("the certificate was not issued by this Console's authority") from None
    except _MALFORMED as error:
        raise CertificateError(f"the certificate is malformed: {error}") from None
    if not not_before <= now <= not_after:
        raise CertificateError(f"the certificate is valid from {not_before} to {not_after}, and it is {now}")
    if constraints.ca or not isinstance(key, Ed25519PublicKey):
        raise CertificateError("the certificate is not that of an Enforcer's signing key")
    console, enforcer = _enforcer_name(names)
    return EnforcerIdentity(console=console, enforcer=enforcer, public=key.public_bytes_raw(), not_after=not_after)


def _enforcer_name(names: x509.SubjectAlternativeName) -> tuple[str, str]:
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(names) != 1 or len(uris) != 1:
        raise CertificateError("the certificate does not name exactly one Enforcer")
    console, slash, rest = uris[0].removeprefix("spiffe://").partition("/")
    kind, second, enforcer = rest.partition("/")
    if not uris[0].startswith("spiffe://") or not slash or kind != "enforcer" or not second or "/" in enforcer:
        raise CertificateError(f"the certificate names {uris[0]!r}, which is not an Enforcer")
    if not console or not enforcer:
        raise CertificateError("the certificate leaves the Console or the Enforcer unnamed")
    return console, enforcer
