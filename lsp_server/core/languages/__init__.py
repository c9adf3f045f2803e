"""Finds the language of a document. Documents in unknown languages are handled by indentation alone."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import lru_cache
from pathlib import PurePosixPath

from lsp_server.core.languages.entry import Language
from lsp_server.core.languages.plain import PLAIN_LANGUAGES
from lsp_server.core.languages.with_grammar import LANGUAGES

__all__ = ["LANGUAGES", "PLAIN_LANGUAGES", "UNKNOWN", "Language", "find_language"]

# For an unknown language: the ends of lines that open a block in most languages, and the words that close one in many.
_OPENERS = r":|[{(\[]|=>|->|\b(?:do|then|begin)"
_CLOSERS = (
    "end",
    "done",
    "fi",
    "esac",
    "else",
    "elif",
    "elsif",
    "elseif",
    "endif",
    "endfor",
    "endwhile",
    "endfunction",
)
UNKNOWN = Language("plain text", (), (), openers=_OPENERS, closers=_CLOSERS, prose=True)


@lru_cache(maxsize=1024)
def find_language(language_id: str, path: str = "") -> Language:
    """The language of a document: by the client's identifier, else by its file name, else `UNKNOWN`."""
    entries = (*LANGUAGES, *PLAIN_LANGUAGES)
    for entry in entries:
        if language_id in entry.ids:
            return entry
    name = PurePosixPath(path).name
    for entry in entries:
        if any(fnmatch(name, pattern) for pattern in entry.files):
            return entry
    return UNKNOWN
