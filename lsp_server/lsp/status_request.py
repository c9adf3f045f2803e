"""The answer to `fimble/status`: model, queue, cache, and the results of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lsp_server import __version__
from lsp_server.core.pieces import Piece
from lsp_server.engine.api import Engine
from lsp_server.status.request_log import RequestLog


def status(
    engine: Engine,
    log: RequestLog,
    context: Mapping[str, Iterable[Piece]],
    seen: Callable[[int], str],
    **more: Any,
) -> dict[str, Any]:
    """The answer to `fimble/status`, as JSON. Token counts are in the model's own tokens, times in ms. context: the
    pieces of other files in each document's prompts. seen: what is known of a suggestion by its id."""
    model = engine.model
    info: dict[str, Any] = {}
    if model.info is not None:
        info = asdict(model.info)
        info["format"] = model.info.format.name
        del info["chat_template"], info["state_key"]
    return {
        "version": __version__,
        **more,
        "context": {
            uri: [{"path": piece.path, "defines": sorted(piece.defines), "bytes": len(piece.text)} for piece in pieces]
            for uri, pieces in context.items()
        },
        "model": {
            "state": model.kind,
            "progress": model.progress,
            "message": model.message,
            "home": engine.home,
            **info,
        },
        "queue": {"running": engine.running},
        "totals": {"evaluatedTokens": engine.evaluated_tokens, "decodedTokens": engine.decoded_tokens},
        "cache": {
            "residentTokens": list(engine.cache.resident),
            "forks": engine.cache.forks,
            "evictions": engine.cache.evictions,
        },
        "requests": {**log.summary(), "lastTen": log.last_ten(seen), "lastActions": log.last_actions()},
    }
