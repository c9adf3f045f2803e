"""Tries all kinds of next edits that need no model, the most certain kind first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lsp_server.core.next_edits.computed.again import do_it_again
from lsp_server.core.next_edits.computed.asynchronous import follow_async
from lsp_server.core.next_edits.computed.fields import follow_fields
from lsp_server.core.next_edits.computed.imports import follow_imports
from lsp_server.core.next_edits.computed.members import follow_members
from lsp_server.core.next_edits.computed.mend import mend
from lsp_server.core.next_edits.computed.parameters import follow_parameters
from lsp_server.core.next_edits.computed.plural import follow_plural
from lsp_server.core.next_edits.computed.rename import carry_on
from lsp_server.core.next_edits.proposal import NextEdit, Situation

_KINDS: tuple[Callable[[Situation], Iterator[NextEdit]], ...] = (
    mend,
    carry_on,
    follow_async,
    follow_parameters,
    follow_plural,
    follow_fields,
    follow_members,
    do_it_again,
    follow_imports,
)


def proposals(situation: Situation) -> Iterator[NextEdit]:
    """The next edits that may be proposed. Most are checked to parse without new errors; changes of imports are not."""
    for kind in _KINDS:
        yield from kind(situation)
