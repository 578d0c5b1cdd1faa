"""Asks a cluster's API what ``watchword doctor`` has to know of the cluster. Reads only.

Paths: https://kubernetes.io/docs/reference/using-api/, OpenShift's ``config.openshift.io``.
"""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from watchword.cli.client import is_loopback
from watchword.cli.failure import ExitCode, Failure
from watchword.cli.kubeconfig import Access
from watchword.enforcer.doctor.clusters import Cluster, Node

_TIMEOUT = 15.0
#: Objects in one answer, and the most answers that are read of a list: a cluster has 5,000 nodes at most.
_PAGE, _PAGES = 500, 40

_OPENSHIFT = "config.openshift.io"


def ask(access: Access) -> Cluster:
    """What the API says. Raises :class:`Failure` if nobody answers, or whoever does cannot be believed."""
    with _client(access) as http:
        api = _Api(http, access)
        version = api.needed("/version").get("gitVersion", "")
        groups = {group.get("name") for group in api.needed("/apis").get("groups") or []}
        return Cluster(
            version=str(version),
            nodes=_nodes(api),
            openshift=_openshift(api) if _OPENSHIFT in groups else "",
            istio=_istio(api),
            may_grant=_may_grant(api),
        )


def _client(access: Access) -> httpx2.Client:
    try:
        context = ssl.create_default_context(cadata=access.authority or None)
        if access.certificate:
            _identify(context, access)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "it is no PEM"
        remedy = "see to its certificate-authority, client-certificate and client-key"
        raise Failure(f"the kubeconfig's certificates cannot be used: {reason}", remedy, ExitCode.USAGE) from None
    token = access.token.reveal()
    try:
        return httpx2.Client(
            base_url=access.server,
            verify=context,
            proxy=access.proxy or None,
            trust_env=not is_loopback(access.server),  # a proxy's loopback is not ours
            timeout=_TIMEOUT,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
    except (ValueError, httpx2.InvalidURL):  # its words quote the proxy's password
        remedy = "give proxy-url as http://HOST:PORT"
        raise Failure("the kubeconfig's server or proxy-url is no address", remedy, ExitCode.USAGE) from None


def _identify(context: ssl.SSLContext, access: Access) -> None:
    """Python's TLS takes certificate and key from files alone; this one is gone at once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "own.pem")
        path.touch(mode=0o600)
        path.write_text(f"{access.certificate}\n{access.key.reveal()}")
        context.load_cert_chain(path)


class _Api:
    def __init__(self, http: httpx2.Client, access: Access) -> None:
        self._http, self._access = http, access

    def needed(self, path: str) -> dict[str, Any]:
        """What everybody may read who may ask at all."""
        found = self.get(path)
        if found is None:
            raise Failure(f"{self._access.server}{path}: it may not be read", "ask as a user of this cluster")
        return found

    def get(self, path: str, **params: str) -> dict[str, Any] | None:
        """One object or list; None if the asker may not read it."""
        return self._request("GET", path, params=params)

    def post(self, path: str, body: Any) -> dict[str, Any] | None:
        """As :meth:`get`, for what is asked by sending it."""
        return self._request("POST", path, json=body)

    def items(self, path: str, **params: str) -> Iterator[dict[str, Any]]:
        """All objects of a list. Raises :class:`PermissionError` if the asker may not list them."""
        following: dict[str, str] = {}
        for _ in range(_PAGES):
            answer = self.get(path, limit=str(_PAGE), **params, **following)
            if answer is None:
                raise PermissionError(path)
            yield from answer.get("items") or []
            following = {"continue": (answer.get("metadata") or {}).get("continue") or ""}
            if not following["continue"]:
                return
        raise Failure(f"{path} does not end after {_PAGES * _PAGE} objects")

    def _request(self, method: str, path: str, **content: Any) -> dict[str, Any] | None:
        name = self._access.server_name
        try:
            answer = self._http.request(method, path, extensions={"sni_hostname": name} if name else {}, **content)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            remedy = "see to the kubeconfig's server, certificate-authority and proxy-url, and to the way there"
            raise Failure(f"{self._access.server}: {error}", remedy, ExitCode.UNREACHABLE) from None
        if answer.status_code == 401:
            remedy = "log in to the cluster again, or name another --context"
            raise Failure(f"{self._access.server} does not take the credential", remedy, ExitCode.UNAUTHORISED)
        if answer.status_code == 403:
            return None
        try:
            document = answer.json() if answer.is_success else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            why = f"{self._access.server}{path} answers {answer.status_code}, and not as the API does"
            raise Failure(why, "see to the kubeconfig's server")
        return document


def _nodes(api: _Api) -> tuple[Node, ...] | None:
    try:
        return tuple(_node(each) for each in api.items("/api/v1/nodes"))
    except PermissionError:
        return None


def _node(found: dict[str, Any]) -> Node:
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    labels = metadata.get("labels") or {}
    return Node(
        name=str(metadata.get("name", "")),
        system=str((status.get("nodeInfo") or {}).get("operatingSystem", "")),
        labels=frozenset(f"{key}={value}" for key, value in labels.items()),
        routed=any(
            each.get("type") == "NetworkUnavailable" and each.get("reason") == "RouteCreated"
            for each in status.get("conditions") or []
        ),
    )


def _openshift(api: _Api) -> str | None:
    found = api.get(f"/apis/{_OPENSHIFT}/v1/clusterversions/version")
    return None if found is None else str(((found.get("status") or {}).get("desired") or {}).get("version", "unknown"))


def _istio(api: _Api) -> tuple[str, ...] | None:
    """The versions of all istiods, by the tags of their images."""
    try:
        found = list(api.items("/apis/apps/v1/deployments", labelSelector="app=istiod"))
    except PermissionError:
        return None
    versions = []
    for deployment in found:
        template = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
        images = [str(each.get("image", "")) for each in template.get("containers") or []]
        tags = [tag[1] for image in images if (tag := re.search(r"/pilot[^/:@]*:(\d+\.\d+[^@]*)", image))]
        versions.append(tags[0] if tags else "")
    return tuple(versions)


def _may_grant(api: _Api) -> bool | None:
    wanted = {"group": "rbac.authorization.k8s.io", "resource": "clusterroles", "verb": "create"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    allowed = ((answer or {}).get("status") or {}).get("allowed")
    return allowed if isinstance(allowed, bool) else None
