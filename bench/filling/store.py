"""The results of a run, one line of JSON per hole, written at once, so that an interrupted run can continue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Store:
    """The first line describes the run; a run with other options must not continue the file. Without a path, results
    are kept only in memory."""

    def __init__(self, path: Path | None, run: dict[str, Any], *, fresh: bool = False) -> None:
        """Raises ValueError if the file belongs to a run with other options."""
        self.records: dict[tuple[str, str], dict[str, Any]] = {}
        self.run = run
        self._path = path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [] if fresh or not path.exists() else _whole_lines(path)
        if lines:
            changed = sorted(key for key in {*lines[0], *run} if lines[0].get(key) != run.get(key))
            if changed:
                raise ValueError(
                    f"{path} holds a run with another {', '.join(changed)}; name another --out, or start it over "
                    "with --fresh"
                )
            self.records = {(line["set"], line["id"]): line for line in lines[1:]}
        else:
            path.write_text(json.dumps(run) + "\n", "utf-8")

    @classmethod
    def held(cls, path: Path | None) -> Store:
        """The results at `path`, whatever the options of their run. Raises ValueError if there are none."""
        lines = _whole_lines(path) if path is not None and path.exists() else []
        if path is None or not lines:
            raise ValueError(f"there are no results at {path}" if path else "name the --out FILE of the earlier run")
        return cls(path, lines[0])

    def add(self, record: dict[str, Any]) -> None:
        """Stores the results of one hole, which have a `set` and an `id`."""
        self.records[record["set"], record["id"]] = record
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The file's lines. An incomplete last line is also removed from the file. Raises ValueError."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise ValueError(f"{path} does not hold a run: {error}") from None
    if lines and not all(isinstance(line, dict) for line in lines):
        raise ValueError(f"{path} does not hold a run")
    return lines
