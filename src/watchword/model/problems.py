"""The one exception with which the model refuses a value.

It names the field, says what is wrong with it and what to write instead; the Console turns it into
an RFC 9457 problem document. It must never carry a secret: values are quoted in its message.
"""

from __future__ import annotations


class Invalid(ValueError):  # noqa: N818 - "Invalid" is what callers read: ``except Invalid as problem``
    """A value that the model refuses.

    ``path`` is the field (``incomingRules[2].protocolPorts[0]``), ``remedy`` what to do about it.
    """

    def __init__(self, path: str, message: str, remedy: str) -> None:
        super().__init__(path, message, remedy)
        self.path = path
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.remedy}"
