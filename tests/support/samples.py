"""Samples of code, one file per language, in `tests/samples`."""

from __future__ import annotations

from pathlib import Path

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import LANGUAGES, find_language
from lsp_server.core.languages.entry import Language

FOLDER = Path(__file__).parents[1] / "samples"
SAMPLES: dict[str, Path] = {find_language("", path.name).name: path for path in sorted(FOLDER.iterdir())}


def sample(language: Language) -> bytes:
    """The sample of `language`. Raises KeyError where there is none: add one with each language."""
    return SAMPLES[language.name].read_bytes()


def sample_document(language: Language, source: bytes | None = None) -> DocumentSnapshot:
    """The sample, or other text of that language, as a document."""
    name = SAMPLES[language.name].name
    source = sample(language) if source is None else source
    return DocumentSnapshot.of(f"file:///w/{name}", source, path=name, language_id=language.ids[0])


def named(name: str) -> Language:
    """The language with this name. Raises StopIteration if there is none."""
    return next(language for language in LANGUAGES if language.name == name)
