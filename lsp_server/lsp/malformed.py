"""Repairs fields of messages that clients send in another form than lsprotocol expects.

lsprotocol refuses a message with a wrong field before a handler sees it, so the field is repaired here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lsprotocol import converters, types

# How many diagnostics of a code action's range are read.
MOST_DIAGNOSTICS = 20


@cache
def shared_converter() -> Any:
    """The converter between JSON and the types of lsprotocol. It compiles a function for each type at its first use, a
    tenth of a second for a handshake, so all servers of one process share it."""
    converter = converters.get_converter()
    structured = converter.get_structure_hook(types.Diagnostic)

    def diagnostic(value: Any, kind: type[types.Diagnostic]) -> Any:
        """Accepts a message in Markdown, which LSP 3.18 allows and lsprotocol does not know."""
        if isinstance(value, dict) and isinstance(value.get("message"), dict):
            value = {**value, "message": str(value["message"].get("value", ""))}
        return structured(value, kind)

    def context(value: Any, kind: type[types.CodeActionContext]) -> Any:
        """Keeps only the first diagnostics of the selected range: each takes 20 µs to convert."""
        if isinstance(value, dict) and isinstance(value.get("diagnostics"), list):
            value = {**value, "diagnostics": value["diagnostics"][:MOST_DIAGNOSTICS]}
        return of_context(value, kind)

    converter.register_structure_hook(types.Diagnostic, diagnostic)
    of_context = converter.get_structure_hook(types.CodeActionContext)
    converter.register_structure_hook(types.CodeActionContext, context)
    return converter
