"""Act 1: hosts enrol with a token, workloads get identities."""

from __future__ import annotations

from typing import Any

from demo.cast import HOSTS, NAMESPACE, WORKLOADS
from demo.operator import await_that
from demo.show import Show

TITLE = "Enrolment: every workload gets an identity"
WORDS = (
    "nginx and PostgreSQL run already, as on any host; they are not restarted. An Enforcer is started on each host "
    "with an install token. It makes its own keys, which never leave the host, and the Console vouches for them."
)


def perform(show: Show) -> None:
    """Start Console, Enforcers and workloads."""
    stage, narrator = show.stage, show.narrator
    with narrator.working("starting nginx and PostgreSQL, the way they run before anybody thinks of Enforcers"):
        stage.start_services()
    with narrator.working("starting the Console"):
        stage.start_console()
    narrator.say(f"The Console answers at {stage.console.url}. It is a certificate authority of its own.")
    token = stage.operator.told("token", "create", "-n", NAMESPACE, "--uses", str(len(HOSTS)), "--expires", "30m")[
        "token"
    ]
    narrator.command(f"watchword token create -n {NAMESPACE} --uses {len(HOSTS)} --expires 30m")
    narrator.command("watchword enforcer start --settings enforcer.toml      # on each host")
    with narrator.working("five hosts make keys, enrol, load their kernel programs"):
        stage.start_enforcers(token)
    narrator.command("watchword run --name api --tag app=api --tag zone=shop -- python -m testbed.shop …")
    with narrator.working("starting workloads with identities of their own"):
        stage.start_workloads()
        stage.start_puppets()
    _claims(show)


def _claims(show: Show) -> None:
    operator = show.stage.operator
    enforcers = operator.get("/v1/enforcers", recursive="true")
    connected = sorted(each["name"] for each in enforcers if each["operationalStatus"] == "Connected")
    show.expect(
        "five hosts have enrolled with one token and are connected", connected == sorted(HOSTS), _list(connected)
    )
    datapaths = {each["datapath"] for each in enforcers}
    show.expect("each of them decides in its kernel (eBPF)", datapaths == {"ebpf"}, _list(sorted(datapaths)))
    wanted = {name for name in WORKLOADS if name != "meter"}  # which comes later
    await_that(lambda: wanted <= {unit["name"] for unit in _units(show) if unit["enforcementStatus"] == "Active"}, 20)
    units = {unit["name"]: unit for unit in _units(show)}
    tagged = {name for name in wanted & set(units) if set(WORKLOADS[name].tags) <= set(units[name]["associatedTags"])}
    show.expect("every workload is known by its tags", tagged == wanted, _list(sorted(wanted - tagged)))
    active = {name for name in wanted & set(units) if units[name]["enforcementStatus"] == "Active"}
    show.expect("every workload's policy is in force", active == wanted, _list(sorted(wanted - active)))
    show.narrator.table(
        "watchword api list processingunit",
        ("workload", "host", "tags", "badge"),
        [
            (name, units[name]["enforcerName"], " ".join(units[name]["associatedTags"]), units[name]["badge"])
            for name in WORKLOADS
            if name in units
        ],
    )


def _units(show: Show) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = show.stage.operator.get("/v1/processingunits", recursive="true", limit="1000")
    return found


def _list(words: list[str]) -> str:
    return ", ".join(words)
