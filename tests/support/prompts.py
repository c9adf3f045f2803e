"""The prompt for a hole by itself."""

from __future__ import annotations

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole
from lsp_server.core.prompt import FimPrompt, PromptBudget, lay_out, new_anchor


def build_prompt(document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> FimPrompt:
    """Anchored where the hole stands, as the first request at a place is."""
    return lay_out(document, new_anchor(document, hole, form, budget), hole.cursor, form)
