"""Kubeconfig files: where a cluster's API is, whom to believe, and who is asking.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1. One file, as
``kubectl config view --raw --flatten`` writes it. Programs that fetch credentials (``exec``) are run as kubectl runs
them, for that is how AKS, EKS and GKE do it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from watchword.cli.failure import ExitCode, Failure
from watchword.enforcer.secret import Secret

#: Seconds that a program which fetches a credential may take.
_PATIENCE = 60.0

#: Fields of a user that would change who is asking, and are not understood.
_REFUSED = {
    "username": "use a token, a client certificate or an exec program",
    "auth-provider": "use the exec program that has taken its place",
    "as": "use a kubeconfig of the user that is meant",
}


_NONE = Secret("")


@dataclass(frozen=True, slots=True)
class Access:
    """How to ask one cluster's API. Empty: not given."""

    server: str
    authority: str = ""  # PEM; empty: the system's
    server_name: str = ""  # which the server's certificate has to have, if not the address's
    proxy: str = ""
    token: Secret = _NONE
    certificate: str = ""  # PEM
    key: Secret = _NONE  # PEM


def read(file: str, context: str = "") -> Access:
    """The access that ``context`` (empty: the current one) of a file gives. Raises :class:`Failure`."""
    path = Path(file).expanduser()
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = error.strerror if isinstance(error, OSError) else "it is not YAML"  # a parser's words quote secrets
        raise _wrong(path, "", str(where), "give a kubeconfig file") from None
    return _Reader(path, document).access(context)


def _wrong(path: Path, field: str, why: str, remedy: str) -> Failure:
    return Failure(f"{path}: {field + ': ' if field else ''}{why}", remedy, ExitCode.USAGE)


class _Reader:
    def __init__(self, path: Path, document: Any) -> None:
        if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
            raise _wrong(path, "kind", "it is no kubeconfig", "give a file whose kind is Config")
        self._path, self._document = path, document

    def access(self, context: str) -> Access:
        name = context or self._document.get("current-context")
        if not isinstance(name, str) or not name:
            raise _wrong(self._path, "current-context", "there is none", "name one: --context NAME")
        chosen = self._named("contexts", "context", name)
        cluster = self._named("clusters", "cluster", self._text(chosen, "cluster"))
        user = self._named("users", "user", self._text(chosen, "user")) if chosen.get("user") else {}
        server = self._text(cluster, "server")
        if not server.startswith("https://") or "@" in server:
            raise _wrong(self._path, "server", "it is no plain https:// address", "give https://HOST:PORT")
        if cluster.get("insecure-skip-tls-verify"):
            remedy = "give the cluster's certificate-authority instead"
            raise _wrong(self._path, "insecure-skip-tls-verify", "nobody is believed unseen", remedy)
        authority = self._data(cluster, "certificate-authority")
        token, certificate, key = self._credential(user, {**cluster, "certificate-authority": authority})
        return Access(
            server=server.rstrip("/"),
            authority=authority,
            server_name=self._text(cluster, "tls-server-name"),
            proxy=self._text(cluster, "proxy-url"),
            token=Secret(token),
            certificate=certificate,
            key=Secret(key),
        )

    def _named(self, table: str, kind: str, name: str) -> dict[str, Any]:
        entries = self._document.get(table)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
                return dict(entry[kind])
        raise _wrong(self._path, table, f"there is no {kind} called {name!r}", "name one that is there")

    def _text(self, values: dict[str, Any], field: str) -> str:
        value = values.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _wrong(self._path, field, "it is no text", "put it into quotes")
        return value

    def _data(self, values: dict[str, Any], field: str) -> str:
        """What stands in the file itself (``…-data``, base64), or in one that it names."""
        if inline := self._text(values, f"{field}-data"):
            try:
                return base64.b64decode(inline, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise _wrong(self._path, f"{field}-data", "it is no PEM in base64", "copy it anew") from None
        return self._file(values, field)

    def _file(self, values: dict[str, Any], field: str) -> str:
        name = self._text(values, field)
        if not name:
            return ""
        try:
            return (self._path.parent / name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(self._path, field, f"{name} cannot be read: {error}", "name a file that can") from None

    def _credential(self, user: dict[str, Any], cluster: dict[str, Any]) -> tuple[str, str, str]:
        for field, remedy in _REFUSED.items():
            if user.get(field):
                raise _wrong(self._path, field, "it is not understood", remedy)
        certificate, key = self._data(user, "client-certificate"), self._data(user, "client-key")
        token = self._file(user, "tokenFile").strip() or self._text(user, "token")
        program = user.get("exec")
        if isinstance(program, dict) and not token and not certificate:
            return self._fetched(program, self._told(program, cluster))
        return token, certificate, key

    def _told(self, program: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
        """What the program is told of itself, and of the cluster if it asks for that."""
        spec: dict[str, Any] = {"interactive": False}
        if program.get("provideClusterInfo"):
            spec["cluster"] = {
                "server": cluster["server"],
                "certificate-authority-data": base64.b64encode(cluster["certificate-authority"].encode()).decode(),
                **{name: cluster[name] for name in ("tls-server-name", "proxy-url") if cluster.get(name)},
            }
        return {"apiVersion": self._text(program, "apiVersion"), "kind": "ExecCredential", "spec": spec}

    def _fetched(self, program: dict[str, Any], info: dict[str, Any]) -> tuple[str, str, str]:
        """The credential that a program prints (client.authentication.k8s.io, ExecCredential)."""
        command = self._text(program, "command")
        if "/" in command:
            command = str(self._path.parent / command)
        try:
            given = {str(each["name"]): str(each["value"]) for each in program.get("env") or []}
            environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)}
            done = subprocess.run(
                [command, *(str(each) for each in program.get("args") or [])],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=environment,
                timeout=_PATIENCE,
                check=True,
            )
            status = json.loads(done.stdout)["status"]
            found = [status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")]
        except subprocess.CalledProcessError as error:
            why = f"it ended with {error.returncode}: {error.stderr.strip()[-300:]}"
        except (OSError, subprocess.TimeoutExpired) as error:
            why = "it cannot be run" if isinstance(error, OSError) else f"it takes longer than {_PATIENCE:.0f} s"
        except (ValueError, LookupError, TypeError, AttributeError):
            why = "its args or env are not understood, or it printed no ExecCredential with a status"
        else:
            return str(found[0]), str(found[1]), str(found[2])
        hint = self._text(program, "installHint")
        raise _wrong(self._path, f"exec {command or 'without a command'}", why, hint or "run it by hand and see")
