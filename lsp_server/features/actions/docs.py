"""Doc comments: detects the style that a file uses, and makes a comment in that style from a model's answer.

Only the comment's text is taken from the answer. The code is never changed, whatever the model wrote.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, broken_at, definitions
from lsp_server.features.actions.fitting import document_unit
from lsp_server.features.actions.margins import indent_of
from lsp_server.features.actions.objections import syntax_objection
from lsp_server.features.actions.prose import is_english, says_less, says_nothing, without_echoes
from lsp_server.features.actions.readings import blocks
from lsp_server.features.actions.results import Proposal
from lsp_server.features.actions.subject import Subject

_MOST_LINES = 80
_LINE_COMMENTS = {"Rust": "///", "Go": "//"}
# The marks of doc comments in languages where other comments are not documentation.
_DOC_MARKS = {"Rust": ("///", "/**", "#[doc"), "Java": ("/**",)} | dict.fromkeys(
    ("JavaScript", "TypeScript", "TSX"), ("/**",)
)

_STYLES: dict[str, str] = {
    "google": "a Python docstring in Google style (a summary line, then `Args:`, `Returns:` and `Raises:`)",
    "numpy": "a Python docstring in NumPy style (a summary line, then `Parameters` and `Returns`, underlined)",
    "sphinx": "a Python docstring in Sphinx style (a summary line, then `:param name:`, `:returns:`, `:raises X:`)",
    "JavaScript": "a JSDoc comment (`/** … */` with @param and @returns)",
    "TypeScript": "a TSDoc comment (`/** … */` with @param and @returns, without types)",
    "TSX": "a TSDoc comment (`/** … */` with @param and @returns, without types)",
    "Go": "a Go doc comment (`//` lines, the first begins with the name)",
    "Rust": "a rustdoc comment (`///` lines)",
    "Java": "a Javadoc comment (`/** … */` with @param, @return and @throws)",
    "C": "a Doxygen comment (`/** … */` with @param and @return)",
    "C++": "a Doxygen comment (`/** … */` with @param and @return)",
}


def python_style(source: bytes) -> str:
    """The style of most docstrings in `source`: `google`, `numpy` or `sphinx`; `google` if there is no evidence."""
    counts = {
        "numpy": len(re.findall(rb"^\s*(?:Parameters|Returns|Raises)\s*\n\s*-{3,}", source, re.MULTILINE)),
        "sphinx": len(re.findall(rb"^\s*:(?:param|returns?|raises|type)\b", source, re.MULTILINE)),
        "google": len(re.findall(rb"^\s*(?:Args|Returns|Raises|Yields):\s*$", source, re.MULTILINE)),
    }
    best = max(counts, key=lambda style: counts[style])
    return best if counts[best] else "google"


def style_hint(document: DocumentSnapshot, project: bytes = b"") -> str:
    """The kind of comment to ask for. project: text of other files, used if the document itself shows no style."""
    language = find_language(document.language_id, document.path)
    if language.name == "Python":
        own = python_style(document.source)
        return _STYLES[own if own != "google" else python_style(project)]
    return _STYLES.get(language.name, "a comment")


def read_doc(answer: str, document: DocumentSnapshot, subject: Subject, question: str = "") -> Proposal:
    """The edit that replaces the old doc comment by the answer's, or adds it. question: the text that the model was
    given, without the code."""
    language = find_language(document.language_id, document.path)
    definition = subject.definition
    if definition is None:
        return Proposal(problem="there is nothing to document here")
    marks = _DOC_MARKS.get(language.name, ())
    if (
        definition.doc is not None
        and marks
        and not document.source[definition.doc[0] :].startswith(tuple(mark.encode() for mark in marks))
    ):
        definition = replace(definition, doc=None)  # an ordinary comment, which stays
    code = document.source[definition.start : definition.end].decode("utf-8", "replace")
    said = {re.sub(r"\s+", "", line) for line in code.split("\n")} - {""}
    old = ""
    if definition.doc is not None:
        old = document.source[slice(*definition.doc)].decode("utf-8", "replace")
        said -= {re.sub(r"\s+", "", line) for line in old.split("\n")}
    text = _known_parameters(doc_text(answer, language, definition), definition)
    # Lines that only repeat the code are not part of a comment.
    lines = [line for line in text.split("\n") if re.sub(r"\s+", "", line) not in said]
    text = without_echoes("\n".join(lines), question, code)
    lines = text.split("\n")
    if not re.search(r"[^\W\d_]{2}", text):
        return Proposal(problem="there is no comment in the answer")
    if _is_header(lines[0], language, definition.name):
        return Proposal(problem="the answer is the code's first line, not a comment")
    header = next((line for line in lines if _is_header(line, language)), "")
    if header:
        return Proposal(problem=f"there is code in the comment: `{header.strip()[:60]}`")
    if says_nothing(text, code if not old else code.replace(old, "")):
        return Proposal(problem="the comment says nothing about the code")
    if old and says_less(text, old):
        return Proposal(problem="the answer says less than the comment that is there, or something else")
    if len(lines) > _MOST_LINES:
        return Proposal(problem=f"the comment has {len(lines)} lines, more than {_MOST_LINES}")
    if language.name == "Go" and not text.startswith(definition.name):
        lines[0] = f"{definition.name}: {lines[0]}"
    proposal = _placed(lines, document, definition, language)
    edited = document.edited(proposal.start, proposal.end, proposal.text)
    problem = syntax_objection(document, edited, language, proposal.start, proposal.start + len(proposal.text))
    if not problem and proposal.text == document.source[proposal.start : proposal.end]:
        problem = "the answer is the comment as it was"
    return Proposal(problem=problem) if problem else proposal


def _placed(lines: list[str], document: DocumentSnapshot, definition: Definition, language: Language) -> Proposal:
    """The comment in the language's convention, and the range that it replaces."""
    source, newline = document.source, document.newline.decode()
    first = document.line_start(document.line_at(definition.start))
    indent = indent_of(source[first : definition.end].decode("utf-8", "replace").split("\n")[0])
    if language.name == "Python":
        inner = indent + document_unit(document)
        body_line = document.line_start(document.line_at(definition.header_end))
        lead = source[body_line : definition.header_end].decode("utf-8", "replace")
        if not lead.strip() and definition.header_end > first:
            inner = lead
        written = newline.join(_python_lines(lines, inner))
        if definition.doc is not None:
            return Proposal(*definition.doc, written.encode())
        at = definition.header_end
        if lead.strip():  # def f(): return 1
            end = at
            while source[end - 1 : end] in (b" ", b"\t"):
                end -= 1
            return Proposal(end, at, f"{newline}{inner}{written}{newline}{inner}".encode())
        return Proposal(at, at, f"{written}{newline}{inner}".encode())
    if language.name in _LINE_COMMENTS:
        start = _LINE_COMMENTS[language.name]
        block = [f"{indent}{start} {line}".rstrip() for line in lines]
    else:
        block = [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]
    written = newline.join(block)
    if definition.doc is not None and definition.start < definition.doc[0] < definition.header_end:
        return _above_decorators(written, document, first, definition.doc)
    if definition.doc is not None:
        return Proposal(*definition.doc, written.removeprefix(indent).encode("utf-8", "replace"))
    return Proposal(first, first, (written + newline).encode("utf-8", "replace"))


