"""Where the settings of this host's Enforcer are, and their problems as failures of a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from watchword.cli.failure import ExitCode, Failure
from watchword.enforcer.errors import SettingsError
from watchword.enforcer.settings import Settings, load

#: Read if it is there and nothing else is named.
DEFAULT = "/etc/watchword/enforcer.toml"


def located(file: str = "", overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in ``file``, else in WATCHWORD_ENFORCER_SETTINGS, else in the usual place, with ``overrides``."""
    chosen = file or os.environ.get("WATCHWORD_ENFORCER_SETTINGS", "")
    if not chosen and os.path.exists(DEFAULT):
        chosen = DEFAULT
    try:
        return load(chosen or None, overrides)
    except SettingsError as error:
        where = f"{chosen}: " if chosen else ""
        raise Failure(f"{where}{error}", code=ExitCode.USAGE) from None
