"""Training samples: they are prompts of the server, they give the source back, and they come again the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.training import holes
from bench.training.corpus import SourceFile
from bench.training.holes import HoleOrigin, Sample, document_of, node_spans, samples_of
from lsp_server.core.pieces import Piece, pieces_of
from tests.support.formats import format_named

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    SourceFile(
        "fimble", f"lsp_server/core/{name}.py", "Python", (ROOT / f"lsp_server/core/{name}.py").read_text("utf-8")
    )
    for name in ("document", "prompt", "text")
]
JAVASCRIPT = SourceFile(
    "example",
    "src/store.js",
    "JavaScript",
    "import { open } from './disk.js'\n\nexport class Store {\n  constructor(path) {\n    this.path = path\n  }\n\n"
    "  read(name) {\n    const file = open(this.path, name)\n    if (!file) {\n      return null\n    }\n"
    "    return file.text()\n  }\n}\n",
)


def text(sample: Sample, *kinds: str) -> bytes:
    return b"".join(segment.text for segment in sample.prompt if segment.kind in kinds)


@pytest.mark.parametrize("file", [*FILES, JAVASCRIPT], ids=lambda file: file.path)
@pytest.mark.parametrize("name", ["qwen", "gemma-adapter"])
def test_a_sample_gives_the_source_back(file: SourceFile, name: str) -> None:
    source = file.text.encode()
    seen: Counter[HoleOrigin] = Counter()
    for seed in range(12):
        for sample in samples_of(file, format_named(name), 200_000, str(seed)):
            seen[sample.origin] += 1
            if sample.origin is HoleOrigin.NONE:
                assert source.endswith(sample.middle)
                continue
            whole = text(sample, "before", "typed") + sample.middle + text(sample, "after")
            # A short suffix, or a blank one, is not all that follows.
            assert source.startswith(whole)
            assert sample.middle
    assert seen[HoleOrigin.NONE] and len(seen) > 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_a_window_shows_whole_parts_of_the_source(file: SourceFile) -> None:
    """With a small window, in front of a hole stands what the server would put there."""
    for sample in samples_of(file, format_named("qwen"), 512, "1"):
        if sample.origin is not HoleOrigin.NONE:
            middle = text(sample, "typed") + sample.middle + text(sample, "after")
            before = text(sample, "before")
            assert middle in file.text.encode()
            assert before.rpartition(b"...\n")[2] + middle in file.text.encode()
        assert len(text(sample, "before", "typed", "after", "context") + sample.middle) < 512 * 5


def test_the_layout_is_the_format_s() -> None:
    form = format_named("gemma-adapter")
    sample = next(s for s in samples_of(FILES[0], form, 2048, "2") if s.origin is not HoleOrigin.NONE)
    markers = [segment.text.decode() for segment in sample.prompt if segment.kind == "marker"]
    assert markers == list(form.markers)
    assert text(sample, "path") == b"lsp_server/core/document.py\n"


def test_the_same_seed_gives_the_same_samples() -> None:
    first, again, other = ([*samples_of(FILES[1], format_named("qwen"), 2048, seed)] for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_holes_are_syntax_nodes() -> None:
    spans = node_spans(document_of(JAVASCRIPT))
    found = {(span.origin, JAVASCRIPT.text[span.start : span.end]) for span in spans}
    assert (HoleOrigin.STATEMENT, "return null") in found
    assert (HoleOrigin.ARGUMENTS, "(this.path, name)") in found
    assert (HoleOrigin.VALUE, "open(this.path, name)") in found
    assert (HoleOrigin.BLOCK, "{\n      return null\n    }") in found
    assert node_spans(document_of(SourceFile("p", "notes.txt", "", "some text\n"))) == []


def test_the_shares_are_as_named() -> None:
    count: Counter[HoleOrigin] = Counter()
    typed = whole_lines = 0
    for seed in range(60):
        for sample in samples_of(FILES[1], format_named("qwen"), 2048, str(seed)):
            count[sample.origin] += 1
            typed += bool(text(sample, "typed").strip())
            whole_lines += text(sample, "after").startswith(b"\n")
    total = count.total()
    assert 0.57 < 1 - count[HoleOrigin.NONE] / total < 0.73
    assert 0.05 < count[HoleOrigin.RANDOM] / total < 0.16
    assert typed / total > 0.1
    assert whole_lines / total > 0.3


def test_other_files_are_shown_where_they_define_what_is_used() -> None:
    pieces: tuple[Piece, ...] = pieces_of(document_of(FILES[0]))
    shown = [
        sample
        for seed in range(10)
        for sample in samples_of(FILES[1], format_named("qwen"), 2048, str(seed), pieces)
        if text(sample, "context")
    ]
    assert shown
    for sample in shown:
        assert b"lsp_server/core/document.py\n" in text(sample, "context")
        assert len(text(sample, "context")) <= 2048 * holes.CONTEXT_OF_WINDOW * 3 + 100
    assert not any(text(s, "context") for s in samples_of(FILES[1], format_named("qwen"), 2048, "1"))
