"""The processing units of this host: the host itself, declared ones, and those of ``watchword run``.

Finds out which exist and where they run; the Console decides their tags, the datapath their
packets. A started unit (``watchword run``) has a cgroup of its own, made here before anything runs in
it and removed when its last process is gone; what it was called stands in the data directory, so that
a restarted agent knows it again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from watchword.enforcer import cgroups, files
from watchword.enforcer.datapath.base import Placement
from watchword.enforcer.errors import UNDECODABLE, CredentialError, SettingsError, UnitError
from watchword.enforcer.settings import Settings, UnitSettings, UnitType, check_unit
from watchword.wire.messages import UnitRegistration

HOST = "host"
Origin = Literal["host", "declared", "started"]


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of a started unit across restarts of the agent."""

    name: str
    type: UnitType
    tags: tuple[str, ...]


@dataclass(slots=True)
class Unit:
    """One unit that exists now."""

    registration: UnitRegistration
    cgroup: Path
    origin: Origin
    inode: int
    lived: bool = False  # some process has been in its cgroup
    accepted: bool = False  # the Console answered this registration
    refused: str = ""  # or why it did not take it


class Changes(NamedTuple):
    """What a look at the host found."""

    appeared: tuple[UnitRegistration, ...]
    gone: tuple[str, ...]  # native IDs
    moved: bool  # a placement changed


