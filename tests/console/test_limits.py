"""Failures of one address are slowed down, those of others are not, and memory stays bounded."""

from __future__ import annotations

from watchword.console import limits
from watchword.console.limits import FailureLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_burst_and_recovery() -> None:
    clock = Clock()
    limit = FailureLimit(burst=3, per_minute=60, clock=clock)
    for _ in range(3):
        assert limit.retry_after("192.0.2.1") == 0
        limit.failed("192.0.2.1")
    assert limit.retry_after("192.0.2.1") == 1
    assert limit.retry_after("192.0.2.2") == 0
    clock.now += 1
    assert limit.retry_after("192.0.2.1") == 0
    clock.now += 1000
    for _ in range(3):
        limit.failed("192.0.2.1")
    assert limit.retry_after("192.0.2.1") > 0


def test_an_ipv6_host_is_its_network() -> None:
    limit = FailureLimit(burst=1, clock=Clock())
    limit.failed("2001:db8::1")
    assert limit.retry_after("2001:db8::ffff:2") > 0
    assert limit.retry_after("2001:db8:0:1::1") == 0
    limit.failed("::ffff:192.0.2.9")
    assert limit.retry_after("192.0.2.9") > 0


def test_memory_is_bounded() -> None:
    limit = FailureLimit(clock=Clock())
    for index in range(limits.ADDRESS_LIMIT + 50):
        limit.failed(f"10.{index >> 16}.{(index >> 8) & 255}.{index & 255}")
    assert len(limit._left) == limits.ADDRESS_LIMIT
