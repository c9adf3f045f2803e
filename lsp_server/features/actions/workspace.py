"""Searches the workspace's other files: which names exist there, and the headers of called functions.

It reads a limited number of bytes, only of source files, and follows no links.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import definitions
from lsp_server.core.secrets import holds_secret, speaks_of_secrets
from lsp_server.features.actions.prompts import header
from lsp_server.features.untrusted_files import read_bytes, read_text

# The limit of directory entries of all kinds, including folders.
_MOST_ENTRIES = 10_000
_MOST_BYTES = 16 << 20
_MOST_FILE_BYTES = 400_000
_WORD = re.compile(r"\w+")
_SKIPPED = frozenset(
    {"node_modules", "target", "build", "dist", "out", "vendor", "venv", "env", "__pycache__", "site-packages"}
)


def source_files(root: Path, language: Language) -> Iterator[Path]:
    """The files of `language` under `root`, the nearest to it first, within the limits."""
    folders, seen, room = deque([root]), 0, _MOST_BYTES
    while folders and seen < _MOST_ENTRIES:
        try:
            with os.scandir(folders.popleft()) as listed:
                entries = sorted(islice(listed, _MOST_ENTRIES - seen), key=lambda entry: entry.name)
        except OSError:
            continue
        seen += len(entries)
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED and not entry.name.startswith("."):
                        folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and find_language("", entry.name) is language:
                    size = entry.stat(follow_symlinks=False).st_size
                    if size <= _MOST_FILE_BYTES:
                        room -= size
                        if room < 0:
                            return
                        yield Path(entry.path)
            except OSError:
                continue


def names_found(names: Iterable[str], root: Path, language: Language) -> set[str]:
    """Those of `names` that occur as words in the workspace's files of that language."""
    missing = set(names)
    found: set[str] = set()
    for path in source_files(root, language):
        if not missing:
            break
        here = missing.intersection(_WORD.findall(read_text(path, _MOST_FILE_BYTES)))
        found |= here
        missing -= here
    return found


def signatures_of(names: Sequence[str], root: Path, language: Language, but: Path | None = None) -> list[str]:
    """The headers of the functions with these names in the workspace's files, with the first line of their docs."""
    missing = [name for name in names if len(name) > 2]
    found: dict[str, str] = {}
    if not missing:
        return []
    for path in source_files(root, language):
        if len(found) == len(missing):
            break
        if path == but or speaks_of_secrets(path.name):
            continue
        source = read_bytes(path, _MOST_FILE_BYTES) or b""
        wanted = [name for name in missing if name not in found and name.encode() in source]
        if not any(
            re.search(rb"(?:def|func|function|fn|class|const|\w)\s+%b\b" % re.escape(n.encode()), source)
            for n in wanted
        ):
            continue
        document = DocumentSnapshot.of(path.as_uri(), source, path=path.name, language_id=language.ids[0])
        for one in definitions(language, source):
            if one.name in wanted and one.name not in found:
                found[one.name] = header(document, one, with_doc=True)
    return [text for text in found.values() if not holds_secret(text.encode())]
