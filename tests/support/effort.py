"""How much the random tests do: a little each time, and FIMBLE_TEST_EFFORT times as much when asked."""

from __future__ import annotations

import os

EFFORT = float(os.environ.get("FIMBLE_TEST_EFFORT", "1"))


def scaled(count: int) -> int:
    """How many steps, holes or files to try, where the fast tests try `count`."""
    return max(1, round(count * EFFORT))
