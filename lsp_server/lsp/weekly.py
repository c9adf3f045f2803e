"""Shows the statistics of the last week, once a week, if the user has switched that on."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from lsprotocol import types

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

logger = logging.getLogger(__name__)


class Weekly:
    """The weekly message of one client. Of all servers of the user, the first that looks in a week shows it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._looked: date | None = None

    def check(self) -> None:
        """Starts a check for something to show, once a day, on a worker thread. May be called at any time."""
        today = date.today()
        if self._session.settings.stats_weekly and self._looked != today:
            self._looked = today
            self._session.start_task(self._show, today)

    async def _show(self, today: date) -> None:
        if text := await anyio.to_thread.run_sync(_claimed, today, abandon_on_cancel=True):
            self._session.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"fimble: {text}"))


def _claimed(today: date) -> str:
    """The text to show; empty if another server has shown it this week."""
    from lsp_server.stats import store
    from lsp_server.stats.weekly import last_week, week_of, weekly

    try:
        text = weekly(store.read(last_week(today)[0] - timedelta(days=7)), today)
        return text if text and store.claim(week_of(today)) else ""
    except store.StoreError as error:  # `fimble/status` reports it if it persists
        logger.info("the counts of the last week cannot be shown: %s", error)
        return ""
