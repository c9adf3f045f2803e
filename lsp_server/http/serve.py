"""`fimble serve --http`: a process that serves editors over HTTP until a signal stops it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from lsp_server.engine.api import Endpoint, ModelState, Role, RoutedEngine
from lsp_server.http.completions import REST_SECONDS, Completions
from lsp_server.http.guard import Address, AddressError, Guard
from lsp_server.http.metrics import Metrics, MetricsError
from lsp_server.http.server import HttpServer
from lsp_server.http.token import TokenError, kept_token, read_token, token_path
from lsp_server.settings import consent, sources
from lsp_server.settings.fields import Settings
from lsp_server.status.listener import StatusListener
from lsp_server.status.request_log import fimble_status

_USAGE_ERROR = 2


def serve_http(
    engine: RoutedEngine,
    overrides: Mapping[str, Any],
    address: str,
    token_file: Path | None,
    *,
    tells_metrics: bool = False,
) -> int:
    """Serves at an address of this machine until a signal comes. tells_metrics: whether to answer `/metrics`. Returns
    the exit status: 2, with one line on stderr, if the address, the token or the metrics are wrong."""
    try:
        where = Address.of(address)
        token, is_new = (read_token(token_file), False) if token_file is not None else kept_token()
        metrics = Metrics(engine) if tells_metrics else None
    except (AddressError, TokenError, MetricsError) as error:
        _say(str(error))
        return _USAGE_ERROR
    # Without a workspace folder: clients do not say in which one they work.
    settings, problems = sources.load([], [sources.Source("the command line", dict(overrides))])
    for problem in problems:
        _say(problem)
    known = f"the token is {token}\nfimble: it" if is_new else "the token"
    kept = f"{known} is in {token_file or token_path()}"
    return anyio.run(partial(_serve, engine, settings, where, token, kept, metrics))


async def _serve(
    engine: RoutedEngine, settings: Settings, where: Address, token: str, kept: str, metrics: Metrics | None
) -> int:
    try:
        listener = await anyio.create_tcp_listener(local_host=where.host, local_port=where.port)
    except OSError as error:
        _say(f"cannot listen at {where.url}: {error.strerror or error}")
        return _USAGE_ERROR
    async with listener:
        place = Address(where.host, listener.extra(anyio.abc.SocketAttribute.local_port))
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:
                guard = Guard(place.names(), token)
                tasks.start_soon(partial(serve_at, listener, engine, settings, guard, metrics=metrics))
                _say(f"{place.url}/infill and {place.url}/v1/completions; {kept}")
                async for _ in signals:
                    break
                tasks.cancel_scope.cancel()
    return 0


async def serve_at(
    listener: anyio.abc.Listener[anyio.abc.ByteStream],
    engine: RoutedEngine,
    settings: Settings,
    guard: Guard,
    rest_seconds: float = REST_SECONDS,
    metrics: Metrics | None = None,
) -> None:
    """Serves at a listener, with the model in the settings, until it is cancelled."""
    engine.on_model = _model_changed
    engine.start()
    try:
        engine.move_to(settings.engine)
        engine.route(await anyio.to_thread.run_sync(_endpoints, settings), settings.places())
        engine.keep({"completion": 60.0 * settings.unload_minutes}, settings.saved_prompts_mb << 20)
        engine.load(settings.model_spec())
        async with anyio.create_task_group() as tasks:
            completions = Completions(
                engine,
                settings.inline_options,
                tasks.start_soon,
                rest_seconds,
                metrics.answered if metrics is not None else lambda outcome, waited_ms: None,
            )
            status = StatusListener(tasks.start_soon, partial(_status, engine, completions, settings, time.monotonic()))
            status.switch(settings.status_socket)
            try:
                await listener.serve(HttpServer(completions, guard, metrics).serve, tasks)
            finally:
                completions.close()
                with anyio.CancelScope(shield=True):
                    await status.close()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.stop()


def _endpoints(settings: Settings) -> dict[str, Endpoint]:
    """The endpoints that may be asked. Which folder a request is about is not known here, so those on other machines
    must be allowed for files without a folder. Says which are not."""
    found = settings.endpoints_in_use(elsewhere=not settings.endpoints_denied)
    known = consent.decisions()
    barred = [
        name
        for name, endpoint in found.items()
        if not endpoint.is_here and not consent.may_without_folder(name, endpoint.url, known)
    ]
    used = {name for names in settings.places().values() for name in names}
    for name in barred:
        if name in used:
            _say(
                f"`{name}` is sent nothing: which folder a request is from is not known here; `fimble endpoints allow "
                f"{name} --no-folder` allows it where you have forbidden it for no folder, at the next start"
            )
    return {name: endpoint for name, endpoint in found.items() if name not in barred}


def _status(engine: RoutedEngine, completions: Completions, settings: Settings, began: float) -> dict[str, Any]:
    """The data for `fimble status`."""
    return fimble_status(
        engine,
        completions.log,
        lambda _: "",
        settings.files(),
        client="over HTTP",
        runsSeconds=round(time.monotonic() - began),
        state="idle",
        off="",
        stats="off",
    )


def _model_changed(role: Role, model: ModelState) -> None:
    if role != "completion":
        return
    if model.kind == "failed" and model.news:
        _say(model.message)
    elif model.info is not None:
        _say(f"{model.info.name} is ready" + (f"; {model.message}" if model.message else ""))


def _say(message: str) -> None:
    print(f"fimble: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the command line's own output