def _above_decorators(written: str, document: DocumentSnapshot, first: int, doc: tuple[int, int]) -> Proposal:
    """The comment above the line at `first`, in place of the old one below the decorators that begin there."""
    source, newline = document.source, document.newline
    line, behind = document.line_start(document.line_at(doc[0])), document.line_end(document.line_at(doc[1]))
    if source[line : doc[0]].strip() or source[doc[1] : behind].strip():  # there is code on its lines
        between = source[first : doc[0]]
        return Proposal(first, doc[1], written.encode("utf-8", "replace") + newline + between.rstrip(b" \t"))
    rest = source[first:line].removesuffix(newline)
    return Proposal(first, behind, written.encode("utf-8", "replace") + newline + rest)


def _python_lines(lines: list[str], indent: str) -> list[str]:
    first, *rest = lines
    if not rest:
        tail = " " if first.endswith('"') else ""
        return [f'"""{first}{tail}"""']
    return [f'"""{first}', *((indent + line).rstrip() for line in rest), f'{indent}"""']


def doc_text(answer: str, language: Language, definition: Definition) -> str:
    """The text of the comment in an answer, without the marks of any convention."""
    answer = answer.replace("\r\n", "\n").replace("\r", "\n")
    found = ""
    for part in [*blocks(answer), answer]:
        found = _from_definition(part, language, definition) or _from_comment(part)
        if found:
            break
    if not found:
        fenced = blocks(answer)
        found = fenced[0] if fenced else answer
        if not fenced or any(one.name == definition.name for one in _defined(found, language)):
            found = answer if not fenced else ""
        lines = found.strip().split("\n")
        if len(lines) > 1 and _introduces(lines[0]):
            lines = lines[1:]
        found = "\n".join(line for line in lines if not line.lstrip().startswith(("```", "~~~")))
        if _defined(found, language):
            return ""
    if language.name == "Python":
        found = re.sub(r"^(\s*)#+ ", r"\1", found, flags=re.MULTILINE)
    return _harmless(_unquoted(_realigned(found)), language)


def _unquoted(text: str) -> str:
    """`text` without the quotation marks around it; quotations inside a sentence stay."""
    while True:
        before = text
        text = re.sub(r"^[rRuUbB]?(?:\"{3,}|'{3,}|`{3,})\s*|\s*(?:\"{3,}|'{3,}|`{3,})$", "", text)
        for open_mark, close_mark in ('""', "''", "``", "“”", "„“", "«»", "‘’"):
            opened, closed = text.startswith(open_mark), text.endswith(close_mark)
            marks = text.count(open_mark) + (text.count(close_mark) if close_mark != open_mark else 0)
            if opened and closed and marks == 2 and len(text) > 2:
                text = text[1:-1].strip()
            elif opened and marks == 1:
                text = text[1:].lstrip()
        if text == before:
            return text


