"""Finds the imports that a suggestion certainly lacks: modules of Python's standard library, used before a dot."""

from __future__ import annotations

import re

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.next_edits.computed.imports import import_edit, module_import
from lsp_server.core.next_edits.node_kinds import MODULES

_USED = re.compile(r"(?<![\w.)\]}])([^\W\d]\w*)\.([^\W\d]\w*)")
# Submodules that must be imported in addition to their package.
_SUBMODULES = frozenset({"abc", "client", "config", "cookies", "error", "handlers", "machinery", "metadata", "mock"})
_SUBMODULES |= {"parse", "pool", "request", "resources", "robotparser", "server", "shared_memory", "util"}
# Larger files are not searched.
_MOST_BYTES = 64_000
# The head of a file: comments, blank lines and a docstring.
_HEAD = re.compile(
    rb"(?:[ \t]*(?:#[^\r\n]*)?\r?\n)*(?:[rRuU]?(\"\"\"|''')(?:(?!\1)[^\\]|\\.)*\1[ \t]*\r?\n)?", re.DOTALL
)

ImportEdit = tuple[int, int, bytes]


def missing_imports(document: DocumentSnapshot, text: str) -> tuple[ImportEdit, ...]:
    """The edits that add the imports that `text` needs and `document` lacks, as (start, end, new text). `text` is about
    to be inserted into the document."""
    found = dict.fromkeys(match[1] for match in _USED.finditer(text) if is_importable(document, match[1], text))
    return tuple(filter(None, (_edit(document, name) for name in found)))


def is_importable(document: DocumentSnapshot, name: str, text: str) -> bool:
    """Whether `name`, which `text` uses and the document does not define, is certainly a module of Python's standard
    library."""
    word = name.encode()
    if word not in MODULES or len(document.source) > _MOST_BYTES:
        return False
    if find_language(document.language_id, document.path).name != "Python" or b"import *" in document.source:
        return False
    for source in (document.source, text.encode("utf-8", "replace")):
        # A name without a dot after it may be something else.
        if re.search(rb"(?<![\w.])%b(?![\w])(?![ \t]*\.)" % re.escape(word), source):
            return False
    used = [match[2] for match in _USED.finditer(text) if match[1] == name]
    return bool(used) and _SUBMODULES.isdisjoint(used) and _edit(document, name) is not None


def _edit(document: DocumentSnapshot, name: str) -> ImportEdit | None:
    made = import_edit(document, module_import(name.encode()))
    if made is not None:
        return made[0], made[0], made[1]
    head = _HEAD.match(document.source)
    at = head.end() if head is not None else 0
    if re.search(rb"^[ \t]*(?:import|from)\b", document.source, re.MULTILINE):
        return None  # the file has imports in a form that import_edit does not read
    newline = document.newline
    return at, at, b"import " + name.encode() + newline + newline
