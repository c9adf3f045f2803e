"""The settings of one client's server: requested from the client, read from files, and applied; mistakes are shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from lsprotocol import types

from lsp_server.features.actions.catalogue import catalogue
from lsp_server.lsp import client_settings
from lsp_server.settings import sources, trust

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

logger = logging.getLogger(__name__)

_TRUST, _DECLINE = "Trust this folder", "Do not trust it"
# A request waits this long for settings that were sent before it, in case their files are still being read.
_SETTLING_SECONDS = 0.2


class Configuration:
    """The settings in force and their sources. put_in_force: called with each new state."""

    def __init__(
        self,
        session: Session,
        overrides: Mapping[str, Any] | None,
        put_in_force: Callable[[sources.Loaded], None],
    ) -> None:
        self._session, self._put_in_force = session, put_in_force
        self._overrides = sources.Source("the command line", dict(overrides or {}))
        self.initialization_options: Mapping[str, Any] = {}
        self._client_settings: Mapping[str, Any] = {}
        self._asked_client = 0
        self._changes = 0
        self._settled = anyio.Event()
        self._settled.set()
        self._asked_about: set[Path] = set()
        # The mistakes in the settings in force, a line each.
        self.problems: list[str] = []
        # The name under which the statistics count the settings that are tried today; empty if none are.
        self.arm = ""

    async def collect(self, pushed: Any, seconds: float) -> None:
        """Collects the settings again and applies them.

        pushed: the content of didChangeConfiguration, for clients that cannot be asked. seconds: how long to wait for
        the answer of a client that can.
        """
        self._asked_client += 1
        turn = self._asked_client
        if not self._session.client.configuration:
            self._apply(client_settings.pushed(pushed))
            return
        params = types.ConfigurationParams([types.ConfigurationItem(section="fimble")])
        asked = asyncio.ensure_future(self._session.workspace_configuration_async(params))

        def answered(_: object) -> None:
            if turn == self._asked_client:  # else they have changed again, and a newer answer counts
                self._apply(client_settings.answered(asked))

        await asyncio.wait({asked}, timeout=seconds)
        if asked.done():
            answered(asked)
        else:  # applied when it comes; until then the known settings are used
            if turn == self._asked_client:
                self._apply(None)
            asked.add_done_callback(answered)

    def collect_again(self) -> None:
        """Reads the settings files again, because the day has changed."""
        self._apply(None)

    async def settled(self) -> None:
        """Waits until the settings that have been sent are in force, for `_SETTLING_SECONDS` at most."""
        if self._settled.is_set():
            return
        with anyio.move_on_after(_SETTLING_SECONDS):
            await self._settled.wait()

    def _apply(self, sent: Mapping[str, Any] | None) -> None:
        """Starts to apply settings. None: those of the client have not changed."""
        if sent is not None:
            self._client_settings = sent
        self._changes += 1
        if self._settled.is_set():
            self._settled = anyio.Event()
        self._session.start_task(self._read_and_apply, self._changes)

    async def _read_and_apply(self, change: int) -> None:
        given = [
            sources.Source("initializationOptions", client_settings.section(self.initialization_options)),
            sources.Source("the editor's settings", self._client_settings),
            self._overrides,
        ]
        found, arm = await client_settings.read(self._session.roots, given)
        if change != self._changes:  # newer ones are being read; reads may end out of order
            return
        problems = [*found.problems, *catalogue(found.settings.actions)[1]]
        self.problems = [*problems, *(refusal.message for refusal in found.refusals)]
        self.arm = arm
        self._put_in_force(found)
        for refusal in found.refusals:
            if refusal.declined:
                logger.warning("%s", refusal.message)
            elif not self._session.client.asks:
                problems.append(refusal.message)
            elif refusal.folder not in self._asked_about:
                self._asked_about.add(refusal.folder)
                self._session.start_task(self._ask, refusal)
        if problems:
            self._session.show_once(types.MessageType.Warning, client_settings.message_for(problems))
        self._settled.set()

    async def _ask(self, refusal: sources.Refusal) -> None:
        """Asks the user whether a folder may name model files, and remembers the answer."""
        names = " and ".join(f"`{name}`" for name in refusal.names)
        message = (
            f"fimble: {refusal.folder / sources.FILE_NAME} names files of its own for {names}. A model can be made to "
            "write harmful code. Trust this folder only if you know who has written it."
        )
        params = types.ShowMessageRequestParams(
            types.MessageType.Warning, message, [types.MessageActionItem(_TRUST), types.MessageActionItem(_DECLINE)]
        )
        answer = await self._session.window_show_message_request_async(params)
        if answer is None or answer.title not in (_TRUST, _DECLINE):
            return  # closed without an answer; the next start asks again
        trusted = answer.title == _TRUST
        try:
            await anyio.to_thread.run_sync(partial(trust.remember, refusal.folder, trusted), abandon_on_cancel=True)
        except OSError as error:
            message = f"{trust.state_path()} cannot be written: {error.strerror}"
            self._session.show_once(types.MessageType.Error, message)
            return
        if trusted:
            self._apply(None)
