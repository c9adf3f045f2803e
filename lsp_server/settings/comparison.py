"""A trial of two settings against each other, each on half of the days; stored in the state folder."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from lsp_server.system.kept_files import write_whole
from lsp_server.system.regular_file import open_regular

_MOST_BYTES = 256 << 10
ARMS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Trial:
    """began: the first day. names: the names of the two settings files."""

    id: str
    began: str
    names: tuple[str, str]
    values: tuple[dict[str, Any], dict[str, Any]]

    @property
    def arms(self) -> tuple[str, str]:
        """The names of the two settings in the counts."""
        return f"{self.id}A", f"{self.id}B"

    def turn(self, day: date) -> int:
        """The index of the settings for a day. Of each two days, each setting gets one, in an unpredictable order."""
        number = (day - date.fromisoformat(self.began)).days
        pair, second = divmod(number, 2)
        first = hashlib.blake2b(f"{self.id} {pair}".encode(), digest_size=1).digest()[0] & 1
        return first ^ second


def state_path() -> Path:
    return user_state_path("fimble") / "trial.json"


def current() -> Trial | None:
    """The running trial; None if there is none or its file is damaged."""
    try:
        with open_regular(state_path()) as file:
            found = json.loads(file.read(_MOST_BYTES))
        one, other = found["values"]
        names = [str(name) for name in found["names"]]
        date.fromisoformat(found["began"])
        if not (isinstance(one, dict) and isinstance(other, dict) and str(found["id"]).isalnum() and len(names) == 2):
            return None
        return Trial(str(found["id"])[:16], found["began"], (names[0], names[1]), (one, other))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def start(names: tuple[str, str], values: tuple[dict[str, Any], dict[str, Any]], today: date) -> Trial:
    """Starts a trial today. Raises OSError, or TypeError for values that cannot be stored."""
    trial = Trial(secrets.token_hex(4), today.isoformat(), names, values)
    state_path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(state_path(), json.dumps({"version": 1, **asdict(trial)}, indent=1).encode())
    return trial


def stop() -> None:
    """Ends the trial. Raises OSError."""
    state_path().unlink(missing_ok=True)
