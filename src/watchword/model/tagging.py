"""The full set of tags that matching uses, for every resource that has one.

A resource's tags are its users' (``associatedTags``), its source's (``metadata``), its namespaces'
(``@org:``) and those generated from its own attributes. Nothing else ever adds one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from watchword.model import tags
from watchword.model.registry import Kind
from watchword.model.resources import ProcessingUnit


def normalised(kind: Kind, resource: Any, organisation: Iterable[str], controller: str = "") -> Any:
    """``resource`` with its ``normalizedTags``; kinds without them come back as they are.

    ``organisation`` are the ``@org:`` tags in force in its namespace, ``controller`` the Console's ID.
    """
    if "normalized_tags" not in resource.__struct_fields__:
        return resource
    full = {
        *resource.associated_tags,
        *getattr(resource, "metadata", ()),
        *organisation,
        *tags.generated(
            identity=kind.singular,
            name=resource.name,
            namespace=resource.namespace,
            id=resource.id,
            type=getattr(resource, "type", ""),
            images=getattr(resource, "images", ()),
            controller=controller,
        ),
    }
    if isinstance(resource, ProcessingUnit):
        full |= {f"$enforcerid={resource.enforcer_id}", f"$enforcername={resource.enforcer_name}"}
        ordered = sorted(full)
        digest = hashlib.sha256("\0".join(ordered).encode()).hexdigest()[:32]
        return msgspec.structs.replace(resource, normalized_tags=ordered, identity=digest)
    return msgspec.structs.replace(resource, normalized_tags=sorted(full))
