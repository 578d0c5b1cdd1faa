"""The parts of `make bench-datapath` that need real agents, as short as they can be: that they still work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_the_loaded_part_measures_what_it_says() -> None:
    """Real agents under a real Console, with a small burden. Whether bars are met is not this test's business."""
    command = [sys.executable, "-m", "bench.datapath", "--only", "loaded", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["failed"] == []
    assert figures["loaded_ratio"] > 0.1
    assert 0 < figures["start_s"] < 60
    assert 10 < figures["rss_mb"] < 500
    assert 0 <= figures["idle_percent"] < 100
    assert figures["throughput_ratio"] is None, "only what was asked for"
