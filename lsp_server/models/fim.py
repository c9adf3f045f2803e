"""The FIM format of a GGUF file, detected from its vocabulary and names, without loading it."""

from __future__ import annotations

from lsp_server.core.fim_formats import detect_format, names_of
from lsp_server.models.gguf import Header, LargeArray, strings


def format_of(header: Header) -> str:
    """The name of the format that fits the file; empty for a model without FIM."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    known = set(strings(header.path, tokens)) if isinstance(tokens, LargeArray) else set()
    name = names_of(header.text, header.path.name)
    form = detect_format(lambda spelling: spelling.encode() in known, name)
    return form.name if form.has_fim else ""
