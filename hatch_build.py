"""Builds the kernel half into the wheel.

A wheel without the compiled programs would install and then protect nothing, so this hook compiles them
(`make -C bpf`), puts them inside, and refuses to go on when one is missing. An editable installation
needs none of it: `make bpf` writes the objects where the source tree is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OBJECTS = Path("src/watchword/enforcer/datapath/ebpf/objects")


class KernelHalf(BuildHookInterface[Any]):
    """Compiles the programs under bpf/ and declares the results as part of the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; ``version`` is standard or editable."""
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        make(root / "bpf", "all", f"PYTHON={sys.executable}")
        for path in compiled_objects(root):
            build_data["artifacts"].append("/" + path.relative_to(root).as_posix())


def make(folder: Path, *arguments: str) -> str:
    """What make prints; an error if it fails."""
    command = ["make", "--silent", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def compiled_objects(root: Path) -> list[Path]:
    """The object of every program that bpf/Makefile names, or an error that names what is missing."""
    programs = make(root / "bpf", "--eval", "programs: ; @echo $(PROGRAMS)", "programs").split()
    if not programs:
        raise ValueError(f"{root}/bpf/Makefile names no PROGRAMS: this is not a complete source tree")
    folders = (root / OBJECTS, root / OBJECTS / "older")
    objects = [folder / f"{program}.bpf.o" for folder in folders for program in programs]
    missing = [
        path.relative_to(root / OBJECTS).as_posix()
        for path in objects
        if not path.is_file() or path.stat().st_size == 0
    ]
    if missing:
        raise FileNotFoundError(f"`make -C bpf` did not build {', '.join(missing)}; a wheel without them is useless")
    return objects
