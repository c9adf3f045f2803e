"""Reads places in files from the command line, and reports mistakes in one line."""

from __future__ import annotations

import os
from pathlib import Path

from lsp_server.core.document import DocumentSnapshot


class CommandError(Exception):
    """A mistake in the command line; the message is one line that names it."""


def without_dots(path: Path) -> Path:
    """The absolute path without `..`; otherwise a path outside the current folder could seem to be inside."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def read_document(path: Path) -> DocumentSnapshot:
    """The document at `path`, with the current folder as its workspace. Raises CommandError."""
    try:
        if path.exists() and not path.is_file():
            raise CommandError(f"{path} is not a file")
        source = path.read_bytes()
        source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CommandError(f"{str(path)!r} cannot be read: no file can be called so") from None
    root = Path.cwd()
    shown = without_dots(path)
    if not shown.is_relative_to(root):
        return DocumentSnapshot.of(shown.as_uri(), source, path=_as_text(path.name))
    name = _as_text(shown.relative_to(root).as_posix())
    return DocumentSnapshot.of(shown.as_uri(), source, path=name, folder=_as_text(root.name))


def _as_text(name: str) -> str:
    """A file's name as valid text, for prompts: it need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_place(path: Path, line: int, column: int) -> tuple[DocumentSnapshot, int]:
    """The document at `path` and the byte offset of a line and a column, both from 1. Raises CommandError."""
    document = read_document(path)
    if not 1 <= line <= document.line_count:
        raise CommandError(f"line {line} is outside {path}, which has {document.line_count} lines")
    text = document.line(line - 1).decode()
    if not 1 <= column <= len(text) + 1:
        raise CommandError(f"column {column} is outside line {line} of {path}, which has {len(text)} characters")
    return document, document.offset(line - 1, column - 1, "utf-32")
