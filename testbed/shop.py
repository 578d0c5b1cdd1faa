"""A small web API with a database behind it, as a program: ``python -m testbed.shop``.

``GET /health`` answers without the database; ``GET /orders`` lists orders; ``POST /orders`` with
``{"item": …, "quantity": …}`` adds one. The database connection is kept open between requests and made
anew when it has broken; while there is none, the answer is 503 with the reason.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from testbed.postgres_client import PostgresConnection, PostgresError, Row

SCHEMA = """
create table orders (
    id bigserial primary key,
    item text not null check (item <> ''),
    quantity integer not null check (quantity > 0),
    placed timestamptz not null default now()
);
insert into orders (item, quantity) values ('teapot', 2), ('kettle', 1), ('strainer', 5);
"""


class Store:
    """The shop's orders; one database connection, used by one request at a time."""

    def __init__(self, address: str, port: int) -> None:
        self._where = (address, port)
        self._lock = threading.Lock()
        self._connection: PostgresConnection | None = None

    def query(self, statement: str, *parameters: str | int | None) -> list[Row]:
        """Run a statement; a broken connection is reported to this request and made anew for the next."""
        with self._lock:
            if self._connection is None:
                self._connection = PostgresConnection(*self._where, user="postgres", database="postgres")
            try:
                return self._connection.query(statement, *parameters)
            except OSError:
                self._connection.close()
                self._connection = None
                raise


class Handler(BaseHTTPRequestHandler):
    """One request."""

    store: Store

    def do_GET(self) -> None:
        """Answer ``/health`` and ``/orders``."""
        if self.path == "/health":
            self._answer(HTTPStatus.OK, {"status": "ok"})
        elif self.path == "/orders":
            self._with_store("select id, item, quantity from orders order by id")
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"no such page: {self.path}"})

    def do_POST(self) -> None:
        """Add an order."""
        try:
            order = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            item, quantity = str(order["item"]), int(order["quantity"])
        except (ValueError, KeyError, TypeError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": f"an order needs item and quantity: {error}"})
            return
        self._with_store(
            "insert into orders (item, quantity) values ($1, $2) returning id, item, quantity", item, quantity
        )

    def _with_store(self, statement: str, *parameters: str | int | None) -> None:
        try:
            rows = self.store.query(statement, *parameters)
        except PostgresError as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except OSError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"no database: {error}"})
        else:
            orders = [{"id": int(id or 0), "item": item, "quantity": int(n or 0)} for id, item, n in rows]
            self._answer(HTTPStatus.OK, {"orders": orders})

    def _answer(self, status: HTTPStatus, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Listens for IPv6 and IPv4."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """Take IPv4 too, whatever the machine's default is."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m testbed.shop", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--database", required=True, help="address of the PostgreSQL server")
    parser.add_argument("--database-port", type=int, default=5432)
    settings = parser.parse_args()
    Handler.store = Store(settings.database, settings.database_port)
    with Server(("::", settings.port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
