"""Decides whether an action applies to a place: the place has something that the action can change. Asks no model."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.idioms import IDIOMS, has_idiom, work_in
from lsp_server.core.languages import Language
from lsp_server.core.outline import Definition, definitions, has_definitions

if TYPE_CHECKING:
    from lsp_server.features.actions.subject import Subject

# The names of what an action may need. `IDIOMS` are forms in the syntax tree.
NEEDS = frozenset({"work", "text or work", "parts", "testable", *IDIOMS})
# Languages of text or data: their files have no code that can fail, and no functions can be made of them.
_NO_CODE = frozenset({"Markdown", "HTML", "CSS", "JSON", "YAML", "TOML"})
_TEXT_IDS = (
    "plaintext text log markdown restructuredtext latex tex bibtex asciidoc csv tsv xml svg ini properties dotenv "
    "ignore gitignore gitcommit git-commit git-rebase diff json jsonl yaml toml html css scss less"
)
_TEXT_FILES = ".txt .text .log .rst .tex .bib .adoc .csv .tsv .xml .svg .ini .cfg .conf .env"
_NO_CODE_IDS, _NO_CODE_FILES = frozenset(_TEXT_IDS.split()), frozenset(_TEXT_FILES.split())
# The minimum number of tokens that do something, in a body or a selection. With fewer, it has at most a single step.
_LEAST_WORK, _LEAST_PARTS, _LEAST_SELECTED_PARTS = 2, 8, 4
# Names of test files, by language.
_TEST_FILES = {
    "Python": re.compile(r"test_.*|.*_test|conftest"),
    "Go": re.compile(r".*_test"),
    "Java": re.compile(r".*Tests?"),
} | dict.fromkeys(("JavaScript", "TypeScript", "TSX"), re.compile(r".*\.(?:test|spec)"))


def applies(needs: str, document: DocumentSnapshot, language: Language, subject: Subject) -> bool:
    """Whether the subject has what the action needs."""
    if not needs:
        return True
    if needs in IDIOMS:
        return has_idiom(needs, language, document.source, subject.start, subject.end)
    if needs == "testable":
        return _is_testable(document, language, subject)
    if _holds_no_code(document, language):
        return needs == "text or work"
    if not has_definitions(language):
        return True
    least = _LEAST_WORK
    if needs == "parts":
        least = _LEAST_PARTS if subject.whole else _LEAST_SELECTED_PARTS
    bodies = _bodies(document, language, subject)
    return any(work_in(language, document.source, start, end) >= least for start, end in bodies)


def _holds_no_code(document: DocumentSnapshot, language: Language) -> bool:
    if language.wheel is not None:
        return language.name in _NO_CODE
    return document.language_id in _NO_CODE_IDS or PurePosixPath(document.path).suffix.lower() in _NO_CODE_FILES


def _bodies(document: DocumentSnapshot, language: Language, subject: Subject) -> list[tuple[int, int]]:
    """The ranges whose code counts: the body of a function, those of a class's methods, or the selection."""
    if not subject.whole or subject.definition is None:
        return [(subject.start, subject.end)]
    inside = definitions(language, document.source)
    functions = [
        one for one in inside if one.kind == "function" and subject.start <= one.start and one.end <= subject.end
    ]
    return [(one.header_end, one.end) for one in functions if one.header_end < one.end]


def _is_testable(document: DocumentSnapshot, language: Language, subject: Subject) -> bool:
    """Whether tests could call the definition: it has a body, is in a saved file that is no test file, is not inside a
    function, and is exported if the language requires that."""
    definition = subject.definition
    if definition is None or not document.uri.startswith("file:") or not _bodies(document, language, subject):
        return False
    stem = PurePosixPath(document.path).stem
    pattern = _TEST_FILES.get(language.name)
    if pattern is not None and pattern.fullmatch(stem):
        return False
    found = definitions(language, document.source)
    around = [one for one in found if one.start <= definition.start and definition.end <= one.end and one != definition]
    if any(one.kind == "function" for one in around):
        return False
    if language.name == "Rust":
        return b"#[test]" not in document.source[definition.start : definition.header_end]
    if language.name in {"JavaScript", "TypeScript", "TSX"}:
        return _is_exported(document.source.decode("utf-8", "replace"), around[0] if around else definition)
    return True


def _is_exported(source: str, definition: Definition) -> bool:
    name = re.escape(definition.name)
    own = source.encode()[definition.start : definition.header_end].decode("utf-8", "replace")
    return bool(
        re.search(r"\bexport\b", own)
        or re.search(rf"\bexport\s+default\s+{name}\b|\bexport\s*(?:type\s*)?\{{[^}}]*\b{name}\b", source)
        or re.search(rf"\bexports\.{name}\b|\bexports\s*=\s*(?:{name}\b|\{{[^}}]*\b{name}\b)", source)
    )
