"""What the Console last said about how to behave, kept so that a start without a Console knows it too."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError
from watchword.wire.messages import Welcome

_log = logging.getLogger(__name__)

_FILE = "welcome"


def keep_welcome(directory: Path, welcome: Welcome) -> None:
    """Write it into the data directory."""
    files.replace(directory / _FILE, msgspec.msgpack.encode(welcome))


def remembered_welcome(directory: Path, enforcer: str, namespace: str) -> Welcome:
    """What the Console last said; its defaults before it ever did."""
    try:
        content = files.read_private(directory / _FILE)
        if content is not None:
            return msgspec.msgpack.decode(content, type=Welcome)
    except (*UNDECODABLE, CredentialError) as error:
        _log.warning("the Console's last settings are unusable: %s", error)
    return Welcome(enforcer=enforcer, namespace=namespace)
