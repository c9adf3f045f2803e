"""Imports the modules of a first suggestion that a server starts without, so that no request waits for the imports."""

from __future__ import annotations

import importlib
import logging

logger = logging.getLogger(__name__)

# All except the grammars, because a file needs only one of them.
_MODULES = (
    "tree_sitter",
    "lsp_server.core.names.receivers",
    "lsp_server.core.names.python_parts",
    "lsp_server.core.names.keyword_arguments",
    "lsp_server.core.names.undefined",
    "lsp_server.core.danger.check",
    "pyflakes.checker",
)


def preload() -> None:
    """Imports the modules. A module that cannot be imported is reported by the request that needs it."""
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:
            logger.info("%s cannot be imported: %s", name, error)
