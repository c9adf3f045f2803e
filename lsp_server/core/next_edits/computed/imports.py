"""Kind `import`: removes a name that is imported but no longer used, and imports a name that is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.names import introduced_by, is_alone, is_label, is_member, name_node, words
from lsp_server.core.next_edits.node_kinds import MODULES
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.tokens import tokens_of
from lsp_server.core.next_edits.trees import above, language_of, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LANGUAGES = frozenset({"Python", "JavaScript", "TypeScript", "TSX", "Java"})
_HEAD_LINES = 400
_PYTHON = re.compile(rb"(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+\(?([\w., \t]+?)\)?[ \t]*$")
_SCRIPT = re.compile(rb"import[ \t]+(?:type[ \t]+)?(?:\{([^{}]*)\}|(\w+))[ \t]+from[ \t]+(['\"][^'\"]+['\"]);?[ \t]*$")
_JAVA = re.compile(rb"import[ \t]+(?:static[ \t]+)?([\w.]+)\.(\w+);[ \t]*$")


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement on one line. source: the module. names: the imported names, each as it is written."""

    line: int
    source: bytes
    names: tuple[bytes, ...]

    def introduces(self, name: bytes) -> bool:
        return any(re.split(rb"\bas\b", each)[-1].strip() == name for each in self.names)


def follow_imports(situation: Situation) -> Iterator[NextEdit]:
    hunk = situation.last
    document = situation.document
    if hunk is None or situation.language.name not in _LANGUAGES or hunk.uri != document.uri or hunk.start < 0:
        return
    trimmed = hunk.trimmed()
    old, new = b"\n".join(trimmed.old), b"\n".join(trimmed.new)
    before = {t.text for t in tokens_of(old, situation.language) if t.kind == "word"}
    after = {t.text: t for t in tokens_of(new, situation.language) if t.kind == "word"}
    imports = imports_of(document)
    for name in sorted(before - after.keys()):
        if any(each.introduces(name) for each in imports):
            yield from _unused(document, imports, name)
    for name, token in after.items():
        if name not in before and len(name) > 1 and not any(each.introduces(name) for each in imports):
            source = _source(situation, name, new[token.end :])
            if source is not None:
                yield from _missing(situation, imports, source, name, trimmed.start + token.start)


def imports_of(document: DocumentSnapshot) -> list[Import]:
    """The imports among the first lines of a document, as far as each stands on one line."""
    language, found = language_of(document).name, []
    for number in range(min(document.line_count, _HEAD_LINES)):
        line = document.line(number)
        if language == "Python" and (match := _PYTHON.match(line)):
            found.append(Import(number, match[1] or b"", _split(match[2])))
        elif language == "Java" and (match := _JAVA.match(line)):
            found.append(Import(number, match[1], (match[2],)))
        elif language not in ("Python", "Java") and (match := _SCRIPT.match(line)):
            found.append(Import(number, match[3], _split(match[1]) if match[1] is not None else (match[2],)))
    return found


def _split(names: bytes) -> tuple[bytes, ...]:
    return tuple(name.strip() for name in names.split(b",") if name.strip())


def _unused(document: DocumentSnapshot, imports: list[Import], name: bytes) -> Iterator[NextEdit]:
    if PurePosixPath(document.path).name == "__init__.py" or not is_alone(document, name):
        return
    for each in imports:
        if not each.introduces(name):
            continue
        why = f"{name.decode('utf-8', 'replace')} is not used any more"
        start = document.line_start(each.line)
        if len(each.names) == 1:
            end = document.line_start(each.line + 1) if each.line + 1 < document.line_count else len(document.source)
            yield NextEdit("import", document, start, end, b"", why, 2)
            return
        line = document.line(each.line)
        index = next(i for i, text in enumerate(each.names) if re.split(rb"\bas\b", text)[-1].strip() == name)
        text = re.escape(each.names[index])
        pattern = rb"(?<![\w$])%b[ \t]*,[ \t]*" if index + 1 < len(each.names) else rb",[ \t]*%b(?![\w$])"
        match = re.search(pattern % text, line)
        if match is not None:
            yield NextEdit("import", document, start + match.start(), start + match.end(), b"", why, 2)


