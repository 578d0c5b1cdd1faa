"""Goes where an Enforcer of this host would have to go, and judges what is met there."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from watchword.enforcer.doctor import connectivity
from watchword.enforcer.doctor.contact import Trust, authority_of, reach
from watchword.enforcer.doctor.findings import Finding
from watchword.enforcer.errors import SettingsError
from watchword.identity.tokens import fingerprint


def explore(
    url: str,
    proxy: str = "",
    trust: Trust | None = None,
    *,
    expected: str = "",
    also: Sequence[str] = (),
) -> tuple[list[Finding], list[dict[str, object]]]:
    """What is found at the Console's ``url`` and at ``also``, and what a firewall has to let through for it.

    Where the Console's CA is not known yet, whoever answers is asked for it; ``expected`` is the fingerprint that an
    install token demands of it (empty: any, which finds inspection, but no impostor).
    """
    trust = trust or Trust()
    try:
        if trust.further:
            _readable(trust.further)
        if not trust.authority:
            claimed = authority_of(url, proxy)
            fits = claimed and expected in ("", fingerprint(claimed))
            trust = Trust(claimed if fits else b"", trust.further)
        contacts = [("Console", reach(url, proxy, trust))]
        contacts += [(f"also {each}", reach(each, proxy, trust)) for each in also]
    except SettingsError as error:
        return [Finding(connectivity.GROUP, error.field, "fail", str(error), error.remedy)], []
    findings = [finding for role, contact in contacts for finding in connectivity.judge(contact, role)]
    return findings, connectivity.allow_list(contacts)


def _readable(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=Path(path))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("trusted_ca", f"{path} cannot be read: {error}", "give a PEM file") from None
