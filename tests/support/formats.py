"""The format with a name that a test knows to exist."""

from __future__ import annotations

from lsp_server.core.fim_formats import FimFormat, find_format


def format_named(name: str) -> FimFormat:
    """Raises AssertionError if there is none."""
    form = find_format(name)
    assert form is not None, name
    return form
