"""A real Console on loopback, for the agent to work against, and a REST client for its operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from watchword.console.server import serve
from watchword.console.settings import FirstStart, Ready, Settings


class Operator:
    """Somebody with the administrator's credential."""

    def __init__(self, ready: Ready, credential: str, directory: Path) -> None:
        ca = directory / "operator-ca.pem"
        ca.write_text(ready.ca_pem)
        import ssl

        context = ssl.create_default_context(cafile=str(ca))
        self.url = ready.url
        self.client = httpx2.AsyncClient(
            base_url=ready.url,
            verify=context,
            trust_env=False,
            timeout=70,
            headers={"Authorization": f"Bearer {credential}"},
        )

    async def get(self, path: str) -> Any:
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        response = await self.client.post(path, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json()

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        response = await self.client.patch(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    async def delete(self, path: str) -> None:
        response = await self.client.delete(path)
        assert response.status_code == 204, response.text

    async def token(self, uses: int = 1) -> str:
        """A fresh install token."""
        made = await self.post("/v1/tokens", {"name": "test", "uses": uses, "validity": "30m"})
        return str(made["token"])

    async def enforced(self, patience: int = 20) -> int:
        """Wait until the newest revision is enforced everywhere; its number."""
        answer = await self.get(f"/v1/revisions/latest/enforcement?wait={patience}")
        assert answer["stragglers"] == [], answer
        return int(answer["revision"])


@asynccontextmanager
async def console(directory: Path, listen: str = "127.0.0.1:0", credential: str = "") -> AsyncIterator[Operator]:
    """A Console with its data in ``directory``; started again there, it needs the ``credential`` of before."""
    first: list[FirstStart] = []
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    settings = Settings(data_dir=directory / "console", listen=(listen,), names=("localhost",))
    serving = asyncio.create_task(serve(settings, first.append, ready.set_result, signals=False))
    try:
        serving.add_done_callback(lambda _: ready.done() or ready.cancel())
        async with asyncio.timeout(30):
            known = await ready
        operator = Operator(known, first[0].credential if first else credential, directory)
        try:
            yield operator
        finally:
            await operator.client.aclose()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def unit_named(operator: Operator, name: str) -> dict[str, Any]:
    """The record of a unit."""
    (found,) = [unit for unit in await operator.get("/v1/processingunits") if unit["name"] == name]
    return dict(found)


async def present(operator: Operator, state: str) -> dict[str, Any]:
    """The Enforcer's record once it is in that state and has told its health."""
    for _ in range(1000):
        (enforcer,) = await operator.get("/v1/enforcers")
        if enforcer["operationalStatus"] == state and (enforcer["rssBytes"] or state != "Connected"):
            return dict(enforcer)
        await asyncio.sleep(0.05)
    raise AssertionError(enforcer)


async def publish(operator: Operator, action: str, name: str = "ssh") -> None:
    """A ruleset about the host's port 22, from a network."""
    existing = [n for n in await operator.get("/v1/externalnetworks") if n["name"] == "office"]
    if not existing:
        await operator.post(
            "/v1/externalnetworks", {"name": "office", "entries": ["192.0.2.0/24"], "associatedTags": ["net=office"]}
        )
    await operator.post(
        "/v1/networkrulesetpolicies",
        {
            "name": name,
            "subject": [["role=edge"]],
            "incomingRules": [{"action": action, "object": [["net=office"]], "protocolPorts": ["tcp/22"]}],
        },
    )


async def publish_meeting(operator: Operator) -> None:
    """Both directions of port 80 among the hosts."""
    rule = {"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}
    await operator.post(
        "/v1/networkrulesetpolicies",
        {"name": "meet", "subject": [["role=edge"]], "incomingRules": [rule], "outgoingRules": [rule]},
    )


async def gone(operator: Operator) -> None:
    """Wait until the Console has no Enforcer any more."""
    for _ in range(1000):
        if not await operator.get("/v1/enforcers"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the Console still has the Enforcer")
