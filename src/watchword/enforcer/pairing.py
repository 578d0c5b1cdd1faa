"""Pairwise keys with all peers of a policy document, derived once and kept until something changes.

A peer whose published keys do not verify gets no key, so its proofs fail: it is named among the
problems, and one bad entry does not stop a revision for everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography import x509

from watchword.enforcer.datapath.base import PeerKeys
from watchword.identity.keys import DatapathPrivateKey
from watchword.identity.pairwise import End, PairwiseError, own_end, pairwise_key, verified_peer
from watchword.wire.policy import EnforcerEntry

#: Epochs of one Enforcer that are valid at a time.
_VALID_EPOCHS = 2


class Pairing:
    """Derives the keys that this Enforcer shares with others."""

    def __init__(self, authority: x509.Certificate, console: str, enforcer: str) -> None:
        self._authority = authority
        self._console = console
        self._enforcer = enforcer
        self._verified: dict[str, tuple[EnforcerEntry, tuple[End, ...]]] = {}
        self._derived: dict[tuple[End, End], bytes] = {}
        self.problems: tuple[str, ...] = ()

    def keys(self, entries: Mapping[str, EnforcerEntry], own: Sequence[DatapathPrivateKey]) -> tuple[PeerKeys, ...]:
        """The keys shared with each Enforcer of ``entries``, and with this one itself, in order of ID."""
        ends: dict[str, tuple[End, ...]] = {}
        problems = []
        for enforcer, entry in entries.items():
            try:
                ends[enforcer] = self._ends(enforcer, entry)
            except PairwiseError as error:
                problems.append(f"no key with a peer: {error}")
        # For itself what is on disk counts, not what the Console has heard so far.
        ends[self._enforcer] = tuple(own_end(self._enforcer, key) for key in own)
        found = {enforcer: self._pairs(own, peers, problems) for enforcer, peers in ends.items()}
        used = {(own_end(self._enforcer, key), peer) for key in own for peers in ends.values() for peer in peers}
        self._derived = {pair: key for pair, key in self._derived.items() if pair in used}
        self._verified = {enforcer: known for enforcer, known in self._verified.items() if enforcer in ends}
        self.problems = tuple(problems)
        return tuple(PeerKeys(enforcer, found[enforcer]) for enforcer in sorted(found))

    def _ends(self, enforcer: str, entry: EnforcerEntry) -> tuple[End, ...]:
        known = self._verified.get(enforcer)
        if known is None or known[0] != entry:
            ends = verified_peer(self._authority, self._console, enforcer, entry)[:_VALID_EPOCHS]
            known = self._verified[enforcer] = (entry, ends)
        return known[1]

    def _pairs(
        self, own: Sequence[DatapathPrivateKey], peers: Sequence[End], problems: list[str]
    ) -> dict[tuple[int, int], bytes]:
        pairs = {}
        for private in own:
            for peer in peers:
                cached = (own_end(self._enforcer, private), peer)
                try:
                    if cached not in self._derived:
                        self._derived[cached] = pairwise_key(self._enforcer, private, peer)
                except PairwiseError as error:
                    problems.append(f"no key with a peer: {error}")
                else:
                    pairs[private.epoch, peer.epoch] = self._derived[cached]
        return pairs
