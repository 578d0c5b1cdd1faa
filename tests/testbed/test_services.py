"""Real programs run on simulated hosts, reach each other and leave nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Host, Testbed, cgroup
from testbed.services import Nginx, Postgres, Shop, listens

FETCH = """
import sys, urllib.request, urllib.error
data = sys.argv[2].encode() if len(sys.argv) > 2 else None
try:
    with urllib.request.urlopen(sys.argv[1], data, timeout=10) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    with error:
        print(error.code, error.read().decode())
"""


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed("services") as made:
        yield made
    assert made.leftovers() == []


def fetch(host: Host, url: str, data: object = None) -> tuple[int, str]:
    """Ask for a page from inside the host."""
    body = [json.dumps(data)] if data is not None else []
    status, _, text = host.run([sys.executable, "-c", FETCH, url, *body]).stdout.partition(" ")
    return int(status), text


def segments_of_system_v() -> list[str]:
    return Path("/proc/sysvipc/shm").read_text().splitlines()[1:]


def test_a_shop_of_three_hosts_works(bed: Testbed) -> None:
    router = bed.router("r")
    edge, api, db, customer = (bed.host(name, router) for name in ("edge", "api", "db", "customer"))
    before = segments_of_system_v(), os.listdir("/dev/shm")
    database = Postgres(db)
    assert (segments_of_system_v(), os.listdir("/dev/shm")) == before, "nothing that a SIGKILL would leave"
    shop = Shop(api, database=db.ipv4)
    nginx = Nginx(edge, upstreams={"/orders": f"http://{api.ipv4}:8000"})

    for address in (edge.ipv4, f"[{edge.ipv6}]"):
        assert fetch(customer, f"http://{address}/") == (200, "<h1>edge</h1>\n\n")
    url = f"http://{edge.ipv4}/orders"
    assert fetch(customer, url, {"item": "cup's", "quantity": 4})[0] == 200
    status, text = fetch(customer, url)
    assert (status, json.loads(text)["orders"][-1]) == (200, {"id": 4, "item": "cup's", "quantity": 4})
    assert database.query("select item from orders where id = 4") == "cup's\n"
    assert fetch(customer, url, {"item": "cup", "quantity": 0})[0] == 400
    assert fetch(customer, url, {"item": "cup"})[0] == 400

    for host, service, group in ((db, database, "postgres"), (api, shop, "shop"), (edge, nginx, "nginx")):
        assert service.process.pid in cgroup.members(host.cgroup / group)
        assert listens(host, service.port)

    database.stop()
    assert not listens(db, 5432)
    assert fetch(customer, url)[0] == 503
    nginx.stop()
    shop.stop()
    for host in (edge, api, db):
        assert cgroup.members(host.cgroup) == [], "a stopped service leaves no process behind"


def test_the_shop_connects_again_when_the_database_is_back(bed: Testbed) -> None:
    host = bed.host("one")
    with Shop(host, database="127.0.0.1", port=8001):
        assert fetch(host, "http://127.0.0.1:8001/orders")[0] == 503
        assert fetch(host, "http://127.0.0.1:8001/health")[0] == 200
        with Postgres(host):
            assert fetch(host, "http://127.0.0.1:8001/orders")[0] == 200


def test_a_program_that_cannot_start_says_why(bed: Testbed) -> None:
    host = bed.host("one")
    with Nginx(host, port=8080), pytest.raises(RuntimeError, match="invalid URL prefix"):
        Nginx(host, port=8081, upstreams={"/x": "nowhere"})


def test_services_work_whatever_the_umask() -> None:
    script = """if True:
        import os; os.umask(0o077)
        from testbed import Testbed
        from testbed.services import Postgres
        with Testbed("umask") as bed:
            print(Postgres(bed.host("one")).query("select count(*) from orders"))
        assert bed.leftovers() == []
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3\n\n", "")
