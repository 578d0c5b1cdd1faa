"""Host names as entries of external networks: checked, and in the one form that DNS answers have.

A name is kept in lower case, with its international labels as ``xn--`` (IDNA 2008, mapped by UTS 46), and
without a dot at the end. ``*.example.com`` stands for every name below ``example.com``, at any depth, and
not for ``example.com`` itself; a star stands nowhere else. A name has a dot: one word alone would be
completed by every host in its own way, and is more often a slip than a name.
"""

from __future__ import annotations

import re

import idna

from watchword.model.problems import Invalid

#: Characters of a whole name in that form, and of one label.
NAME_LIMIT = 253
LABEL_LIMIT = 63

_WILD = "*."
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


def canonical(text: str, path: str = "name") -> str:
    """The one form of ``text``. Raises :class:`Invalid`."""
    wild = text.startswith(_WILD)
    labels = text.removeprefix(_WILD).removesuffix(".").split(".")
    if "*" in "".join(labels):
        raise Invalid(path, f"{text!r} has a star where none can be", "write *. once, at the beginning: *.example.com")
    name = ".".join(_label(label, text, path) for label in labels)
    if len(labels) == 1 and not wild:
        raise Invalid(path, f"{text!r} is neither a CIDR nor a whole host name", "write 10.0.0.0/8 or www.example.com")
    if len(name) > NAME_LIMIT:
        raise Invalid(path, f"{text[:40]!r}… has {len(name)} characters", f"stay within {NAME_LIMIT}")
    if name.rpartition(".")[2].isdigit():
        raise Invalid(path, f"{text!r} is neither an address nor a host name", "write 192.0.2.1, 10.0.0.0/8 or a name")
    return f"{_WILD}{name}" if wild else name


def _label(label: str, text: str, path: str) -> str:
    try:
        folded = label.lower() if label.isascii() else idna.encode(label, uts46=True).decode()
        if folded.startswith("xn--"):
            idna.decode(folded)
    except idna.IDNAError as error:
        raise Invalid(path, f"{text!r} is no host name ({error})", "correct the label, or write it as xn--…") from None
    if len(folded) > LABEL_LIMIT:
        raise Invalid(path, f"{text[:40]!r}… has a label of {len(folded)} characters", f"stay within {LABEL_LIMIT}")
    if not _LABEL.fullmatch(folded):
        raise Invalid(
            path,
            f"{text!r} is neither a CIDR nor a host name",
            "write 10.0.0.0/8, or labels of letters, digits, - and _ such as www.example.com",
        )
    return folded
