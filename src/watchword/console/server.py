"""The Console as a server: sockets, TLS, start and orderly end.

There is no way to serve without TLS. Sessions with Enforcers are ended first, so that they reconnect
at once to whatever starts next; then HTTP is drained, then the stores are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

import structlog
import uvicorn

from watchword.console import logs
from watchword.console.app import create_app
from watchword.console.console import Console, fill, open_console
from watchword.console.settings import FirstStartHandler, Ready, ReadyHandler, Settings, SettingsError
from watchword.console.stream.channel import FRAME_LIMIT

log = structlog.get_logger(__name__)

#: Seconds that requests under way are given when the Console stops.
GRACE = 5


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling: signals are the business of :func:`serve`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, and say so."""
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def serve(
    settings: Settings,
    on_first_start: FirstStartHandler | None = None,
    on_ready: ReadyHandler | None = None,
    *,
    signals: bool = True,
) -> None:
    """Run one Console until cancelled or, with ``signals``, until SIGINT or SIGTERM.

    Sets logging up unless the process has done so. Raises :class:`SettingsError` for settings that cannot work.
    """
    if not structlog.is_configured():
        logs.configure()
    console = await open_console(settings)
    sockets: list[socket.socket] = []
    try:
        sockets += _listening(settings)
        console.mint.url = settings.public_url(sockets[0].getsockname()[1])
        await fill(console, on_first_start)
        console.housekeeping.start()
        console.policy_tests.start()
        try:
            await _run(console, sockets, on_ready, signals=signals)
        finally:
            await console.policy_tests.stop()
            await console.housekeeping.stop()
    finally:
        for each in sockets:
            each.close()
        await console.close()


async def _run(console: Console, sockets: list[socket.socket], on_ready: ReadyHandler | None, *, signals: bool) -> None:
    stop = asyncio.Event()
    server = _Server(_config(console))
    with _stopping_on_signals(stop.set) if signals else contextlib.nullcontext():
        serving = asyncio.create_task(server.serve(sockets=sockets))
        stopping = asyncio.create_task(stop.wait())
        try:
            accepting = asyncio.create_task(server.accepting.wait())
            await asyncio.wait([serving, accepting], return_when=asyncio.FIRST_COMPLETED)
            accepting.cancel()
            if on_ready is not None and server.started:
                on_ready(_ready(console, sockets))
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await console.hub.close()
            server.should_exit = True
            await serving
            log.info("console stopped")


def _config(console: Console) -> uvicorn.Config:
    def context(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return console.tls

    return uvicorn.Config(
        create_app(console),
        http="h11",
        ws="websockets-sansio",
        ws_max_size=FRAME_LIMIT,
        ws_per_message_deflate=False,  # a few bytes must not become megabytes
        ssl_context_factory=context,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody may say from which address they come
        lifespan="off",
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=75,  # seconds: longer than clients keep a connection, so that none is closed under a request
        h11_max_incomplete_event_size=32 << 10,
    )


@contextlib.contextmanager
def _stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    handled = (signal.SIGINT, signal.SIGTERM)
    for each in handled:
        loop.add_signal_handler(each, stop)
    try:
        yield
    finally:
        for each in handled:
            loop.remove_signal_handler(each)


def _listening(settings: Settings) -> list[socket.socket]:
    """Sockets bound to every address of ``settings.listen``. Raises :class:`SettingsError`."""
    sockets: list[socket.socket] = []
    for host, port in settings.addresses():
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sockets.append(socket.create_server((host, port), family=family, backlog=2048))
        except OSError as error:
            for each in sockets:
                each.close()
            raise SettingsError(f"listen: cannot listen on {host}:{port}: {error.strerror or error}") from None
    return sockets


def _ready(console: Console, sockets: list[socket.socket]) -> Ready:
    addresses = []
    for each in sockets:
        host, port = each.getsockname()[:2]
        addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return Ready(
        url=console.mint.url,
        ca_pem=console.trust.ca_pem,
        ca_sha256=console.trust.ca_sha256,
        console_id=console.trust.console_id,
        addresses=tuple(addresses),
    )
