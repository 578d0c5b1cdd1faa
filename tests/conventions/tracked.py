"""What belongs to the repository: its tracked files, and those new ones that git would not ignore."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """Paths relative to the root, of files that exist."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = sorted({Path(name) for name in listed.split("\0") if name})
    return tuple(path for path in paths if (ROOT / path).is_file())


def python_files() -> list[Path]:
    """The tracked Python modules."""
    return [path for path in tracked_files() if path.suffix == ".py"]
