"""What the Console last said about how to behave, kept so that a start without a Console knows it too.

Boundaries open and close networks and say when rules lapse, so they are worth what their signature says, from the wire
as from the disk, and never older than those in force. What the Console does not say of them stays; what is refused
changes nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError
from watchword.identity.keys import SignatureError
from watchword.identity.signatures import verify_boundaries
from watchword.wire.messages import Boundaries, Welcome

_log = logging.getLogger(__name__)

_FILE = "welcome"


def keep_welcome(directory: Path, welcome: Welcome) -> None:
    """Write it into the data directory."""
    files.replace(directory / _FILE, msgspec.msgpack.encode(welcome))


def remembered_welcome(directory: Path, enforcer: str, namespace: str, problems: dict[str, str]) -> Welcome:
    """What the Console last said; its defaults before it ever did, or (see ``problems``) when that is not known."""
    try:
        content = files.read_private(directory / _FILE)
        if content is not None:
            return msgspec.msgpack.decode(content, type=Welcome)
    except (*UNDECODABLE, CredentialError) as error:
        problems["settings"] = f"the Console's last settings are unusable, it has to say them again: {error}"
        _log.error("%s", problems["settings"])
    return Welcome(enforcer=enforcer, namespace=namespace)


class Pledge:
    """Whose word about boundaries counts: that of one Console, to one Enforcer."""

    def __init__(self, console_public: bytes, enforcer: str) -> None:
        self._console_public, self._enforcer = console_public, enforcer

    def settled(self, said: Welcome, held: Welcome | None, problems: dict[str, str]) -> Welcome:
        """``said``, with the boundaries that are to be in force; why those in it are not, is put into ``problems``."""
        in_force = held.boundaries if held else None
        if said.boundaries is None:
            return msgspec.structs.replace(said, boundaries=in_force)
        refusal = self._refusal(said.boundaries, in_force)
        if not refusal:
            problems.pop("boundaries", None)
            return said
        problems["boundaries"] = f"the profile's networks are not those that the Console sent last: {refusal}"
        _log.error("%s", problems["boundaries"])
        return msgspec.structs.replace(said, boundaries=in_force)

    def _refusal(self, boundaries: Boundaries, in_force: Boundaries | None) -> str:
        try:
            verify_boundaries(self._console_public, self._enforcer, boundaries)
        except SignatureError as error:
            return str(error)
        if in_force is not None and boundaries.issued < in_force.issued:
            return "they were signed before those in force"
        return ""

    @staticmethod
    def binding(welcome: Welcome) -> bool:
        """Whether its boundaries say anything."""
        found = welcome.boundaries
        return found is not None and found.binding
