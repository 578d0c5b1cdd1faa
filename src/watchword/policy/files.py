"""Policy files as a world: what ``watchword apply`` would make of them, without a Console.

Every resource goes through the same decoding, checks and tagging as in the Console
(:mod:`watchword.model.creation`, :mod:`watchword.model.validation`, :mod:`watchword.model.tagging`), so a
file is accepted here exactly when it is accepted there. Two things exist here only:

1. ``processingunits``, written by hand or as the Console lists them, because here nobody registers any.
2. The namespace ``/``, because here it does not exist already. Without it, nothing says Allow by default.

IDs are made from kind, namespace and name, so that two versions of a file are about the same resources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchword.model import registry, tagging, tenancy, validation
from watchword.model.creation import created
from watchword.model.decoding import Undecodable, convert
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.model.resources import Namespace, NamespaceMappingPolicy, PolicyTest, ProcessingUnit
from watchword.policy import assertions, placement
from watchword.policy.entries import entries
from watchword.policy.namespaces import ROOT, reaches, upwards, whole_path
from watchword.policy.world import PARTS, World
from watchword.wire.policy import EnforcerEntry

#: What files may hold, in an order in which each finds what it needs.
PLURALS = (
    "namespaces",
    "namespacemappingpolicies",
    "enforcerprofiles",
    "enforcerprofilemappingpolicies",
    "processingunits",
    "externalnetworks",
    "networkrulesetpolicies",
    "intents",
    "policytests",
)

_TOP = {"APIVersion", "label", "mode", "data"}
_UNIT = registry.kind("processingunit")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of one file; ``number`` counts from 1, ``content`` is what YAML or JSON says."""

    source: str
    number: int
    content: Any


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One thing that is wrong, and where: ``path`` as in ``data.networkrulesetpolicies[0].subject``."""

    source: str
    document: int
    path: str
    name: str  # of the resource, if it has one
    message: str
    remedy: str

    def __str__(self) -> str:
        named = f" ({self.name})" if self.name else ""
        return f"{self.source}: document {self.document}: {self.path}{named}: {self.message}; {self.remedy}"


class FilesInvalid(ValueError):  # noqa: N818 - read as that, like Invalid
    """Files that a Console would not take; ``problems`` has everything that is wrong."""

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What files say: the policy, what has to be true of it, and the resources themselves."""

    world: World
    tests: tuple[assertions.Test, ...]
    resources: tuple[Any, ...]


def load(documents: Sequence[Document], namespace: str = ROOT) -> Loaded:
    """The policy in ``documents``, applied in ``namespace``. Raises :class:`FilesInvalid`.

    ``namespace`` and those above it exist without being written down, and inherit their defaults.
    """
    loading = _Loading(namespace)
    items = [item for document in documents for item in loading.items(document)]
    for plural in PLURALS:
        for item in loading.ordered(plural, [item for item in items if item.plural == plural]):
            loading.take(item)
    if loading.problems:
        raise FilesInvalid(loading.problems)
    return loading.loaded()


