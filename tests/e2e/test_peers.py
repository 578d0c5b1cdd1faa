"""`make bench-peers` as short as it can be: every product works in the harness, and keeps strangers out there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.fenced import FencedPair
from bench.peers.__main__ import CONTENDERS
from bench.peers.contender import exchanges
from bench.peers.turns import serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair() -> Iterator[FencedPair]:
    """Two hosts with the servers of the benchmark."""
    with FencedPair() as made:
        serve(made)
        yield made


@pytest.mark.parametrize("name", CONTENDERS)
def test_the_servers_side_lets_in_the_client_and_no_other_member(pair: FencedPair, name: str) -> None:
    """What is compared is identity checked, so a certificate of the same authority with another name must not do."""
    honest = CONTENDERS[name](pair)
    target = honest.start()
    honest.wait(target)
    assert honest.rss_mb() > 1
    honest.stop()
    stranger = CONTENDERS[name](pair, "stranger")
    assert stranger.start() == target
    with pytest.raises(RuntimeError, match="nothing gets through"):
        stranger.wait(target, 1.0)
    stranger.check()
    stranger.stop()
    assert not exchanges(pair, target, 100)


def test_the_benchmark_measures_everybody(tmp_path: Path) -> None:
    """Whether figures are good is not this test's business."""
    command = [sys.executable, "-m", "bench.peers", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["bench"], found["failed"]) == ("peers", [])
    assert found["bare"]["connection_ratio"] == found["bare"]["throughput_ratio"] == 1
    for name in ("watchword", *CONTENDERS):
        assert found[name]["version"]
        assert found[name]["per_second"] > 0
        assert 0 < found[name]["throughput_ratio"] < 10
        assert found[name]["cpu_us"] > found["bare"]["cpu_us"] * 0.8
    for name in CONTENDERS:
        assert 1 < found[name]["rss_mb"] < 500
