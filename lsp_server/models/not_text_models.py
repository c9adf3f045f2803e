"""Recognises complete GGUF files that are no models for writing text, from their headers, before a trial."""

from __future__ import annotations

from collections.abc import Sequence

from lsp_server.models.gguf import Header, NoModelError

_EMBEDS, _RANKS = "an embedding model, which makes vectors of texts", "a reranking model, which scores texts"
_DIFFUSES = "a diffusion model, which fills in a text's tokens in any order"
_SOUNDS = "a model that makes sounds"

# Architectures that never write text, with what they are.
_ARCHITECTURES = {
    "bert": _EMBEDS,
    "nomic-bert": _EMBEDS,
    "nomic-bert-moe": _EMBEDS,
    "neo-bert": _EMBEDS,
    "jina-bert-v2": _EMBEDS,
    "jina-bert-v3": _EMBEDS,
    "modern-bert": _EMBEDS,
    "eurobert": _EMBEDS,
    "gemma-embedding": _EMBEDS,
    "llama-embed": _EMBEDS,
    "t5encoder": _EMBEDS,
    "t5": "a model that turns one text into another, and continues none",
    "wavtokenizer-dec": _SOUNDS,
    "dream": _DIFFUSES,
    "llada": _DIFFUSES,
    "llada-moe": _DIFFUSES,
    "rnd1": _DIFFUSES,
    "clip": "the part of a model that sees images or hears (a projector, or mmproj)",
}
_RANK = 4  # the pooling type of reranking models
_SEES = ("v.", "mm.", "a.")
_TEXT = "name a GGUF file that writes text"


def check(headers: Sequence[Header]) -> None:
    """Raises NoModelError, one line that says what the file is, if it cannot be a model for writing text."""
    what, remedy = _what(headers)
    if what:
        raise NoModelError(f"{headers[0].path} cannot be used: it is {what}; {remedy}")


def _what(headers: Sequence[Header]) -> tuple[str, str]:
    """What a file is, and what to do; both empty if it may write text."""
    main = headers[0]
    names = [tensor.name for header in headers for tensor in header.tensors]
    pooling = main.hyper("pooling_type")
    if main.text("general.type") == "mmproj":
        return _ARCHITECTURES["clip"], _TEXT
    if main.architecture in _ARCHITECTURES:
        ranks = pooling == _RANK or any(name.startswith("cls.") for name in names)
        what = _ARCHITECTURES[main.architecture]
        return _RANKS if ranks and what is _EMBEDS else what, _TEXT
    if pooling == _RANK or any(name.startswith("cls.") for name in names):
        return _RANKS, _TEXT
    if pooling > 0 or main.metadata.get(f"{main.architecture}.attention.causal") is False:
        return _EMBEDS, _TEXT
    if not names and main.vocabulary:
        return "a vocabulary without weights", _TEXT
    if any(name.startswith(_SEES) for name in names):
        what = (
            "a model and the part of it that sees images in one file, as Ollama has them, which llama.cpp cannot load"
        )
        return what, "take it as a GGUF file for llama.cpp, which has that part apart, with `fimble models pull`"
    return "", ""
