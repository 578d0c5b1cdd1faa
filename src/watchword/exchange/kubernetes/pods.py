"""Which tags pods and their namespaces have: the convention that translations rely on.

| of a pod | tag |
|---|---|
| name, namespace, node, service account | ``@app:k8s:name=``, ``@app:k8s:namespace=``, ``@app:k8s:nodename=``, ``@app:k8s:serviceaccountname=`` |
| label ``app: web`` | ``k8s:app=web``; an empty value is written ``<empty>`` |
| container port 8080/TCP called ``http`` | ``@app:k8s:port:http=tcp/8080`` |

A Kubernetes namespace is a namespace of its own here, and its labels are its ``organizationalMetadata``
(``@org:k8s:team=a``), from where everything in it has them.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from watchword.exchange.kubernetes.labels import tag_value

NAMESPACE = "@app:k8s:namespace="

#: The label that every namespace has, with its name.
NAME_LABEL = "kubernetes.io/metadata.name"


def label_key(key: str) -> str:
    """The tag key, with ``=``, of a pod's label."""
    return f"k8s:{key}="


def namespace_label_key(key: str) -> str:
    """The tag key, with ``=``, of a namespace's label."""
    return NAMESPACE if key == NAME_LABEL else f"@org:k8s:{key}="


def port_tag(name: str, protocol: str, number: int) -> str:
    """The tag of a named container port."""
    return f"@app:k8s:port:{name}={protocol.lower()}/{number}"


def namespace_tags(labels: Mapping[str, str]) -> list[str]:
    """``organizationalMetadata`` for a Kubernetes namespace with these labels."""
    return sorted(namespace_label_key(key) + tag_value(value) for key, value in labels.items() if key != NAME_LABEL)


def named_ports(specification: Any) -> Iterator[tuple[str, str, int]]:
    """Name, protocol and number of the named ports in a pod's (or pod template's) ``spec``."""
    for field in ("containers", "initContainers"):
        for container in _list(specification, field):
            if field == "initContainers" and container.get("restartPolicy") != "Always":
                continue  # gone before the pod serves anything
            for port in _list(container, "ports"):
                name, number = port.get("name"), port.get("containerPort")
                if isinstance(name, str) and isinstance(number, int):
                    yield name, str(port.get("protocol") or "TCP"), number


def pod_tags(manifest: Mapping[str, Any]) -> frozenset[str]:
    """The tags of a pod, from its manifest."""
    metadata, specification = manifest.get("metadata") or {}, manifest.get("spec") or {}
    known = {
        "name": metadata.get("name"),
        "namespace": metadata.get("namespace") or "default",
        "nodename": specification.get("nodeName"),
        "serviceaccountname": specification.get("serviceAccountName"),
    }
    return frozenset(
        [
            *(f"@app:k8s:{key}={value}" for key, value in known.items() if value),
            *(label_key(key) + tag_value(str(value)) for key, value in (metadata.get("labels") or {}).items()),
            *(port_tag(*port) for port in named_ports(specification)),
        ]
    )


def _list(value: Any, field: str) -> list[dict[str, Any]]:
    found = value.get(field) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
