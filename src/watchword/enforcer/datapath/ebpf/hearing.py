"""Whether tables decide about datagrams by identity, so that what comes in has to be looked at. Pure."""

from __future__ import annotations

from socket import IPPROTO_UDP

from watchword.policy.tables import Tables

_UDP = (IPPROTO_UDP, 255)


def hears_datagrams(tables: Tables) -> bool:
    """Whether a unit may call an identity by UDP, or any verdict of either action is about one and UDP.

    Where neither is so, no unit sends a trailer, and to all of them every identity is as good as its address.
    """
    if any(protocol in _UDP for _, protocol, _ in tables.reachable):
        return True
    identities = {peer.peer_class for peer in tables.peers.values()}
    return any(key.protocol in _UDP and key.peer in identities for key in tables.verdicts)
