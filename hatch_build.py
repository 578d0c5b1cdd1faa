"""Builds the kernel half into the wheel.

A wheel without the compiled programs would install and then protect nothing, so this hook compiles them
(`make -C bpf`), puts them inside, and refuses to go on when a source has no object. An editable
installation needs none of it: `make bpf` writes the objects where the source tree is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("bpf")
DATAPATH = Path("src/watchword/enforcer/datapath/ebpf")


class KernelHalf(BuildHookInterface[Any]):
    """Compiles bpf/*.bpf.c and declares the results as part of the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; ``version`` is standard or editable."""
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        subprocess.run(["make", "-C", str(root / SOURCES), "all", f"PYTHON={sys.executable}"], check=True)
        objects = compiled_objects(root)
        generated = sorted((root / DATAPATH).glob("_*.py"))
        for path in [*objects, *generated]:
            build_data["artifacts"].append("/" + path.relative_to(root).as_posix())


def compiled_objects(root: Path) -> list[Path]:
    """The object of every source under bpf/, or an error that names what is missing."""
    sources = sorted((root / SOURCES).glob("*.bpf.c"))
    if not sources:
        raise FileNotFoundError(f"no kernel program under {root / SOURCES}: this is not a complete source tree")
    objects = [root / DATAPATH / "objects" / source.with_suffix(".o").name for source in sources]
    missing = [path.name for path in objects if not path.is_file() or path.stat().st_size == 0]
    if missing:
        raise FileNotFoundError(f"`make -C bpf` did not build {', '.join(missing)}; a wheel without them is useless")
    return objects
