"""Settings as clients send them: in options, pushed when they change, or as the answer to a question."""

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

# How many mistakes one message names, and how much it says of each.
_MOST_TOLD, _LONGEST = 4, 160
# Settings lie on a disk; one that does not answer, a network's, must not hold up those that the client sends.
_READ_SECONDS = 5.0
_reading = anyio.CapacityLimiter(4)


async def read(roots: Sequence[Path], given: Sequence[sources.Source]) -> tuple[sources.Loaded, str]:
    """The settings in force, read on a worker thread; without the files if they do not come in time. And what the
    counts call those that are being tried today, if any are: they outrank all but the last of `given`."""
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


def told(problems: Sequence[str]) -> str:
    """What is wrong with the settings, all of it, in one message."""
    if len(problems) == 1:
        return problems[0]
    some = [each if len(each) <= _LONGEST else each[: _LONGEST - 1] + "…" for each in problems[:_MOST_TOLD]]
    listed = " ".join(f"({number}) {each}." for number, each in enumerate(some, 1))
    more = len(problems) - len(some)
    return f"{len(problems)} mistakes in the settings: {listed}" + (
        f" And {more} more: see `fimble doctor`." if more else ""
    )


def section(values: Any) -> Mapping[str, Any]:
    """Settings as clients send them: the section's own content, or an object that holds it as `fimble`."""
    if not isinstance(values, dict):
        return {}
    inner = values.get("fimble", values)
    return inner if isinstance(inner, dict) else {}


def pushed(values: Any) -> Mapping[str, Any] | None:
    """Settings that a client has pushed, which may be those of other servers only."""
    if not isinstance(values, dict) or not ("fimble" in values or any(map(sources.is_setting, values))):
        return None
    return section(values)


def answered(asked: asyncio.Future[Any]) -> Mapping[str, Any] | None:
    """Settings that a client has answered with; null means that it has none. None if it could not tell."""
    if asked.cancelled() or asked.exception() is not None:
        logger.warning("the client did not tell its settings: %s", "" if asked.cancelled() else asked.exception())
        return None
    answer = asked.result()
    return section(answer[0]) if answer else {}
