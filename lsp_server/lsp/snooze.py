"""Switches completions off for a while: all of them until a given time, or those in a document until it is closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.core.uris import normal_uri
from lsp_server.features.reasons import SNOOZED

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

SNOOZE, WAKE = "fimble.snooze", "fimble.wake"
_MOST_FILES = 1000
_MOST_MINUTES = 1440


class _Arguments(msgspec.Struct):
    """The argument of the command `fimble.snooze`. minutes: None: as in the settings. uri: only this document, until it
    is closed."""

    minutes: int | None = None
    uri: str = ""


class Snooze:
    """The snoozes of one client. clock: the wall clock, in seconds. changed: called after something was switched off or
    on."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self._changed = changed
        self._clock = clock
        self._until = 0.0
        self._files: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def why(self, uri: str = "") -> str:
        """Why nothing is offered automatically, in general or in this document; empty if suggestions are on."""
        if self._clock() < self._until:
            return f"{SNOOZED} until {time.strftime('%H:%M', time.localtime(self._until))}"
        if uri and normal_uri(uri) in self._files:
            return f"{SNOOZED} in this file until it is closed"
        return ""

    def sleep(self, minutes: int) -> str:
        """Switches everything off for this many minutes. Returns what is off, in words."""
        self._until = self._clock() + 60 * minutes
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(60 * minutes, self._changed)
        self._changed()
        return self.why()

    def sleep_in(self, uri: str) -> str:
        """Switches a document off until it is closed. Returns what is off, in words."""
        if len(self._files) < _MOST_FILES:
            self._files.add(normal_uri(uri))
        self._changed()
        return self.why(uri)

    def wake(self) -> str:
        """Switches everything on again."""
        self._until = 0.0
        self._files.clear()
        self._stop_timer()
        self._changed()
        return "completions are on"

    def closed(self, uri: str) -> None:
        self._files.discard(normal_uri(uri))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def register(session: Session, service: Snooze) -> None:
    """Registers the commands with pygls. Both return what is off or on, in words for the user."""

    @session.command(SNOOZE)
    def snooze(*arguments: Any) -> str:
        try:
            asked = msgspec.convert(arguments[0] if arguments else {}, _Arguments)
        except msgspec.ValidationError as error:
            raise JsonRpcInvalidParams(f"{SNOOZE}: {error}") from None
        if asked.uri:
            return service.sleep_in(asked.uri)
        minutes = session.settings.snooze_minutes if asked.minutes is None else asked.minutes
        if not 1 <= minutes <= _MOST_MINUTES:
            raise JsonRpcInvalidParams(f"{SNOOZE}: between 1 and {_MOST_MINUTES} minutes, not {minutes}")
        return service.sleep(minutes)

    @session.command(WAKE)
    def wake(*arguments: Any) -> str:
        return service.wake()
