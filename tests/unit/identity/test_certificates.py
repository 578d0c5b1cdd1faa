"""The authority's certificates: what they say, what TLS makes of them, and impostors."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from watchword.identity.certificates import Authority, CertificateError, server_names, verify_enforcer
from watchword.identity.keys import SigningKey

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
KEY = SigningKey.generate(secrets.token_bytes)
AUTHORITY = Authority.create("c1", NOW, secrets.token_bytes)
OTHER = Authority.create("c1", NOW, secrets.token_bytes)
GOOD = AUTHORITY.issue_enforcer("c1", "e1", KEY.public, NOW, secrets.token_bytes)


def test_an_enforcers_certificate() -> None:
    identity = verify_enforcer(AUTHORITY.certificate, GOOD, NOW)
    assert (identity.console, identity.enforcer, identity.public) == ("c1", "e1", KEY.public)
    assert identity.not_after > NOW + datetime.timedelta(days=300)


def test_of_another_authority() -> None:
    impostor = OTHER.issue_enforcer("c1", "e1", KEY.public, NOW, secrets.token_bytes)
    with pytest.raises(CertificateError, match="authority"):
        verify_enforcer(AUTHORITY.certificate, impostor, NOW)


@pytest.mark.parametrize("days", [-2, 366, 5000])
def test_outside_its_time(days: int) -> None:
    with pytest.raises(CertificateError, match="valid from"):
        verify_enforcer(AUTHORITY.certificate, GOOD, NOW + datetime.timedelta(days=days))


def test_a_clock_that_is_behind_is_forgiven() -> None:
    verify_enforcer(AUTHORITY.certificate, GOOD, NOW - datetime.timedelta(hours=23))


def test_the_consoles_own_certificates_are_no_enforcers() -> None:
    pem, _ = AUTHORITY.issue_server(["console.example.com"], NOW, secrets.token_bytes)
    server = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    for der in (server, AUTHORITY.certificate_der()):
        with pytest.raises(CertificateError):
            verify_enforcer(AUTHORITY.certificate, der, NOW)


@pytest.mark.parametrize(
    "uri",
    [
        "https://c1/enforcer/e1",
        "spiffe://c1/console/e1",
        "spiffe://c1/enforcer/",
        "spiffe:///enforcer/e1",
        "spiffe://c1/enforcer/e1/x",
        "spiffe://c1",
    ],
)
def test_names_of_other_forms(uri: str) -> None:
    """Signed by the very authority, and still no Enforcer."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    with pytest.raises(CertificateError):
        verify_enforcer(AUTHORITY.certificate, forged(names), NOW)


def test_several_names() -> None:
    names = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(f"spiffe://c1/enforcer/{name}") for name in ("e1", "e2")]
    )
    with pytest.raises(CertificateError, match="exactly one"):
        verify_enforcer(AUTHORITY.certificate, forged(names), NOW)


def forged(names: x509.SubjectAlternativeName, ca: bool = False) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e1")]))
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(Ed25519PublicKey.from_public_bytes(KEY.public))
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(names, critical=True)
        .sign(AUTHORITY._key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def test_an_enforcer_is_no_authority() -> None:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://c1/enforcer/e1")])
    verify_enforcer(AUTHORITY.certificate, forged(names), NOW)
    with pytest.raises(CertificateError):
        verify_enforcer(AUTHORITY.certificate, forged(names, ca=True), NOW)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(CertificateError):
        verify_enforcer(AUTHORITY.certificate, noise, NOW)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x55, 0x80, 0xFF])
def test_damage_anywhere_is_noticed(mask: int) -> None:
    for position in range(len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[position] ^= mask
        for der in (bytes(damaged), GOOD[:position], GOOD + bytes([mask])):
            with pytest.raises(CertificateError):
                verify_enforcer(AUTHORITY.certificate, der, NOW)


def test_the_server_certificate_names_hosts_and_addresses() -> None:
    names = ["console.example.com", "192.0.2.1", "2001:db8::1"]
    pem, key = AUTHORITY.issue_server(names, NOW, secrets.token_bytes)
    found, not_before, not_after = server_names(pem)
    assert found == frozenset(names)
    assert not_before == NOW - datetime.timedelta(hours=24)
    assert not_after == NOW + datetime.timedelta(days=397)
    alternative = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternative.value.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
    ]
    assert b"PRIVATE" in key


def test_a_handshake_succeeds_for_the_right_authority_and_name_alone() -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority = Authority.create("c1", now, secrets.token_bytes)
    pem, key = authority.issue_server(["localhost"], now, secrets.token_bytes)
    assert handshake(authority, pem, key, "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, pem, key, "other.example.com")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Authority.create("c1", now, secrets.token_bytes), pem, key, "localhost")


def handshake(trusted: Authority, pem: bytes, key: bytes, name: str) -> str | None:
    import tempfile

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem + key)
        file.flush()
        server.load_cert_chain(file.name)
    client = ssl.create_default_context(cadata=trusted.certificate_pem().decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(6):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ours.version()


def test_the_authority_survives_storing() -> None:
    again = Authority.from_pem(AUTHORITY.certificate_pem(), AUTHORITY.key_pem())
    fresh = again.issue_enforcer("c1", "e2", KEY.public, NOW, secrets.token_bytes)
    assert verify_enforcer(AUTHORITY.certificate, fresh, NOW).enforcer == "e2"
    with pytest.raises(CertificateError, match="belong together"):
        Authority.from_pem(AUTHORITY.certificate_pem(), OTHER.key_pem())


def test_the_key_is_p256() -> None:
    key = AUTHORITY.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
