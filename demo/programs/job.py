"""The batch job: uses the shop's API and its database, again and again: ``python -m demo.programs.job``.

Keeps one database connection open, as such jobs do. Prints one JSON line whenever it has used one of them:
which, and how that failed if it did.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request

from testbed.postgres_client import PostgresConnection, PostgresError

#: One order is placed in so many rounds, so that the table does not grow without end.
_ORDER_EVERY = 10

#: Seconds that a request or a connection may take.
_PATIENCE = 10.0


class Job:
    """Its work, and the database connection that it keeps."""

    def __init__(self, api: str, database: str) -> None:
        self._api = api
        self._database = database
        self._connection: PostgresConnection | None = None

    def use_api(self, number: int) -> str:
        """Ask the API; place an order now and then. Returns what went wrong, or nothing."""
        order = json.dumps({"item": "tea", "quantity": 1}).encode() if number % _ORDER_EVERY == 0 else None
        try:
            with urllib.request.urlopen(
                f"{self._api}/{'orders' if order else 'health'}", order, timeout=_PATIENCE
            ) as answer:
                answer.read()
        except OSError as error:
            return str(error)
        return ""

    def use_database(self) -> str:
        """Count the orders over the kept connection. Returns what went wrong, or nothing."""
        try:
            if self._connection is None:
                self._connection = PostgresConnection(
                    self._database, 5432, user="postgres", database="postgres", timeout=_PATIENCE
                )
            self._connection.query("select count(*) from orders")
        except (OSError, PostgresError) as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return str(error)
        return ""


def main() -> None:
    """Work until killed."""
    parser = argparse.ArgumentParser(prog="python -m demo.programs.job", description=__doc__)
    parser.add_argument("--api", required=True, help="URL of the shop's API")
    parser.add_argument("--database", required=True, help="address of the PostgreSQL server")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two rounds")
    settings = parser.parse_args()
    job = Job(settings.api, settings.database)
    number = 0
    while True:
        number += 1
        _tell("database", job.use_database())
        _tell("api", job.use_api(number))
        time.sleep(settings.interval)


def _tell(use: str, failed: str) -> None:
    print(json.dumps({"at": time.monotonic(), "use": use, "failed": failed}), flush=True)


if __name__ == "__main__":
    main()