@dataclass(frozen=True, slots=True)
class _Item:
    """One resource in a file."""

    document: Document
    plural: str
    index: int
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name, if it says one."""
        name = self.body.get("name", "")
        return name if isinstance(name, str) else ""


@dataclass
class _Loading:
    namespace: str
    problems: list[FileProblem] = field(default_factory=list)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    found: dict[tuple[str, str, str], Any] = field(default_factory=dict)  # by kind, namespace, name
    badges: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in upwards(self.namespace):
            self.namespaces[path] = Namespace(id=_identifier("namespace", "", path), name=path)

    def items(self, document: Document) -> Iterable[_Item]:
        """The resources of one document; what is wrong with its frame is noted."""
        content = document.content
        if not isinstance(content, Mapping):
            self._note(document, Invalid("document", "is no mapping", "write label: and data:"))
            return
        for name in content:
            if name not in _TOP:
                self._note(document, Invalid(str(name), "is not a field", f"use {', '.join(sorted(_TOP))}"))
        if content.get("mode", "Import") != "Import":
            self._note(document, Invalid("mode", "removes from a Console", "leave it out: here is nothing to remove"))
        if content.get("APIVersion", 1) not in (0, 1):
            self._note(document, Invalid("APIVersion", "is unknown", "write APIVersion: 1, or leave it out"))
        data = content.get("data", {})
        if not isinstance(data, Mapping) or not any(data.values()):
            self._note(document, Invalid("data", "is empty", f"add resources: {', '.join(PLURALS)}"))
            return
        for plural, listed in data.items():
            path = f"data.{plural}"
            if plural not in PLURALS:
                self._note(document, Invalid(path, "has no part in policy", f"use {', '.join(PLURALS)}"))
            elif not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
                self._note(document, Invalid(path, "is no list of resources", "write - name: …"))
            else:
                yield from (_Item(document, plural, index, body) for index, body in enumerate(listed))

    def ordered(self, plural: str, items: list[_Item]) -> list[_Item]:
        """Items in an order in which they can be taken: namespaces from the top down."""
        return sorted(items, key=self._depth) if plural == "namespaces" else items

    def _depth(self, item: _Item) -> int:
        where = item.body.get("namespace", self.namespace)
        path = item.name if item.name.startswith("/") else f"{str(where).removesuffix('/')}/{item.name}"
        return len(path.removesuffix("/").split("/"))

    def take(self, item: _Item) -> None:
        """Take one resource in, or note what is wrong with it."""
        try:
            self._take(item)
        except Undecodable as wrong:
            for error in wrong.errors:
                self._note_item(item, error)
        except Invalid as error:
            self._note_item(item, error)

    def _take(self, item: _Item) -> None:
        kind = registry.kind(item.plural)
        body = dict(item.body)
        where = body.pop("namespace", self.namespace)
        if not isinstance(where, str) or not reaches(self.namespace, True, where):
            raise Invalid("namespace", f"{where!r} is not at or below {self.namespace}", "leave it out")
        resource = self._unit(body) if kind is _UNIT else created(kind, body)
        if isinstance(resource, Namespace):
            self._keep_namespace(where, resource)
        else:
            identifier = resource.id or _identifier(kind.singular, where, resource.name)
            self._keep(kind, msgspec.structs.replace(resource, id=identifier, namespace=where))

    def _keep_namespace(self, where: str, namespace: Namespace) -> None:
        path = ROOT if namespace.name == where == ROOT else whole_path(namespace.name, where)
        parent = next((each for each in upwards(path) if each != path), "")
        placed = msgspec.structs.replace(namespace, id=_identifier("namespace", "", path), name=path, namespace=parent)
        self._check(placed)
        tenancy.check(placed, self._chain(parent))
        self._unique(("namespace", "", path))
        self.found["namespace", "", path] = placed
        self.namespaces[path] = placed

    def _check(self, resource: Any) -> None:
        """What has to be true of every resource where it stands; the namespace ``/`` stands in none."""
        if resource.namespace and resource.namespace not in self.namespaces:
            raise Invalid("namespace", f"{resource.namespace!r} does not exist", "add it under data.namespaces")
        validation.check(resource, self._tag_prefixes(resource.namespace))

    def _unit(self, body: dict[str, Any]) -> ProcessingUnit:
        """A unit; fields that only a Console sets may be there as a Console lists them."""
        unit = convert(body, ProcessingUnit)
        enforcer = unit.enforcer_id or unit.enforcer_name or "offline"
        return msgspec.structs.replace(unit, enforcer_id=enforcer, enforcer_name=unit.enforcer_name or enforcer)

    def _keep(self, kind: Kind, resource: Any) -> None:
        self._check(resource)
        if isinstance(resource, NamespaceMappingPolicy) and resource.mapped_namespace not in self.namespaces:
            raise Invalid("mappedNamespace", f"there is no namespace {resource.mapped_namespace!r}", "add it here")
        if isinstance(resource, ProcessingUnit):
            resource = self._mapped(kind, self._with_badge(resource))
        self._unique((kind.singular, resource.namespace, resource.name))
        resource = tagging.normalised(kind, resource, self._organisation(resource.namespace))
        self.found[kind.singular, resource.namespace, resource.name] = resource

    def _mapped(self, kind: Kind, unit: ProcessingUnit) -> ProcessingUnit:
        """``unit`` where mapping policies put it; they only ever move units down, so this ends."""
        policies = [each for each in self.found.values() if isinstance(each, NamespaceMappingPolicy)]
        while True:
            tagged = tagging.normalised(kind, unit, self._organisation(unit.namespace))
            here = [each for each in policies if each.namespace == unit.namespace]
            policy = placement.mapping(here, frozenset(tagged.normalized_tags))
            if policy is None:
                return unit
            unit = msgspec.structs.replace(
                unit, namespace=policy.mapped_namespace, mapped_by=[*unit.mapped_by, policy.id]
            )

    def _with_badge(self, unit: ProcessingUnit) -> ProcessingUnit:
        badge = unit.badge or int.from_bytes(hashlib.sha256(unit.id.encode()).digest()[:4], "big")
        while badge == 0 or badge in self.badges:
            badge = (badge + 1) % (1 << 32)
        self.badges.add(badge)
        return msgspec.structs.replace(unit, badge=badge, native_context_id=unit.native_context_id or unit.id)

    def _unique(self, key: tuple[str, str, str]) -> None:
        if key in self.found:
            raise Invalid("name", f"{key[2]!r} is there twice in {key[1] or 'these files'}", "rename one of them")

    def _chain(self, path: str) -> list[Namespace]:
        """The namespace at ``path``, which exists, and those above it; none for "", which is above the root."""
        return [self.namespaces[each] for each in upwards(path)] if path else []

    def _tag_prefixes(self, path: str) -> list[str]:
        return sorted({prefix for each in self._chain(path) for prefix in each.tag_prefixes})

    def _organisation(self, path: str) -> set[str]:
        return {tag for each in self._chain(path) for tag in tenancy.given(each)}

    def _note(self, document: Document, error: Invalid, name: str = "") -> None:
        self.problems.append(
            FileProblem(document.source, document.number, error.path, name, error.message, error.remedy)
        )

    def _note_item(self, item: _Item, error: Invalid) -> None:
        where = f"data.{item.plural}[{item.index}].{error.path}"
        self._note(item.document, Invalid(where, error.message, error.remedy), item.name)

    def loaded(self) -> Loaded:
        """Everything, put together."""
        parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        resources = [*self.namespaces.values(), *(each for key, each in self.found.items() if key[0] != "namespace")]
        for resource in resources:
            for placed in entries(resource):
                parts[placed.part][placed.key] = placed.entry
        for unit in parts["units"].values():
            parts["enforcers"].setdefault(unit.enforcer, EnforcerEntry(certificate=b"", keys=()))
        tests = tuple(
            assertions.parsed(each) for each in resources if isinstance(each, PolicyTest) and not each.disabled
        )
        return Loaded(World(revision=0, **parts), tests, tuple(resources))


def _identifier(kind: str, namespace: str, name: str) -> str:
    return hashlib.sha256("\0".join((kind, namespace, name)).encode()).hexdigest()[:24]