def _introduces(line: str) -> bool:
    """Whether a line announces the comment, in any language. Titles of sections are shorter."""
    if not line.rstrip().endswith((":", "：")):
        return False
    english = re.match(r"(?i)\s*(here|sure|certainly|below|the following)\b", line)
    return bool(english) or (not is_english(line) and len(line.split()) != 2 and len(line.strip()) > 5)


def _is_header(line: str, language: Language, name: str = "") -> bool:
    """Whether a line is the header of a definition of `name`, or of any definition if `name` is empty."""
    begun = line.rstrip(" :{") + (":\n    pass\n" if language.name == "Python" else " {}\n")
    source = begun.encode("utf-8", "replace")
    found = any(one.name == name or not name for one in definitions(language, source))
    return found and not broken_at(language, source)


def _defined(text: str, language: Language) -> tuple[Definition, ...]:
    return definitions(language, text.encode("utf-8", "replace"))


def _from_definition(text: str, language: Language, definition: Definition) -> str:
    """The comment of the definition, if the answer repeats the definition with it."""
    source = text.encode("utf-8", "replace")
    for one in definitions(language, source):
        if one.name == definition.name and one.doc is not None:
            return _from_comment(source[slice(*one.doc)].decode("utf-8", "replace"))
    return ""


def _from_comment(text: str) -> str:
    """The text inside the first comment or docstring in `text`; empty if there is none."""
    match = re.search(r'[rRuU]?("""|\'\'\')(.*?)\1', text, re.DOTALL)
    if match:
        return match[2]
    # The innermost comment; else one without an end.
    match = re.search(r"/\*+!?((?:(?!/\*).)*?)\*/", text, re.DOTALL)
    match = match or re.search(r"/\*\*((?:(?!/\*).)*)$", text, re.DOTALL)
    if match:
        return "\n".join(re.sub(r"^\s*\*(?: |$)", "", line) for line in match[1].split("\n"))
    lines = text.split("\n")
    starts = [line.lstrip().startswith("//") for line in lines]
    if any(starts):
        first = starts.index(True)
        kept = []
        for line, is_comment in zip(lines[first:], starts[first:], strict=True):
            if not is_comment:
                break
            kept.append(re.sub(r"^\s*//[/!]?(?: |$)", "", line))
        return "\n".join(kept)
    return ""


def _realigned(text: str) -> str:
    """`text` with its first line at the margin, the common indentation of the others removed, and without lines that
    have only marks."""
    lines = [line.rstrip() for line in text.strip().split("\n")]
    # Lines with only a fence or a tag count as marks, too.
    lines = [line for line in lines if not re.match(r"\s*(?:[`~]{3}.*|@\w+:?)$", line)]
    lines = [line for line in lines if not line.strip() or re.search(r"[\w\-=]", line)] or [""]
    rest = textwrap.dedent("\n".join(lines[1:]))
    return "\n".join([lines[0].strip(), *rest.split("\n")]).strip() if len(lines) > 1 else lines[0].strip()


def _harmless(text: str, language: Language) -> str:
    """`text` without anything that would end the comment around it."""
    if language.name == "Python":
        text = text.replace("\\", "\\\\").replace('"""', "'''").strip()
        return text[:-1] + '\\"' if text.endswith('"') and "\n" not in text else text
    return text.replace("*/", "* /").replace("/*", "/ *")


def _known_parameters(text: str, definition: Definition) -> str:
    """`text` without entries for parameters that the function does not have."""
    if definition.kind != "function":
        return text
    names = {re.sub(r"^\W+", "", name) for name in definition.parameters}
    kept: list[str] = []
    skipping = in_arguments = False
    base = 0
    for line in text.split("\n"):
        match = re.match(r"\s*(?:@param|:param)\s+(?:\{[^}]*\}\s*)?(?:[\w.\[\]]+\s+)?\[?\**(\w+)", line)
        indent = len(line) - len(line.lstrip())
        if re.match(r"\s*(Args|Arguments|Parameters):\s*$", line):
            in_arguments, base = True, indent
        elif in_arguments and line.strip() and indent <= base:
            in_arguments = False
        google = re.match(r"\s+\**(\w+)\s*(?:\([^)]*\))?:", line) if in_arguments else None
        if match or google:
            found = match or google
            assert found is not None
            plain = re.match(r"\s*(?:@param|:param)\s+(?:\{[^}]*\}\s*)?\[?\**(\w+)", line)
            skipping = found[1] not in names and (plain is None or plain[1] not in names)
        elif skipping and not (line.strip() and indent > base):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(kept).strip()
