"""Numbers for names the kernel cannot hold: rule keys in verdicts, Enforcer IDs in peers.

Numbers are kept in a pinned map, so that a restarted agent gives every name the number that the
kernel's tables and flow records already use.
"""

from __future__ import annotations

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf._layout import Name, NameKey, NameKind
from watchword.enforcer.datapath.ebpf.object import Map

_TEXT_LIMIT = 191  # bytes; one is kept for the terminator


class Numbers:
    """One kind of names; 0 stands for the empty name."""

    def __init__(self, names: Map[NameKey, Name], kind: NameKind, limit: int = 1 << 31) -> None:
        self._map, self._kind, self._limit = names, kind, limit
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {0: ""}
        for key, name in names.items_batched():
            if key.kind == kind:
                self._remember(name.text.decode(), key.number)
        self._next = max(self._texts) + 1

    def _remember(self, text: str, number: int) -> None:
        self._numbers[text], self._texts[number] = number, text

    def number(self, text: str) -> int:
        """The number of a name, given now if it is new."""
        if not text:
            return 0
        if text not in self._numbers:
            if self._next >= self._limit:
                raise DatapathError(
                    f"no number left for {text!r}: the kernel knows {self._limit - 1} names of this kind and has room "
                    "for no more; make the policy smaller, and forget those that are gone by an uninstall"
                )
            raw = text.encode()
            if len(raw) > _TEXT_LIMIT:
                raise DatapathError(f"the name {text!r} is longer than {_TEXT_LIMIT} bytes")
            self._map.put(NameKey(self._kind, self._next), Name(raw))
            self._remember(text, self._next)
            self._next += 1
        return self._numbers[text]

    def text(self, number: int) -> str:
        """The name behind a number; a number of nobody's is shown as such."""
        return self._texts.get(number, f"#{number}")
