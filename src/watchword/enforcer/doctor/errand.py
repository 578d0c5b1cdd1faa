"""The examination as a process: told on standard input where the Console is, it answers on standard output.

The datapath is not rehearsed: whoever starts this has just installed it.
"""

from __future__ import annotations

import ctypes
import signal
import sys

import msgspec

from watchword.wire.messages import Examined, UnmetRequirement

_PR_SET_PDEATHSIG = 1  # prctl(2)


class Errand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an Enforcer finds its Console, and whom it believes there."""

    url: str
    proxy: str
    authority: bytes  # DER
    trusted_ca: str


def run(errand: Errand) -> Examined:
    """Examine the host and the way to the Console."""
    from watchword.enforcer.doctor.contact import Trust
    from watchword.enforcer.doctor.examination import examine
    from watchword.enforcer.doctor.reachability import explore

    findings, _allow = explore(errand.url, errand.proxy, Trust(errand.authority, errand.trusted_ca))
    found = examine(rehearse=False).with_more(findings)
    unmet = tuple(
        UnmetRequirement(each.group, each.name, each.result, each.detail, each.remedy)
        for each in found.findings
        if each.result in ("degraded", "fail")
    )
    return Examined("fail" if any(each.result == "fail" for each in unmet) else "degraded" if unmet else "pass", unmet)


def main() -> None:
    """Read, run, answer; not longer than whoever asked is there."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.stdout.buffer.write(msgspec.json.encode(run(errand)))


if __name__ == "__main__":
    main()
