"""A new host becomes an Enforcer: install token in, certificate out.

1. The token is checked in constant time; unknown, spent and expired tokens get the same answer.
2. The host proves that it holds the key it enrols.
3. Enrolling the same key with the same token again gives the same Enforcer and uses nothing up: a host
   whose answer was lost asks again. That ends with the token's life.
4. A key that was evicted never comes back.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec
from sqlalchemy import insert, select

from watchword.console.changes import Author, Change
from watchword.console.consequences import Surroundings
from watchword.console.lifecycle import ENFORCER, Mint
from watchword.console.problems import Problem, invalid
from watchword.console.roster import encode_keys
from watchword.console.spaces import space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, enrolments, evicted_keys
from watchword.console.trust import Trust
from watchword.identity.keys import KEY_LENGTH, SignatureError
from watchword.identity.signatures import verify_enrolment
from watchword.identity.tokens import InstallToken, TokenError, matches
from watchword.model import registry
from watchword.model.declarations import Part
from watchword.model.elements import NAME, TEXT, element
from watchword.model.problems import Invalid
from watchword.model.resources import Enforcer

TOKEN = registry.kind("token")

_REFUSED = "the install token is unknown, spent or expired; ask for a new one"


class Enrolment(Part, frozen=True, kw_only=True):
    """What a new host sends."""

    token: Annotated[str, msgspec.Meta(max_length=4096)]
    public_key: Annotated[str, msgspec.Meta(max_length=64)]
    proof: Annotated[str, msgspec.Meta(max_length=128)]
    name: Annotated[str, element("write a name without control characters", max_length=200, pattern=NAME)]
    fqdn: Annotated[str, element("leave NUL out", max_length=256, pattern=TEXT)] = ""
    machine_id: Annotated[str, element("leave NUL out", max_length=256, pattern=TEXT)] = ""


class Enrolled(Part, frozen=True, kw_only=True):
    """What it gets."""

    enforcer_id: str
    name: str
    namespace: str
    certificate: str
    ca: str
    console_id: str
    console_public_key: str


class TokenRefused(Exception):  # noqa: N818 - caught by the endpoint alone, which counts it
    """The token is no good."""


async def enrol(change: Change, trust: Trust, mint: Mint, given: Enrolment) -> tuple[Enrolled, bool]:
    """Enrol a host; the answer, and whether it made a new Enforcer.

    Raises :class:`TokenRefused` or :class:`Problem`.
    """
    token = await _valid_token(change, given.token)
    public = _bytes(given.public_key, KEY_LENGTH, "publicKey")
    try:
        verify_enrolment(public, token.id, _bytes(given.proof, 64, "proof"))
    except SignatureError:
        raise Problem("forbidden", "proof: is not a signature of this token by publicKey") from None
    if await change.connection.scalar(select(evicted_keys.c.enforcer_id).where(evicted_keys.c.public_key == public)):
        raise Problem("forbidden", "publicKey: this key was evicted; make a new key and enrol again")
    table = TABLES["enforcer"]
    known = await records.find(change.connection, ENFORCER, table.c.public_key == public)
    if known:
        await _may_repeat(change, token, public, known[0])
        return _answer(trust, known[0]), False
    await _use(change, token)
    record = await _create(change, trust, mint, token, public, given)
    values = {"token_id": token.id, "public_key": public, "enforcer_id": record.id}
    await change.connection.execute(insert(enrolments).values(values))
    return _answer(trust, record), True


async def _valid_token(change: Change, text: str) -> Record:
    try:
        shown = InstallToken.decode(text)
    except TokenError as error:
        raise TokenRefused(str(error)) from None
    token = await records.by_id(change.connection, TOKEN, shown.id)
    # Compare even if there is no such token: whether an ID exists is nobody's business.
    stored = token.private["secret_hash"] if token is not None else bytes(32)
    if not matches(shown.secret, stored) or token is None:
        raise TokenRefused(_REFUSED)
    if token.resource.expiration_time <= change.now:
        raise TokenRefused(_REFUSED)
    return token


async def _may_repeat(change: Change, token: Record, public: bytes, enforcer: Record) -> None:
    """A key that is enrolled already: fine with the same token, or with another one of its namespace."""
    statement = select(enrolments.c.enforcer_id).where(
        enrolments.c.token_id == token.id, enrolments.c.public_key == public
    )
    if await change.connection.scalar(statement) == enforcer.id:
        return
    if token.resource.namespace != enforcer.resource.namespace:
        raise Problem(
            "conflict",
            f"publicKey: is enrolled in namespace {enforcer.resource.namespace}; make a new key to enrol in another",
        )
    await _use(change, token)
    values = {"token_id": token.id, "public_key": public, "enforcer_id": enforcer.id}
    await change.connection.execute(insert(enrolments).values(values))


async def _use(change: Change, token: Record) -> None:
    if token.resource.used >= token.resource.uses:
        raise TokenRefused(_REFUSED)
    await change.update(token, msgspec.structs.replace(token.resource, used=token.resource.used + 1))


async def _create(change: Change, trust: Trust, mint: Mint, token: Record, public: bytes, given: Enrolment) -> Record:
    where = await space(change.connection, token.resource.namespace)
    identifier = mint.identifiers.new()
    try:
        certificate = trust.certify(identifier, public, change.now, mint.random)
    except ValueError:
        raise invalid(Invalid("publicKey", "is not an Ed25519 key", "send the 32 raw bytes, base64")) from None
    enforcer = Enforcer(
        id=identifier,
        namespace=where.path,
        name=await _free_name(change, where.path, given.name, identifier),
        fqdn=given.fqdn,
        machine_id=given.machine_id,
        certificate=certificate,
    )
    enforcer = await Surroundings(change).equipped(enforcer)
    return await change.create(Record(ENFORCER, enforcer, {"public_key": public, "datapath_keys": encode_keys(())}))


async def _free_name(change: Change, namespace: str, name: str, identifier: str) -> str:
    """``name``, with a suffix if another Enforcer has it: host names collide, hosts do not."""
    table = TABLES["enforcer"]
    taken = await records.find(change.connection, ENFORCER, table.c.namespace == namespace, table.c.name == name)
    return f"{name}-{identifier[-8:]}" if taken else name


def _bytes(text: str, length: int, path: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length:
        raise invalid(Invalid(path, f"is not {length} bytes in base64", "send the raw bytes, base64 with padding"))
    return raw


def _answer(trust: Trust, record: Record) -> Enrolled:
    return Enrolled(
        enforcer_id=record.id,
        name=record.resource.name,
        namespace=record.resource.namespace,
        certificate=record.resource.certificate,
        ca=trust.ca_pem,
        console_id=trust.console_id,
        console_public_key=base64.b64encode(trust.signing_key.public).decode(),
    )


#: The author of what an enrolment changes, before there is an Enforcer to name.
def author(source: str) -> Author:
    """How activities call a host that enrols."""
    return Author("enrolment", source)
