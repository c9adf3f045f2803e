"""One run on virtual time: a team, a client for each developer, and one simulated server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpx2

from bench.serving import virtual_time
from bench.serving.clients import Key, client_of, play
from bench.serving.developers import Developer, Tokens
from bench.serving.figures import Run, run_of
from bench.serving.inference import InferenceServer
from bench.serving.protocol import MODEL, Outage, SimulatedServer
from bench.serving.service_times import ServiceTimes
from lsp_server.engine.endpoint import Endpoint

ENDPOINT = Endpoint(url="http://simulated.localhost", kind="openai", model=MODEL)


@dataclass(frozen=True, slots=True)
class Came:
    """What an outage did. asked: requests during it. disregarded: requests from a client that the server had asked to
    leave it alone. before: completions in the busiest second before the outage; after: in the busiest of the ten
    seconds after it."""

    asked: int
    disregarded: int
    before: int
    after: int


def simulate(
    times: ServiceTimes,
    arm: str,
    team: Sequence[Developer],
    tokens: Tokens,
    warm_up: float,
    outage: Outage | None = None,
) -> tuple[Run, Came | None]:
    """The figures of a team from `warm_up` seconds on: before that, the prompts of all developers are evaluated for the
    first time."""
    return virtual_time.run(partial(_simulated, times, arm, team, tokens, warm_up, outage))


async def _simulated(
    times: ServiceTimes, arm: str, team: Sequence[Developer], tokens: Tokens, warm_up: float, outage: Outage | None
) -> tuple[Run, Came | None]:
    loop = asyncio.get_running_loop()
    inference = InferenceServer(times)
    server = SimulatedServer(inference, tokens.of_prompt)
    working = loop.create_task(server.run())
    keys: list[Key] = []
    try:
        async with anyio.create_task_group() as group:
            starts = [_Member(arm, developer, server, tokens) for developer in team]
            await asyncio.gather(*(member.client.start() for member in starts))
            began = loop.time()
            if outage is not None:
                outage.begin, outage.end = outage.begin + began, outage.end + began
                server.fail(outage)
            server.arrivals.clear()
            for member in starts:
                group.start_soon(member.work, warm_up, keys)
            await anyio.sleep(warm_up)
            inference.totals.clear()
        for member in starts:
            await member.client.stop()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    seconds = max(0.001, loop.time() - began - warm_up)
    counted = [key for key in keys if key.began >= began + warm_up]
    return run_of(times.name, arm, len(team), seconds, counted, inference.totals), _came(outage, server.arrivals)


class _Member:
    """A developer and his client."""

    def __init__(self, arm: str, developer: Developer, server: SimulatedServer, tokens: Tokens) -> None:
        self._developer = developer
        self._tokens = tokens
        self._typed = 0

        def make(endpoint: Endpoint, environ: Any) -> httpx2.AsyncClient:
            return server.client(developer.number, self._answers)

        self.client = client_of(arm, developer, ENDPOINT, make)

    async def work(self, warm_up: float, keys: list[Key]) -> None:
        # All begin within half of the time to warm up, and not in the same moment.
        await anyio.sleep(self._developer.begins_share * warm_up / 2)
        keys += await play(self._developer, self.client, self._at)

    def _at(self, index: int) -> None:
        self._typed = index

    def _answers(self, prompt: str) -> Sequence[tuple[int, str]]:
        return self._tokens.of_answer(self._developer.answer(self._typed, prompt))


def _came(outage: Outage | None, arrivals: Sequence[float]) -> Came | None:
    if outage is None:
        return None
    seconds = Counter(int(at) for at in arrivals)
    before = max((count for at, count in seconds.items() if at < int(outage.begin)), default=0)
    after = max((count for at, count in seconds.items() if outage.end <= at < outage.end + 10), default=0)
    return Came(outage.asked, outage.disregarded, before, after)