@dataclass
class Units:
    """All units of this host. Not thread-safe; belongs to the agent's event loop."""

    settings: Settings
    root: Path
    directory: Path
    problems: dict[str, str] = field(default_factory=dict)  # unit name -> what is wrong

    def __post_init__(self) -> None:
        self.watch = cgroups.PopulationWatch()
        self._metadata = (f"@os:hostname={socket.gethostname()}",)
        self._units: dict[str, Unit] = {}
        self._declared_at = {unit.name: self._below_root(unit) for unit in self.settings.units if unit.cgroup}
        files.private_directory(self.directory)
        host = UnitRegistration(
            HOST, "Host", self.settings.name, self.settings.tags, ("@os:host=linux", *self._metadata)
        )
        self._units[HOST] = Unit(host, self.root, "host", cgroups.inode(self.root), lived=True)

    def __contains__(self, native_id: str) -> bool:
        return native_id in self._units

    def get(self, native_id: str) -> Unit | None:
        """The unit with that native ID, if it exists."""
        return self._units.get(native_id)

    def all(self) -> tuple[Unit, ...]:
        """All units that exist."""
        return tuple(self._units.values())

    def registrations(self) -> tuple[UnitRegistration, ...]:
        """All units as the Console is to know them."""
        return tuple(unit.registration for unit in self._units.values())

    def placements(self) -> tuple[Placement, ...]:
        """Where the units run. One that the Console refused is no unit: its cgroup belongs to what is around it."""
        return tuple(
            Placement(native_id, str(unit.cgroup)) for native_id, unit in self._units.items() if not unit.refused
        )

    def places(self) -> frozenset[tuple[Placement, int]]:
        """The placements with their cgroups' IDs: equal as long as nothing has to be placed anew."""
        return frozenset((placement, self._units[placement.native_id].inode) for placement in self.placements())

    def answered(self, accepted: Mapping[str, str], refused: Mapping[str, str]) -> None:
        """The Console's answer to a registration."""
        for native_id in accepted:
            if unit := self._units.get(native_id):
                unit.accepted, unit.refused = True, ""
                self.problems.pop(unit.registration.name, None)
        for native_id, reason in refused.items():
            if unit := self._units.get(native_id):
                unit.accepted, unit.refused = False, reason
                self.problems[unit.registration.name] = f"the Console refused unit {unit.registration.name}: {reason}"

    def start(self, name: str, kind: UnitType, tags: tuple[str, ...]) -> Unit:
        """Make the cgroup of a new unit, empty as yet. Raises :class:`UnitError`, or :class:`StorageError`."""
        try:
            check_unit("unit", name, tags)
        except SettingsError as error:
            raise UnitError(str(error)) from None
        native_id = f"run/{name}"
        if native_id in self._units or any(unit.registration.name == name for unit in self._units.values()):
            raise UnitError(f"unit.name: a unit called {name!r} exists already; choose another name or stop that one")
        path = self._started_path(name)
        if cgroups.populated(path):
            raise UnitError(f"{path} holds processes of no known unit; end them or choose another name")
        files.replace(self._kept_path(name), msgspec.json.encode(_Kept(name, kind, tags)), durable=False)
        try:
            cgroups.create(path)
        except UnitError:
            self._kept_path(name).unlink(missing_ok=True)
            raise
        return self._add_started(_Kept(name, kind, tags), lived=False)

    def end(self, native_id: str) -> bool:
        """Forget a started unit and remove its cgroup; False while processes live in it."""
        unit = self._units[native_id]
        if unit.origin != "started" or not cgroups.remove(unit.cgroup):
            return False
        self.watch.discard(native_id)
        self._kept_path(unit.registration.name).unlink(missing_ok=True)
        self.problems.pop(unit.registration.name, None)
        del self._units[native_id]
        return True

    def restore(self) -> None:
        """Find the started units of an earlier agent again; clean up after those that ended meanwhile."""
        for path in sorted(self.directory.glob("*.json")):
            try:
                kept = msgspec.json.decode(files.read_private(path) or b"", type=_Kept)
                check_unit("unit", kept.name, kept.tags)
            except (*UNDECODABLE, SettingsError, CredentialError) as error:
                self.problems[path.stem] = f"{path} does not describe a unit: {error}; remove it"
                continue
            if cgroups.populated(self._started_path(kept.name)):
                self._add_started(kept, lived=True)
            elif cgroups.remove(self._started_path(kept.name)):
                path.unlink(missing_ok=True)
        self._sweep()

    def refresh(self) -> Changes:
        """Look at declared units; find those that appeared, are gone, or moved to a new cgroup."""
        appeared, gone, moved = [], [], False
        standing = cgroups.Standing()
        for declared in self.settings.units:
            native_id = f"unit/{declared.name}"
            path, known = self._declared_path(declared), self._units.get(native_id)
            inode = standing.inode(str(path)) if path is not None else 0
            if path is None or not inode:
                if known is not None:
                    del self._units[native_id]
                    gone.append(native_id)
                continue
            if known is None:
                unit = self._units[native_id] = Unit(
                    self._declared(native_id, declared), path, "declared", inode, lived=True
                )
                appeared.append(unit.registration)
            elif (known.cgroup, known.inode) != (path, inode):
                known.cgroup, known.inode, moved = path, inode, True
        return Changes(tuple(appeared), tuple(gone), moved or bool(appeared or gone))

    def emptied(self) -> tuple[str, ...]:
        """Started units whose last process is gone since last asked; they are forgotten."""
        gone = []
        for native_id, populated in self.watch.changed().items():
            unit = self._units[native_id]
            if populated:
                unit.lived = True
            elif unit.lived and self.end(native_id):
                gone.append(native_id)
        return tuple(gone)

    def uninstall(self) -> list[str]:
        """Remove all cgroups of started units; their processes go on in the root. Names what stays."""
        for path in (unit.cgroup for unit in self.all() if unit.origin == "started"):
            cgroups.evacuate(path, self.root)
            cgroups.remove(path)
        parent = self.root / "watchword"
        return [] if cgroups.remove(parent) else [f"{parent}: processes still live there"]

    def close(self) -> None:
        """Let go of the watch."""
        self.watch.close()

    def _started_path(self, name: str) -> Path:
        return self.root / "watchword" / name

    def _kept_path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _add_started(self, kept: _Kept, *, lived: bool) -> Unit:
        native_id, path = f"run/{kept.name}", self._started_path(kept.name)
        registration = UnitRegistration(native_id, kept.type, kept.name, kept.tags, self._metadata)
        unit = self._units[native_id] = Unit(registration, path, "started", cgroups.inode(path), lived=lived)
        self.watch.add(native_id, path)
        return unit

    def _declared_path(self, declared: UnitSettings) -> Path | None:
        """Where it is if it is; None for a service that does not run."""
        if declared.systemd:
            return cgroups.service(self.root, declared.systemd)
        return self._declared_at[declared.name]

    def _below_root(self, declared: UnitSettings) -> Path:
        """The cgroup as declared, absolute or relative; elsewhere the datapath would not see it."""
        path = Path(os.path.normpath(self.root / declared.cgroup))
        if path == self.root or not path.is_relative_to(self.root):
            raise SettingsError(
                f"unit {declared.name}.cgroup", f"{path} is not below {self.root}", "choose one that is"
            )
        return path

    def _declared(self, native_id: str, declared: UnitSettings) -> UnitRegistration:
        source = (f"@app:systemd:unit={declared.systemd}",) if declared.systemd else ()
        return UnitRegistration(native_id, declared.type, declared.name, declared.tags, (*source, *self._metadata))

    def _sweep(self) -> None:
        """Remove cgroups that no unit owns; name those that cannot be removed."""
        parent = self.root / "watchword"
        known = {unit.cgroup for unit in self._units.values()}
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            if path.is_dir() and path not in known and not cgroups.remove(path):
                self.problems[path.name] = f"{path} holds processes of no known unit: they count as the host's"
