"""Holes cut at syntax nodes from a folder's own files: statements, blocks, arguments and right-hand sides."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.filling.tasks import Task
from bench.sessions import repository
from lsp_server.core.languages import LANGUAGES, find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parser_of

if TYPE_CHECKING:
    from tree_sitter import Node

NAME = "repo"

_MOST_PER_FILE = 6
_LEAST_CHARACTERS, _MOST_BYTES, _MOST_LINES = 3, 400, 8
_FOREIGN = {"node_modules", "venv", "__pycache__", "build", "dist", "target", "site-packages"}

# Node types whose children are statements, and node types that assign a value to a name.
_BODY = re.compile(
    r"block|body|compound_statement|statement_list|statements$|declaration_list|stylesheet|"
    r"^(module|program|source_file|translation_unit|chunk|compilation_unit|script)$"
)
_ASSIGNS = re.compile(r"assign|declarat|let_|_spec$|property|field|pair|definition")
_ARGUMENTS = re.compile(r"^(arguments|argument_list|value_arguments|method_arguments)$")


def load(folder: Path, seed: int, languages: Sequence[str] | None = None) -> Iterator[Task]:
    """Up to six holes of each source file whose language has a grammar, the files in random order.

    Reads a file when its turn comes. Raises ValueError if there are no files.
    """
    files = source_files(folder)
    if not files:
        raise ValueError(f"{folder} has no source files in a language that fimble knows")
    random.Random(seed).shuffle(files)
    for path in files:
        name = path.relative_to(folder).as_posix()
        language = find_language("", name)
        if languages and language.name not in languages:
            continue
        try:
            source = path.read_bytes().decode("utf-8")
        except ValueError:
            continue  # not UTF-8
        holes = list(cut(source, language, name))
        # Each file has its own random generator, so that its holes do not depend on the other files.
        yield from random.Random(f"{seed} {name}").sample(holes, min(len(holes), _MOST_PER_FILE))


def source_files(folder: Path) -> list[Path]:
    """The files that git tracks in `folder`, sorted. Outside a repository: all except hidden files and build
    outputs."""
    try:
        return sorted(repository.files(folder))
    except ValueError:
        found = []
        for root, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _FOREIGN]
            found += [path for path in (Path(root) / name for name in names) if repository.is_source(path)]
        return sorted(found)


def cut(source: str, language: Language, path: str) -> Iterator[Task]:
    """All holes of one file, in no particular order; none for a language without a grammar."""
    parser = parser_of(language)
    if parser is None or language not in LANGUAGES:
        return
    encoded = source.encode()
    seen: set[tuple[int, int]] = set()
    for kind, start, end in _places(parser.parse(encoded).root_node, encoded):
        reference = encoded[start:end].decode()
        long = len(encoded[start:end]) > _MOST_BYTES or reference.count("\n") >= _MOST_LINES
        if long or len(reference.strip()) < _LEAST_CHARACTERS or (start, end) in seen:
            continue
        seen.add((start, end))
        before = encoded[:start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        yield Task(
            id=f"{path}:{line}:{column} {kind}",
            # Holes of one line and of several lines have different requests and are summed up separately.
            set=f"{NAME}-block" if "\n" in reference else f"{NAME}-line",
            path=path,
            before=before,
            after=encoded[end:].decode(),
            reference=reference,
            single_line="\n" not in reference,
            group=language.name,
        )


def _places(root: Node, source: bytes) -> Iterator[tuple[str, int, int]]:
    """The kind of each hole, and the byte range that is cut out."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.named_children)
        if node.has_error:
            continue
        if _BODY.search(node.type):
            statements = [child for child in node.named_children if not _is_prose(child)]
            for child in statements:
                if _has_own_lines(source, child.start_byte, child.end_byte):
                    yield "statement", child.start_byte, child.end_byte
            if len(statements) > 1 and node is not root:
                start, end = statements[0].start_byte, statements[-1].end_byte
                if _has_own_lines(source, start, end):
                    yield "block", start, end
        if _ARGUMENTS.match(node.type) and node.named_children and source[node.end_byte - 1 : node.end_byte] == b")":
            yield "arguments", node.start_byte + 1, node.end_byte - 1
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        if value is not None and _ASSIGNS.search(node.type):
            yield "right-hand side", value.start_byte, value.end_byte


def _is_prose(statement: Node) -> bool:
    """Whether a statement is a comment or a docstring."""
    inner = statement.named_child(0) if statement.named_child_count == 1 else None
    return "comment" in statement.type or (inner is not None and inner.type == "string")


def _has_own_lines(source: bytes, start: int, end: int) -> bool:
    """Whether the lines of `start:end` have no other text."""
    left = source[source.rfind(b"\n", 0, start) + 1 : start]
    line_end = source.find(b"\n", end)
    return not left.strip() and not source[end : line_end if line_end >= 0 else len(source)].strip()
