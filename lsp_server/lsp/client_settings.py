"""Settings as clients send them: in options, pushed when they change, or as the answer to a question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from lsp_server import config

logger = logging.getLogger(__name__)


def section(values: Any) -> Mapping[str, Any]:
    """Settings as clients send them: the section's own content, or an object that holds it as `fimble`."""
    if not isinstance(values, dict):
        return {}
    inner = values.get("fimble", values)
    return inner if isinstance(inner, dict) else {}


def pushed(values: Any) -> Mapping[str, Any] | None:
    """Settings that a client has pushed, which may be those of other servers only."""
    if not isinstance(values, dict) or not ("fimble" in values or any(map(config.is_setting, values))):
        return None
    return section(values)


def answered(asked: asyncio.Future[Any]) -> Mapping[str, Any] | None:
    """Settings that a client has answered with; null means that it has none. None if it could not tell."""
    if asked.cancelled() or asked.exception() is not None:
        logger.warning("the client did not tell its settings: %s", "" if asked.cancelled() else asked.exception())
        return None
    answer = asked.result()
    return section(answer[0]) if answer else {}
