"""This Enforcer's datapath keys: made here, published, rotated; the private halves never leave.

A rotation takes two steps, so that no handshake ever names an epoch its receiver cannot know:

1. A new key is made and published, while handshakes still name the old epoch.
2. When a session with the Console has carried the new key for :data:`SETTLE` seconds without a break,
   peers have it and handshakes begin to name it. The old epoch stays valid for handshakes under way.

Without a Console nothing rotates: nobody could learn of it. Times are wall-clock for the age of a
key and monotonic for the settling; both are passed in.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import msgspec

from watchword.enforcer import files
from watchword.enforcer.errors import UNDECODABLE, CredentialError, StorageError
from watchword.identity.keys import DatapathPrivateKey, Random, SigningKey
from watchword.identity.signatures import sign_datapath_key
from watchword.wire.policy import DatapathKey

#: Seconds for which a published key must have been with the Console before handshakes name it.
SETTLE = 30.0

#: Seconds by which a clock may be put right without its owner being surprised.
_CORRECTION = 300.0

_FILE = "datapath-keys"

#: Where keys are put that cannot be used, for inspection.
DAMAGED = "datapath-keys.damaged"

_log = logging.getLogger(__name__)


class _StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epoch: int
    private: bytes
    created: float

    def __repr__(self) -> str:
        return f"_StoredKey(epoch={self.epoch})"


class _StoredKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[_StoredKey, ...]  # newest first, at most two
    named: int  # the epoch that handshakes name


class DatapathKeys:
    """The keys on disk, and which of them handshakes name.

    Goals: (1) a key is on disk before anybody hears of it; (2) an epoch never comes back with another
    key; (3) at most two keys are valid, and the one that handshakes name is always among them. A file that does not
    hold keys any more, or that others may have read, is put aside, and new ones are made.
    """

    def __init__(self, directory: Path, enforcer: str, signer: SigningKey, now: float, random: Random) -> None:
        self._path = directory / _FILE
        self._enforcer = enforcer
        self._signer = signer
        self._random = random
        self._carried_since: float | None = None
        self.problem = ""
        try:
            stored = _read(self._path)
            first = 1
        except CredentialError as error:
            stored, first = None, max(1, int(now))  # seconds: later than any epoch that has been counted up to
            self._set_aside(error)
        if stored is None:
            stored = _StoredKeys((self._made(first, now),), named=first)
            self._write(stored)
        self._adopt(stored)

    def _set_aside(self, error: CredentialError) -> None:
        """Keys that cannot be used must not keep this host from enforcing, least of all when it boots."""
        aside = self._path.with_name(DAMAGED)
        try:
            self._path.rename(aside)
        except OSError as refusal:
            raise StorageError(aside, refusal) from refusal
        self.problem = f"new datapath keys were made, peers learn them from the Console: {error}; see {aside}"
        _log.error("%s", self.problem)

    def published(self) -> tuple[DatapathKey, ...]:
        """The valid keys as peers are to see them, newest first."""
        return self._published

    def usable(self) -> tuple[DatapathPrivateKey, ...]:
        """The keys to derive pairwise keys from; the first is the one that handshakes name."""
        named = [key for key in self._private if key.epoch == self._stored.named]
        older = [key for key in self._private if key.epoch < self._stored.named]
        return (*named, *older)

    def age(self, now: float) -> float:
        """Seconds since the newest key was made; without end when a clock that went back cannot tell.

        A rotation too many costs nothing; a key that is never old enough would stay for ever.
        """
        age = now - self._stored.keys[0].created
        return math.inf if age < -_CORRECTION else max(0.0, age)

    def settling(self) -> bool:
        """Whether a key is published that handshakes do not name yet."""
        return self._stored.keys[0].epoch != self._stored.named

    def rotate(self, now: float) -> bool:
        """Make and keep a new key, to be published next; False while the last one is still settling.

        Raises :class:`StorageError`, and then nothing has changed.
        """
        if self.settling():
            return False
        newest = self._stored.keys[0]
        stored = _StoredKeys((self._made(newest.epoch + 1, now), newest), named=newest.epoch)
        self._write(stored)
        self._adopt(stored)
        self._carried_since = None
        return True

    def carried(self, clock: float) -> None:
        """The published keys have just been given to the Console."""
        self._carried_since = clock

    def dropped(self) -> None:
        """The session with the Console is over."""
        self._carried_since = None

    def settle(self, clock: float) -> bool:
        """Let handshakes name the newest key if it is time; True when that changed something."""
        if not self.settling() or self._carried_since is None or clock - self._carried_since < SETTLE:
            return False
        stored = _StoredKeys(self._stored.keys, named=self._stored.keys[0].epoch)
        self._write(stored)
        self._adopt(stored)
        return True

    def _made(self, epoch: int, now: float) -> _StoredKey:
        return _StoredKey(epoch, DatapathPrivateKey.generate(epoch, self._random).to_bytes(), now)

    def _write(self, stored: _StoredKeys) -> None:
        files.replace(self._path, msgspec.msgpack.encode(stored))

    def _adopt(self, stored: _StoredKeys) -> None:
        self._stored = stored
        self._private = tuple(DatapathPrivateKey.from_bytes(key.epoch, key.private) for key in stored.keys)
        self._published = tuple(
            sign_datapath_key(self._signer, self._enforcer, key.epoch, key.public) for key in self._private
        )


def _read(path: Path) -> _StoredKeys | None:
    content = files.read_private(path)
    if content is None:
        return None
    try:
        stored = msgspec.msgpack.decode(content, type=_StoredKeys)
    except UNDECODABLE:
        raise CredentialError(f"{path} is damaged") from None
    epochs = [key.epoch for key in stored.keys]
    consecutive = len(epochs) == 1 or (len(epochs) == 2 and epochs[0] == epochs[1] + 1)
    if not consecutive or stored.named not in epochs or epochs[-1] < 1:
        raise CredentialError(f"{path} holds epochs that do not fit together")
    if any(len(key.private) != 32 for key in stored.keys):
        raise CredentialError(f"{path} holds a key of the wrong length")
    return stored
