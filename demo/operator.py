"""The operator: uses Watchword by its command line and, where the time of a call matters, by its REST API."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

WATCHWORD = str(Path(sys.executable).with_name("watchword"))


class RefusedError(RuntimeError):
    """A command or a request failed; the message is what it said."""


class Operator:
    """Somebody with the administrator's profile, at a terminal of this machine."""

    def __init__(self, profiles: Path) -> None:
        self.profiles = profiles
        document = tomllib.loads(profiles.read_text())
        profile = document["profiles"][document["active"]]
        self.url: str = profile["url"]
        self.namespace: str = profile["namespace"]
        self._http = httpx2.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cadata=profile["ca"]),
            trust_env=False,
            timeout=90,
            headers={"Authorization": f"Bearer {profile['credential']}", "X-Namespace": self.namespace},
        )

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    # -- the command line

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``watchword …`` as a person would."""
        environment = {**os.environ, "WATCHWORD_PROFILES": str(self.profiles), "COLUMNS": "130"}
        done = subprocess.run(
            [WATCHWORD, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise RefusedError(f"watchword {' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done

    def told(self, *arguments: str) -> Any:
        """What a command answers with ``--json``."""
        return json.loads(self.command(*arguments, "--json").stdout)

    # -- REST

    def request(self, method: str, path: str, body: Any = None, **params: str) -> httpx2.Response:
        """One request; anything but success is a :class:`RefusedError`."""
        response = self._http.request(method, path, json=body, params=params or None)
        if not response.is_success:
            raise RefusedError(f"{method} {path}: {response.status_code} {response.text}")
        return response

    def get(self, path: str, **params: str) -> Any:
        """The body of one GET."""
        return self.request("GET", path, **params).json()

    def change(self, path: str, fields: Mapping[str, object]) -> int:
        """PATCH; returns the revision that has the change."""
        return int(self.request("PATCH", path, dict(fields)).headers["X-Watchword-Revision"])

    def enforced(self, revision: int | str = "latest", within: float = 30) -> bool:
        """Wait until a revision is in force everywhere."""
        answer = self.get(f"/v1/revisions/{revision}/enforcement", wait=str(int(within)))
        return not answer["stragglers"]

    def flows(self, filter: str, within: float = 15) -> list[dict[str, Any]]:
        """The flow reports that pass ``filter``; waits until there is one, at most ``within`` seconds."""
        deadline = time.monotonic() + within
        while True:
            found: list[dict[str, Any]] = self.get("/v1/flowreports", filter=filter, limit="1000", recursive="true")
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)


def await_that(condition: Callable[[], bool], within: float, pause: float = 0.1) -> bool:
    """Wait until ``condition`` holds; False if it does not within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
