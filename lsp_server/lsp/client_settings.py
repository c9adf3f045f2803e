"""Settings from clients: in the initialization options, pushed when they change, or as the answer to a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from lsp_server.settings import comparison, sources

logger = logging.getLogger(__name__)

# How many mistakes one message lists, and how many characters of each.
_MOST_TOLD, _LONGEST = 4, 160
# The limit for reading settings files. A network disk that does not answer must not delay the settings that the client
# sends.
_READ_SECONDS = 5.0
_reading = anyio.CapacityLimiter(4)


async def read(roots: Sequence[Path], given: Sequence[sources.Source]) -> tuple[sources.Loaded, str]:
    """Reads the settings in force on a worker thread; leaves out the files if they cannot be read in time. Also returns
    the name under which the statistics count the settings that are tried today, empty if none are; these outrank all of
    `given` except the last."""
    with anyio.move_on_after(_READ_SECONDS):
        return await anyio.to_thread.run_sync(_read, list(roots), list(given), abandon_on_cancel=True, limiter=_reading)
    found = sources.collect_sent(given)
    found.problems.append(f"the files of settings did not answer within {_READ_SECONDS:g} s, so they do not count")
    return found, ""


def _read(roots: list[Path], given: list[sources.Source]) -> tuple[sources.Loaded, str]:
    tried = comparison.current()
    if tried is None:
        return sources.collect(roots, given), ""
    turn = tried.turn(date.today())
    tries = sources.Source(f"{tried.names[turn]} of `fimble compare`", tried.values[turn])
    return sources.collect(roots, [*given[:-1], tries, *given[-1:]]), tried.arms[turn]


def message_for(problems: Sequence[str]) -> str:
    """All mistakes in the settings as one message."""
    if len(problems) == 1:
        return problems[0]
    some = [each if len(each) <= _LONGEST else each[: _LONGEST - 1] + "…" for each in problems[:_MOST_TOLD]]
    listed = " ".join(f"({number}) {each}." for number, each in enumerate(some, 1))
    more = len(problems) - len(some)
    return f"{len(problems)} mistakes in the settings: {listed}" + (
        f" And {more} more: see `fimble doctor`." if more else ""
    )


def section(values: Any) -> Mapping[str, Any]:
    """The settings in a client's message: the content of the section, or of the object's key `fimble`."""
    if not isinstance(values, dict):
        return {}
    inner = values.get("fimble", values)
    return inner if isinstance(inner, dict) else {}


def pushed(values: Any) -> Mapping[str, Any] | None:
    """The settings that a client has pushed; None if they are only for other servers."""
    if not isinstance(values, dict) or not ("fimble" in values or any(map(sources.is_setting, values))):
        return None
    return section(values)


def answered(asked: asyncio.Future[Any]) -> Mapping[str, Any] | None:
    """The settings that a client has answered with; empty for null. None if the client could not answer."""
    if asked.cancelled() or asked.exception() is not None:
        logger.warning("the client did not tell its settings: %s", "" if asked.cancelled() else asked.exception())
        return None
    answer = asked.result()
    return section(answer[0]) if answer else {}
