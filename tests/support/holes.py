"""Holes cut at the nodes of real code, and what a model might write there, right or wrong."""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parser_of
from tests.support.samples import sample, sample_document

SPECIAL_TOKENS = (
    "<|fim_middle|>",
    "<|endoftext|>",
    "<fim_suffix>",
    "<｜fim▁end｜>",
    "[SUFFIX]",
    "<|file_sep|>",
    "<eos>",
)
_MOST_BYTES = 60_000
_CLOSED_BY = {b"(": b")", b"[": b"]", b"{": b"}", b'"': b'"'}


@dataclass(frozen=True)
class CutHole:
    """A document with a node, or the rest of one, taken out at `cursor`, and what was taken."""

    document: DocumentSnapshot
    cursor: int
    gold: str
    kind: str


@lru_cache(maxsize=64)
def sources(language: Language) -> tuple[bytes, ...]:
    """Code of the language: the sample, and what lies on every machine that has Python."""
    found = [sample(language)]
    folder = {"Python": Path(sysconfig.get_path("stdlib")), "C": Path(sysconfig.get_path("include"))}.get(language.name)
    if folder is not None:
        pattern = "*.py" if language.name == "Python" else "*.h"
        paths = sorted(path for path in folder.glob(pattern) if 2000 < path.stat().st_size < _MOST_BYTES)
        found += [path.read_bytes() for path in paths[:40]]
    return tuple(found)


def error_count(language: Language, source: bytes) -> int:
    """The ERROR and MISSING nodes of a whole text, those among them that no node has among its children."""
    parser = parser_of(language)
    assert parser is not None
    root = parser.parse(source).root_node
    count, nodes = str(root).count("(MISSING _"), [root]
    while nodes:
        node = nodes.pop()
        count += node.is_error or node.is_missing
        if node.has_error:
            nodes.extend(node.children)
    return count


@lru_cache(maxsize=128)
def _nodes(language: Language, source: bytes) -> tuple[tuple[int, int, str], ...]:
    parser = parser_of(language)
    assert parser is not None
    found: list[tuple[int, int, str]] = []
    nodes: list[Any] = [parser.parse(source).root_node]
    while nodes:
        node = nodes.pop()
        if node.parent is not None and 0 < node.end_byte - node.start_byte < 600:
            found.append((node.start_byte, node.end_byte, node.type))
        nodes.extend(node.children)
    return tuple(found)


def cut_holes(language: Language, count: int, seed: object = 0) -> Iterator[CutHole]:
    """`count` holes: whole nodes, the rest of a node from a place within, and lines of one or more nodes."""
    rng = random.Random(f"{language.name} {seed}")
    while count:
        source = rng.choice(sources(language))
        start, end, kind = rng.choice(_nodes(language, source))
        how = rng.random()
        if how < 0.3:
            start = rng.randint(start, end)
        elif how < 0.5:
            start = source.rfind(b"\n", 0, start) + 1
        if how > 0.8:
            line_end = source.find(b"\n", end)
            end = line_end if line_end >= 0 else len(source)
        try:
            gold = source[start:end].decode()
            source[:start].decode()
        except UnicodeDecodeError:
            continue
        if gold.strip():
            count -= 1
            yield CutHole(sample_document(language, source[:start] + source[end:]), start, gold, kind)


def closed_holes(language: Language, count: int) -> Iterator[CutHole]:
    """Holes behind an opening bracket or quote of a line, of which the rest is taken out, but for what an editor puts
    there by itself when those that are open are typed. Fewer than `count` if the code has not so many."""
    rng = random.Random(f"closed {language.name}")
    for _ in range(4 * count):
        source = rng.choice(sources(language))
        places = [match.end() for match in re.finditer(rb"[(\[{\"](?=[^\n]*[)\]}\"][^\n]*\n)", source)]
        if not places or not count:
            return
        cursor = rng.choice(places)
        start, end = source.rfind(b"\n", 0, cursor) + 1, source.index(b"\n", cursor)
        opened: list[bytes] = []
        for index in range(start, cursor):
            key = source[index : index + 1]
            if opened and (key == opened[-1] or opened[-1] == b'"'):
                opened = opened[:-1] if key == opened[-1] else opened
            elif key in _CLOSED_BY:
                opened.append(_CLOSED_BY[key])
        gold = source[cursor:end].decode("utf-8", "replace").rstrip()
        if gold.strip() and opened and len(opened) <= 3:
            count -= 1
            left = source[:cursor] + b"".join(reversed(opened)) + source[end:]
            yield CutHole(sample_document(language, left), cursor, gold, "closed")


def model_texts(hole: CutHole, rng: random.Random) -> Iterator[str]:
    """The right answer, and how models get it wrong."""
    gold = hole.gold
    behind = hole.document.source[hole.cursor :].decode()
    yield gold
    yield gold + behind[: rng.randrange(1, 300)]
    yield gold + rng.choice(")]}\"'`;>")
    yield gold[: rng.randrange(len(gold) + 1)]
    yield gold.replace("    ", rng.choice(["\t", "  ", "        "])).replace("\t", rng.choice(["\t", "  "]))
    yield gold[: rng.randrange(len(gold) + 1)] + rng.choice(SPECIAL_TOKENS) + gold
    yield gold + "\n" + gold
    yield rng.choice(["  ", "\n", "\n\n"]) + gold + "   \n"
    yield gold + "\n" + "x = 1\n" * 12
    yield hole.document.source.decode()[: rng.randrange(500)]
