"""The bench's editor: its server ends with it, whatever ends the editor."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from bench.sessions import editor as module
from bench.sessions.editor import Editor, ServerError, editor


@pytest.mark.parametrize("stopped", [False, True])
async def test_the_server_ends_with_the_editor(stopped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to, where the bench has failed; by force, where it does not listen and the bench is cancelled."""
    monkeypatch.setattr(module, "_END_SECONDS", 0.2 if stopped else 30.0)
    process = None
    with anyio.fail_after(60):
        try:
            with anyio.CancelScope() as scope:
                async with editor(["--backend", "scripted"]) as client:
                    process = client.client._server
                    if stopped:
                        os.kill(client.server_pid, signal.SIGSTOP)
                        scope.cancel()
                        await anyio.sleep(0)
                    raise ValueError("of the bench")
        except ValueError as error:
            assert str(error) == "of the bench"
    assert scope.cancelled_caught == stopped
    assert process is not None
    assert process.returncode == (-signal.SIGKILL if stopped else 0)


async def test_a_server_that_ends_together_with_the_bench_is_no_error() -> None:
    """Ctrl-C on a terminal is for both; what ends the bench is what it tells."""
    with anyio.fail_after(60), pytest.raises(ValueError, match="of the bench"):
        async with editor(["--backend", "scripted"]) as client:
            await client.ready()
            await _kill(client)
            raise ValueError("of the bench")


async def test_a_server_that_dies_during_a_request_is_told() -> None:
    with anyio.fail_after(60):
        async with editor(["--backend", "scripted"]) as client:
            await client.ready()
            client.open("file:///w/a.py", "python", "x = ", 4)
            os.kill(client.server_pid, signal.SIGSTOP)
            async with anyio.create_task_group() as group:
                group.start_soon(_kill, client)
                with pytest.raises(ServerError, match="does not answer"):
                    await client.suggestion()
            with pytest.raises(ServerError, match="does not answer"):
                await client.status()


async def _kill(client: Editor) -> None:
    os.kill(client.server_pid, signal.SIGKILL)
