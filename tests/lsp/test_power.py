"""On battery the server does what somebody waits for, and nothing ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psutil
import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.lsp import power
from tests.support.inprocess import served
from tests.support.stdio import StdioClient

ONE, OTHER = "file:///w/one.py", "file:///w/other.py"


@pytest.fixture
def battery(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The machine's battery; it is looked at at every chance."""
    found = SimpleNamespace(power_plugged=False, percent=50)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found, raising=False)
    monkeypatch.setattr(power, "LOOK_SECONDS", 0.0)
    return found


@pytest.fixture
def start_served(battery: SimpleNamespace) -> Iterator[Callable[..., StdioClient]]:
    clients: list[StdioClient] = []

    def start(**settings: bool) -> StdioClient:
        client, _ = served(ScriptedBackend, **settings)
        clients.append(client)
        client.initialize()
        return client

    yield start
    for client in clients:
        assert client.finish() == 0
        client.kill()


def is_saving(client: StdioClient) -> bool:
    saving: bool = client.status()["power"]["isSaving"]
    return saving


def evaluated(client: StdioClient) -> int:
    """How many tokens have been evaluated."""
    count: int = client.status()["totals"]["evaluatedTokens"]
    return count


def test_nothing_is_evaluated_ahead_on_battery(
    start_served: Callable[..., StdioClient], battery: SimpleNamespace
) -> None:
    client = start_served()
    client.wait(lambda: is_saving(client), "the look at the battery")
    client.open(ONE, "x = ")
    assert client.inline(ONE, 0, 4)
    client.open(OTHER, "first = 1\n" * 20)
    asked_for = client.status()["requests"]["last"]["evaluatedTokens"]
    assert evaluated(client) == asked_for, "the other document is not read ahead"
    battery.power_plugged = True
    client.change(ONE, 2, "y = ")
    client.wait(lambda: not is_saving(client), "the next look")
    before = evaluated(client)
    client.open("file:///w/third.py", "second = 2\n" * 20)
    client.wait(lambda: evaluated(client) > before, "what is read ahead")


def test_a_user_may_want_it_all_the_same(start_served: Callable[..., StdioClient]) -> None:
    client = start_served(save_battery=False)
    client.open(ONE, "first = 1\n" * 20)
    client.wait(lambda: evaluated(client) > 0, "what is read ahead")
    assert not is_saving(client)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SimpleNamespace(power_plugged=False), True),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=None), False),  # the system does not know
        (None, False),
    ],
)
def test_what_a_machine_says(monkeypatch: pytest.MonkeyPatch, found: object, expected: bool) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: found, raising=False)
    assert power.unplugged() is expected


def test_a_system_that_knows_no_batteries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert power.unplugged() is False