def _missing(
    situation: Situation, imports: list[Import], source: Import, name: bytes, start: int
) -> Iterator[NextEdit]:
    document = situation.document
    tree = tree_of(document)
    node = name_node(tree, start, name)
    if node is None or is_member(tree, node) or is_label(node) or _introduces(node):
        return
    if b"import *" in document.source:
        return
    for offset in words(document, name):
        other = name_node(tree, offset, name)
        if offset != start and (other is None or _introduces(other)):
            return  # the name is, or may be, introduced here; a comment or string with the name counts as well
    edit = import_edit(document, source, imports)
    if edit is not None:
        why = f"{name.decode('utf-8', 'replace')} is not imported"
        yield NextEdit("import", document, edit[0], edit[0], edit[1], why, 3)


def _introduces(node: Node) -> bool:
    return introduced_by(node) is not None or any("import" in each.type for each in above(node))


def _source(situation: Situation, name: bytes, behind: bytes) -> Import | None:
    """The import of the name in other open files, if all of them import it in the same way; else of a module of
    Python's standard library. behind: the text after the name."""
    found: dict[tuple[bytes, bytes], Import] = {}
    folder = PurePosixPath(situation.document.path).parent
    for document in situation.others:
        if language_of(document) is not situation.language or name not in document.source:
            continue
        for each in imports_of(document):
            if each.introduces(name):
                relative = each.source.strip(b"'\"").startswith(b".")
                if relative and PurePosixPath(document.path).parent != folder:
                    return None
                text = next(t for t in each.names if re.split(rb"\bas\b", t)[-1].strip() == name)
                found[each.source, text] = Import(each.line, each.source, (text,))
    if not found and situation.language.name == "Python" and name in MODULES and behind.startswith(b"."):
        return module_import(name)
    return next(iter(found.values())) if len(found) == 1 else None


def module_import(name: bytes) -> Import:
    """The Python import of a module by its name."""
    return Import(0, b"", (name,))


def import_edit(
    document: DocumentSnapshot, wanted: Import, imports: list[Import] | None = None
) -> tuple[int, bytes] | None:
    """The offset and the text that add an import: to the line that already imports from that module, else as a new line
    after the other imports. None if the document has no imports. imports: those of the document, if known."""
    language, text = language_of(document).name, wanted.names[0]
    imports = imports_of(document) if imports is None else imports
    braces = language not in ("Python", "Java")
    for each in imports:
        if language != "Java" and wanted.source and each.source == wanted.source:
            line = document.line(each.line)
            behind = line.rfind(each.names[-1]) + len(each.names[-1]) if each.names else -1
            if behind > 0 and (not braces or b"{" in line):
                return document.line_start(each.line) + behind, b", " + text
    if not imports:
        return None
    if language == "Python":
        made = b"from %b import %b" % (wanted.source, text) if wanted.source else b"import " + text
    elif language == "Java":
        made = b"import %b.%b;" % (wanted.source, text)
    else:
        end = b";" if document.line(imports[-1].line).rstrip().endswith(b";") else b""
        made = b"import { %b } from %b%b" % (text, wanted.source, end)
    number = _line_for(imports, made, document) + 1
    return (document.line_start(number), made + document.newline) if number < document.line_count else None


def _line_for(imports: list[Import], made: bytes, document: DocumentSnapshot) -> int:
    """The import line after which the new one goes: in alphabetical order among imports of the same form, if these are
    sorted; else after the last of them."""
    form = made.split()[0]
    alike = [each.line for each in imports if document.line(each.line).split()[:1] == [form]]
    before = [line for line in alike if document.line(line) < made]
    if alike and alike == sorted(alike, key=document.line):
        return max(before) if before else alike[0] - 1
    return max(alike, default=imports[-1].line)
