"""The Console's REST API as the commands use it: one TLS connection, believed only under the profile's CA.

Every refusal becomes a :class:`~watchword.cli.failure.Failure` that names the field and the remedy.
Nothing here knows a kind of resource.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from watchword.cli.failure import ExitCode, Failure, FieldProblem
from watchword.cli.profiles import Profile

_CODES = {
    400: ExitCode.REFUSED,
    401: ExitCode.UNAUTHORISED,
    403: ExitCode.UNAUTHORISED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
}

_REMEDIES = {
    401: "the credential is unknown, spent or disabled; add the profile again with a new one",
    403: "use a credential that may do this, or another namespace (--namespace)",
    404: "list what there is: watchword api list RESOURCE --recursive",
    412: "read it again and repeat the change",
    423: "clear its field 'protected' first",
    429: "wait a little and try again",
}

#: How many records one request of a list asks for.
_PAGE = 1000


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def revision(self) -> int:
        """The newest revision after a mutation; 0 if the Console named none."""
        return int(self.headers.get("X-Watchword-Revision", "0"))

    @property
    def next(self) -> str:
        """The cursor of the records that follow."""
        return self.headers.get("X-Next", "")


class Client:
    """Speaks to one Console as one profile says. Use it in a ``with`` block."""

    def __init__(self, profile: Profile, *, timeout: float = 30.0) -> None:
        self._profile = profile
        self._http = httpx2.Client(
            base_url=profile.url.rstrip("/"),
            verify=_trust(profile),
            timeout=timeout,
            trust_env=not is_loopback(profile.url),  # a proxy's loopback is not ours
            headers={"Authorization": f"Bearer {profile.credential}", "X-Namespace": profile.namespace},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """One request; anything but success is a Failure."""
        try:
            response = self._http.request(
                method,
                path,
                params=dict(params) if params else None,
                json=body,
                headers=dict(headers or {}),
                timeout=httpx2.USE_CLIENT_DEFAULT if timeout is None else timeout,
            )
        except httpx2.TransportError as error:
            raise _unreachable(self._profile, error) from None
        if not response.is_success:
            raise _refused(response)
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status_code, response.json() if is_json else None, response.headers)

    def get(self, path: str, **params: str) -> Answer:
        """One GET."""
        return self.request("GET", path, params=params)

    def pages(self, path: str, params: Mapping[str, str], *, limit: int = 0) -> Iterator[dict[str, Any]]:
        """All records of a list, page by page, at most ``limit`` of them (0 for all)."""
        cursor, given = "", 0
        while True:
            size = min(_PAGE, limit - given) if limit else _PAGE
            page = {**params, "limit": str(size), **({"after": cursor} if cursor else {})}
            answer = self.request("GET", path, params=page)
            yield from answer.body
            given += len(answer.body)
            cursor = answer.next
            if not cursor or not answer.body or (limit and given >= limit):
                return


def resource_path(plural: str, name: str) -> str:
    """The path of one resource; names may contain anything."""
    return f"/v1/{plural}/{quote(name, safe='')}"


def _trust(profile: Profile) -> ssl.SSLContext:
    """Believe the profile's CA and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=profile.ca)
    except ssl.SSLError:
        raise Failure(
            f"the CA certificate of profile {profile.name!r} is damaged",
            "add the profile again with the Console's ca.pem",
            ExitCode.USAGE,
        ) from None
    return context


def is_loopback(url: str) -> bool:
    """Whether an address is this host's own, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _unreachable(profile: Profile, error: httpx2.TransportError) -> Failure:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Failure(
            f"{profile.url} does not prove to be the Console of profile {profile.name!r}: {error}",
            "if the Console has a new CA or name, add the profile again; otherwise somebody is in between",
            ExitCode.UNREACHABLE,
        )
    why = str(error) or type(error).__name__
    return Failure(
        f"no answer from the Console at {profile.url}: {why}",
        "is it running, and reachable from here? see: watchword doctor",
        ExitCode.UNREACHABLE,
    )


def _refused(response: httpx2.Response) -> Failure:
    """The Failure for an answer that is no success."""
    status = response.status_code
    code = _CODES.get(status, ExitCode.REFUSED if status < 500 else ExitCode.FAILED)
    remedy = _REMEDIES.get(status, "")
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return Failure(f"the Console answered {status} {response.reason_phrase}", remedy, code)
    errors = problem.get("errors", [])
    fields = tuple(
        FieldProblem(str(each.get("path", "")), str(each.get("message", "")), str(each.get("remedy", "")))
        for each in errors
        if isinstance(each, dict)
    )
    title, detail = str(problem.get("title", f"status {status}")), str(problem.get("detail", ""))
    message = title if fields or not detail else f"{title}: {detail}"
    return Failure(message, "" if fields else remedy, code, fields, problem)
