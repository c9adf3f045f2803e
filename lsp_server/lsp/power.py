"""Finds out whether the machine runs on battery, so that work that nobody waits for is left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

logger = logging.getLogger(__name__)

# The pause between two checks, and the limit for one: some systems take long to answer.
LOOK_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0


class Power:
    """Checks from time to time on a worker thread, while there is work. on_battery: the result of the last check."""

    def __init__(
        self, session: Session, look: Callable[[], bool] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.on_battery = False
        self._session = session
        self._look = look or unplugged
        self._clock = clock
        self._looked = float("-inf")

    @property
    def is_saving(self) -> bool:
        """Whether to leave out work that is only done ahead of requests."""
        return self.on_battery and self._session.settings.save_battery

    def refresh(self) -> None:
        """Checks again if the last check is `LOOK_SECONDS` old. May be called at every key."""
        if self._session.settings.save_battery and self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self._session.start_task(self._refresh)

    async def _refresh(self) -> None:
        with anyio.move_on_after(_PATIENCE_SECONDS):
            self.on_battery = await anyio.to_thread.run_sync(self._look, abandon_on_cancel=True)


def unplugged() -> bool:
    """Whether the machine runs on its battery. False if the system cannot tell."""
    import psutil

    try:
        battery = psutil.sensors_battery()  # missing in psutil on systems without battery support
    except (AttributeError, OSError, RuntimeError, ValueError):
        return False
    return battery is not None and battery.power_plugged is False
