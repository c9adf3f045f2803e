"""Finds the receivers with known members at a position in a file of any language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.names import class_members, python_receivers
from lsp_server.core.names.allowed import Members

if TYPE_CHECKING:
    from lsp_server.core.names.python_types import Modules


def members_at(document: DocumentSnapshot, cursor: int, modules: Modules | None = None) -> Members | None:
    """The receivers with known members at `cursor`; None if there are none. modules: finds the modules that a Python
    file imports."""
    if find_language(document.language_id, document.path).name == "Python":
        return python_receivers.members_at(document, cursor, modules)
    return class_members.members_at(document, cursor)
