"""Whether the machine runs on its battery, and so does only the work that somebody waits for."""

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

# A cable is pulled out now and then. Some systems take long to answer.
LOOK_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0


class Power:
    """Looks from time to time, beside the loop, while there is something to do. on_battery: as of the last look."""

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
        """Whether to leave out what is only done ahead."""
        return self.on_battery and self._session.settings.save_battery

    def refresh(self) -> None:
        """Looks again if the last look was a while ago. Callable at every key."""
        if self._session.settings.save_battery and self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self._session.start_task(self._refresh)

    async def _refresh(self) -> None:
        with anyio.move_on_after(_PATIENCE_SECONDS):
            self.on_battery = await anyio.to_thread.run_sync(self._look, abandon_on_cancel=True)


def unplugged() -> bool:
    """Whether there is a battery in use. A machine that cannot tell has none."""
    import psutil

    try:
        battery = psutil.sensors_battery()  # psutil has no such function where the system knows no batteries
    except (AttributeError, OSError, RuntimeError, ValueError):
        return False
    return battery is not None and battery.power_plugged is False
