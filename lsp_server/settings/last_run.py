"""The counts and errors of the last server, in the user's state folder, for `fimble report`.

The file contains no code and no paths. Of log messages only the text in fimble's own source and the logger's name are
stored. Messages that users see are stored without paths and quoted texts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from lsp_server import __version__
from lsp_server.system.kept_files import read_json, write_whole

_MOST_ERRORS = 20
_MOST_CHARACTERS = 400
_MOST_READ = 4000
_MOST_FRAMES = 6
_MOST_BYTES = 1 << 18
_PACKAGE = Path(__file__).resolve().parents[1]
# Marks a log record whose text is a message to the user. Other records may contain anything.
SHOWN = {"shown": True}

_URI = r"\b[a-z][a-z0-9+.-]+:/+[^\s'\"`,;)]*"
_ABSOLUTE = r"(?<![\w.~])(?:~[\w.-]*|\.{1,2}|[A-Za-z]:)?[\\/][^\s'\"`,;)]+"
_RELATIVE = r"(?<![\w/])[\w.-]+(?:[\\/][\w.-]+)*[\\/][\w-]*\.[A-Za-z]\w{0,7}\b"
_PATHS = re.compile(f"{_URI}|{_ABSOLUTE}|{_RELATIVE}")
# Not an apostrophe inside a word.
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'|\"[^\"\n]*\"")


def without_paths(text: str, known: Iterable[str] = ()) -> str:
    """The text with `…` in place of paths and quoted texts. known: paths that it may contain, which may have spaces, so
    that no pattern can find their end."""
    text = text[:_MOST_READ]
    spelt = {way for path in (*known, "~") for way in (path, os.path.expanduser(path))}  # noqa: PTH111 - never fails
    for path in sorted((each for each in spelt if len(each) > 1), key=len, reverse=True):
        text = re.sub(re.escape(path) + r"[^\s'\"`,;)]*", "…", text)
    return _PATHS.sub("…", _QUOTED.sub("…", text))


class LastRun(logging.Handler):
    """Collects warnings and errors, from any thread, under the handler's lock. known: returns the paths that messages
    may contain; called on the thread that logs."""

    def __init__(self, known: Callable[[], Iterable[str]]) -> None:
        super().__init__(logging.WARNING)
        self._known = known
        self._started = time.time()
        self._errors: dict[tuple[str, str], dict[str, Any]] = {}
        self._writing = threading.Lock()  # held while a file is written; `_ended` is under it
        self._ended = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            entry = {"level": record.levelname.lower(), "from": record.name, "text": self._text(record)}
            key = (record.name, entry["text"])
            if key in self._errors:
                self._errors[key]["times"] += 1
            elif len(self._errors) < _MOST_ERRORS:
                self._errors[key] = {**entry, "times": 1, **_cause(record)}
        except Exception:  # a lost record does no harm
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        if getattr(record, "shown", False):
            return without_paths(record.getMessage(), self._known())[:_MOST_CHARACTERS]
        return str(record.msg)[:_MOST_CHARACTERS]  # the format string without its arguments

    def write(self, counted: Mapping[str, Any], *, ended: bool = False) -> None:
        """Writes what is known now. ended: the server ends normally, and nothing is written afterwards. Ignores write
        errors. Threads that log meanwhile do not wait for the disk."""
        with self._writing:
            if self._ended:
                return
            self._ended = ended
            self.acquire()
            errors = [dict(error) for error in self._errors.values()]
            self.release()
            values = {
                "version": __version__,
                "pid": os.getpid(),
                "started": round(self._started),
                "ended": ended,
                "counted": dict(counted),
                "errors": errors,
            }
            with contextlib.suppress(OSError):
                path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(path(), json.dumps(values, indent=1).encode())


def path() -> Path:
    return user_state_path("fimble") / "last-run.json"


def read() -> dict[str, Any] | None:
    """The content of the file; None if it is missing or damaged."""
    try:
        found = read_json(path(), _MOST_BYTES)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _cause(record: logging.LogRecord) -> dict[str, Any]:
    """The type of the exception and its place in fimble. Without its message, which may contain the user's code."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        error = next((each for each in _arguments(record) if isinstance(each, BaseException)), None)
    if error is None:
        return {}
    frames = []
    for frame in traceback.extract_tb(error.__traceback__):
        place = Path(frame.filename)
        if place.is_relative_to(_PACKAGE):
            frames.append(f"{place.relative_to(_PACKAGE).as_posix()}:{frame.lineno} in {frame.name}")
    return {"raised": type(error).__name__, "at": frames[-_MOST_FRAMES:]}


def _arguments(record: logging.LogRecord) -> tuple[object, ...]:
    return record.args if isinstance(record.args, tuple) else ()
