"""Finds the indentation for a file that shows none: from `.editorconfig`, else from open files of its language."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.indentation import TAB_COLUMNS, IndentStyle, style_around
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.features.untrusted_files import file_of, read_text

logger = logging.getLogger(__name__)

_NAME = ".editorconfig"
# Larger files, or files with such lines, are not read: anybody may have written them, and the parser's patterns take
# very long for some texts.
_MOST_BYTES, _MOST_LINE, _MOST_STARS = 32 << 10, 500, 8


class Indentations:
    """Finds the usual indentation of a project. buffers: the open and recently closed documents, the latest first.
    Reads files, so it must not run on the event loop."""

    def __init__(self, buffers: Callable[[], Sequence[DocumentSnapshot]]) -> None:
        self._buffers = buffers

    def of(self, document: DocumentSnapshot) -> IndentStyle | None:
        """The indentation of a new line in a document without indented lines; None if unknown."""
        return _configured(document) or self._of_others(document)

    def _of_others(self, document: DocumentSnapshot) -> IndentStyle | None:
        language = find_language(document.language_id, document.path)
        for other in self._buffers() if language is not UNKNOWN else ():
            if other.uri != document.uri and find_language(other.language_id, other.path) is language:
                style = style_around(other, other.line_count // 2, language)
                if style is not None:
                    return style
        return None


def _configured(document: DocumentSnapshot) -> IndentStyle | None:
    """The settings of the `.editorconfig` files above a document; those nearer to it override the others."""
    path = file_of(document.uri)
    if path is None:
        return None
    options: dict[str, str] = {}
    for folder in path.parents:
        found, is_root = _options(folder / _NAME, path)
        options = {**found, **options}
        if is_root:
            break
    return _style(options)


def _style(options: dict[str, str]) -> IndentStyle | None:
    kind, size = options.get("indent_style", "").lower(), options.get("indent_size", "").lower()
    if kind == "tab" or (size == "tab" and kind != "space"):
        return IndentStyle(TAB_COLUMNS, tabs=True)
    size = size if size.isdecimal() else options.get("tab_width", "")
    if size.isdecimal() and len(size) < 3 and 0 < int(size) <= 16:
        return IndentStyle(int(size), tabs=False)
    return IndentStyle(TAB_COLUMNS, tabs=False) if kind == "space" else None


def _options(config: Path, path: Path) -> tuple[dict[str, str], bool]:
    """The settings for `path` in one file, and whether files further up must not be read."""
    text = read_text(config, _MOST_BYTES + 1)
    if not text or len(text.encode()) > _MOST_BYTES or not all(map(_is_harmless, text.splitlines())):
        return {}, False
    from editorconfig.exceptions import EditorConfigError
    from editorconfig.ini import EditorConfigParser

    parser = EditorConfigParser(str(path))
    try:
        parser.read(str(config))
    except (EditorConfigError, OSError, ValueError, OverflowError, RecursionError) as error:
        logger.debug("%s cannot be read: %s", config, error)
    return dict(parser.options), parser.root_file


def _is_harmless(line: str) -> bool:
    return len(line) <= _MOST_LINE and not (line.lstrip().startswith("[") and line.count("*") > _MOST_STARS)
