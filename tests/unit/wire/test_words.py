"""Words of a document are kept once, and the document stays what it is."""

from __future__ import annotations

import copy
import tracemalloc

import msgspec

from bench.compiler import Estate
from watchword.wire.policy import PolicyDocument, digest
from watchword.wire.words import keep_once


def _decoded() -> PolicyDocument:
    estate = Estate(units=20, peers=2_000, rules=200, seed=2)
    return msgspec.msgpack.decode(msgspec.msgpack.encode(estate.document), type=PolicyDocument)


def test_a_document_stays_what_it_is() -> None:
    document = _decoded()
    before = copy.deepcopy(document)
    keep_once(document)
    assert document == before
    assert digest(document) == digest(before)
    assert list(document.peers) == list(before.peers)
    for table in ("units", "rules", "selectors", "peers", "networks"):
        entries = getattr(document, table)
        assert {key: type(entry) for key, entry in entries.items()} == {
            key: type(entry) for key, entry in getattr(before, table).items()
        }


def test_what_is_equal_is_one_object() -> None:
    document = _decoded()
    keep_once(document)
    words: dict[object, set[int]] = {}
    for table in ("enforcers", "selectors", "rules"):
        for key in getattr(document, table):
            words.setdefault((table, key), set()).add(id(key))
    for peer in document.peers.values():
        words.setdefault(("enforcers", peer.enforcer), set()).add(id(peer.enforcer))
        words.setdefault(peer.selectors, set()).add(id(peer.selectors))
        for selector in peer.selectors:
            words.setdefault(("selectors", selector), set()).add(id(selector))
    for unit in document.units.values():
        for rule in (*unit.incoming, *unit.outgoing):
            words.setdefault(("rules", rule), set()).add(id(rule))
    for entry in document.rules.values():
        words.setdefault(("selectors", entry.selector), set()).add(id(entry.selector))
    assert len(words) > 200
    assert {word: found for word, found in words.items() if len(found) != 1} == {}


def test_what_a_peer_takes() -> None:
    """Two strings of its own and an entry; the rest is said once for all."""
    packed = msgspec.msgpack.encode(Estate(units=20, peers=2_000, rules=200, seed=2).document)
    tracemalloc.start()
    try:
        document = msgspec.msgpack.decode(packed, type=PolicyDocument)
        decoded = tracemalloc.get_traced_memory()[0]
        keep_once(document)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < decoded * 0.75
