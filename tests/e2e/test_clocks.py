"""Wall clocks that jump by a day and by a year, ahead and back: on the hosts, then at the Console.

Every program of Watchword has a clock that the test sets while it runs. Identities are proved, policy changes arrive
and rules are as old as they are. A wall clock is needed for the Console's certificate and for what ends by date.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from demo.operator import WATCHWORD
from testbed.services import listens
from testbed.wallclock import WallClock
from tests.e2e.outpost import RULED, Outpost, data, outposts, until

pytestmark = pytest.mark.timeout(240)

DAY, YEAR = 86400, 365 * 86400
#: Seconds for which rules hold without a Console, in the test that waits for it.
SHORT = 4.0


class Clocks:
    """One for each host with an Enforcer, one for the Console."""

    def __init__(self, outpost: Outpost) -> None:
        self.outpost = outpost
        self.hosts = {name: WallClock(host.directory / "clock") for name, host in outpost.hosts.items()}
        for name in outpost.enforcers:
            self.restart_agent(name)
        self.restart_console()

    def restart_agent(self, name: str) -> None:
        self.outpost.enforcers[name].kill()
        self.outpost.enforcers[name].start(self.hosts[name].env)

    def restart_console(self) -> None:
        console = self.outpost.console
        if console.process.running():
            console.process.kill()
        until(lambda: not listens(console.host, 7443), self.outpost.logs)
        console.process = console.host.start(console.process.command, env=self.hosts["console"].env)
        until(lambda: listens(console.host, 7443), console.process.output)

    def linked(self) -> None:
        until(lambda: all(self.state(name) == "established" for name in self.outpost.enforcers), self.outpost.logs)

    def state(self, name: str) -> str:
        return str(self.outpost.status(name)["link"]["state"])


@pytest.fixture(scope="module")
def lasting_clocks() -> Iterator[Clocks]:
    with outposts("clocks") as outpost:
        yield Clocks(outpost)


@pytest.fixture
def clocks(lasting_clocks: Clocks) -> Clocks:
    """With all of them right."""
    for clock in lasting_clocks.hosts.values():
        clock.set_ahead(0)
    lasting_clocks.linked()
    return lasting_clocks


def test_hosts_whose_clocks_jump_go_on_proving_judging_and_obeying(clocks: Clocks) -> None:
    """One host jumps while both are in session: proofs need no agreement about the time, and changes arrive."""
    outpost = clocks.outpost
    for jump in (DAY, -DAY, YEAR, -YEAR):
        clocks.hosts["db"].set_ahead(jump)
        before = outpost.counters("db")["proved"]
        assert outpost.verdicts() == RULED
        assert outpost.counters("db")["proved"] > before
        assert clocks.state("db") == "established"
        assert outpost.status("db")["problems"] == []
    for allowed in (False, True):
        outpost.enforces(outpost.let_in(allowed), "db")
        assert outpost.calls() is allowed


def test_a_key_that_a_jump_made_old_is_rotated_and_no_proof_is_lost(clocks: Clocks) -> None:
    outpost, stored = clocks.outpost, data(clocks.outpost.web) / "datapath-keys"
    content = stored.read_bytes()
    clocks.hosts["web"].set_ahead(2 * YEAR)
    until(lambda: stored.read_bytes() != content, outpost.logs)
    for _ in range(3):
        assert outpost.verdicts() == RULED


def test_without_a_console_no_jump_makes_rules_lapse_or_live_longer(clocks: Clocks) -> None:
    """A year ahead: they hold for a hundred days. A year back: they lapse after seconds, if so told."""
    outpost, settings = clocks.outpost, clocks.outpost.enforcers["db"].settings
    text = settings.read_text()
    outpost.console.process.kill()
    try:
        for jump, age, lapsed in ((YEAR, 100 * DAY, False), (-YEAR, SHORT, True)):
            clocks.hosts["db"].set_ahead(jump)
            settings.write_text(f"offline_max_age = {age}\n" + text)
            clocks.restart_agent("db")
            until(lambda: outpost.status("db")["revision"]["enforced"] > 0, outpost.logs)
            until(lambda lapsed=lapsed: outpost.status("db")["revision"].get("lapsed") is lapsed, outpost.logs)  # type: ignore[misc]
            assert outpost.calls() is not lapsed
    finally:
        settings.write_text(text)
        clocks.hosts["db"].set_ahead(0)
        clocks.restart_agent("db")
        clocks.restart_console()
    clocks.linked()
    until(lambda: outpost.status("db")["revision"]["lapsed"] is False, outpost.logs)
    assert outpost.verdicts() == RULED


def test_a_host_that_starts_in_another_year_holds_its_rules_and_says_why_it_is_alone(clocks: Clocks) -> None:
    """The bound: the Console's certificate is valid from a day before it was made, and for thirty days at least."""
    outpost = clocks.outpost
    clocks.hosts["db"].set_ahead(-YEAR)
    clocks.restart_agent("db")
    until(lambda: "certificate is not accepted" in outpost.status("db")["link"]["problem"], outpost.logs)
    assert outpost.status("db")["revision"]["enforced"] > 0
    assert outpost.verdicts() == RULED
    clocks.hosts["db"].set_ahead(29 * DAY)
    clocks.linked()


def test_a_console_that_was_in_another_year_is_the_console_again(clocks: Clocks) -> None:
    """It is started there, so that whatever it makes by that clock is made; and again when its clock is right."""
    outpost, console = clocks.outpost, clocks.hosts["console"]
    for jump in (-YEAR, 2 * YEAR):
        console.set_ahead(jump)
        outpost.enforces(outpost.change_elsewhere(abs(jump)), "web", "db")  # those in session notice nothing
    clocks.restart_console()
    until(lambda: "certificate is not accepted" in outpost.status("db")["link"]["problem"], outpost.logs)
    assert outpost.verdicts() == RULED
    console.set_ahead(0)
    clocks.restart_console()
    clocks.linked()
    for allowed in (False, True):
        outpost.enforces(outpost.let_in(allowed), "db")
        assert outpost.calls() is allowed


def test_an_install_token_ends_by_the_consoles_clock(clocks: Clocks) -> None:
    """Ahead: it is over, and says so; back: no longer valid than it was made for, once the clock is right."""
    outpost = clocks.outpost
    token = outpost.operator.told("token", "create", "-n", "/site", "--uses", "2")["token"]
    host = outpost.outside
    (host.directory / "token").touch(mode=0o600)
    (host.directory / "token").write_text(token)
    settings = host.directory / "enforcer.toml"
    settings.write_text(
        f"name = 'late'\ninstall_token_file = '{host.directory}/token'\ncgroup_root = '{host.cgroup}'\n"
        f"data_dir = '{data(host)}'\nrun_dir = '{host.directory}/run'\npin_dir = '{host.make_pins()}/watchword'\n"
    )
    command = [WATCHWORD, "enforcer", "start", "--settings", str(settings)]
    clocks.hosts["console"].set_ahead(DAY)
    refused = host.run(command, check=False, cgroup="agent")
    assert refused.returncode == 1
    assert "the Console answered 4" in refused.stderr
    clocks.hosts["console"].set_ahead(0)
    shutil.rmtree(data(host))
    agent = host.start(command, cgroup="agent")
    until(lambda: "enrolled as late" in agent.output(), agent.output)
    until(lambda: host.run([*command[:2], "status", *command[3:]], check=False).returncode == 0, agent.output)
    removed = host.run([*command[:2], "uninstall", "--json", *command[3:]])
    assert json.loads(removed.stdout) == {"told": True, "left": []}
    assert agent.wait() == 0
