"""What is known of one language: the entry that `languages.LANGUAGES` has for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# How a line ends after which lines follow that belong to it, in languages with braces.
BRACES = r"[{(\[]|=>|\b(?:case\b.*|default\s*):"

# What comments are written with in most languages in which a line comment begins with two slashes.
_LIKE_C, _DOCS_LIKE_C = ["/*", "*/"], ["///", "//!", "/**", "/*!"]

# Of a longer line (minified code), only the two ends are looked at.
_LINE_CHARACTERS = 1000

_INDENTED_DATA = ("YAML", "Markdown", "plain text")


@dataclass(frozen=True, slots=True)
class Embedded:
    """Lines in another language between two marks, each on a line of its own or at a line's end.

    opens: how the mark in front of them begins; pattern: all of it. closes: how the mark behind them begins.
    language: an LSP identifier. at_ends: whether a file begins and may end with such lines; else a missing mark means
    that there are none.
    """

    opens: bytes
    pattern: bytes
    closes: bytes
    language: str
    at_ends: bool = False


# The scripts and styles of a web page.
IN_PAGES = (
    Embedded(
        b"<script", rb"<script\b[^>]*\btype=.(?:application/(?:ld\+)?json|importmap)\b[^>]*>", b"</script", "json"
    ),
    Embedded(b"<script", rb"<script\b[^>]*\blang=.(?:ts|typescript)\b[^>]*>", b"</script", "typescript"),
    Embedded(b"<script", rb"<script\b[^>]*>", b"</script", "javascript"),
    Embedded(b"<style", rb"<style\b[^>]*>", b"</style", "css"),
)
# Behind what ends a part in PHP a page goes on, up to the next part.
AROUND_PHP = (Embedded(b"?>", rb"\?>", b"<?", "html", at_ends=True),)


@dataclass(frozen=True, slots=True)
class Language:
    """What fimble knows of a language.

    name: how people write it. ids: its LSP language identifiers. files: file name patterns.
    comment: how a line comment starts and ends; the end is empty for most. wheel: the module of its
    tree-sitter grammar and the function in it, None without one.

    line_marks: all that comments up to the line's end begin with. block_marks: what the others begin and end with.
    docs: what comments begin with that document code. docstrings: the kinds of nodes of which a string that documents
    code is the whole.

    Kinds of nodes of the grammar: imports, at the top level, bring names into the file; statements are whole
    statements and declarations; blocks hold statements; strings and comments are what is not code, and
    code_in_strings what is code again inside a string.

    openers: a pattern of how a line ends that opens a block. closers: the words, besides brackets, that a line
    which closes a block begins with. quotes: the characters that strings of any length begin and end with.
    long_quotes: what those that may go over lines begin and end with.
    prologue: what a part of a file needs in front of it to be parsed by itself.
    preprocessed: whether conditions like `#if` go from line to line, across whatever else there is.
    embedded: what of a file is in other languages; where several fit, the first counts. fenced: whether fences say what
    language the lines between them are in, as Markdown's do. prose: whether a text of it can be of sentences.
    tabs: whether its formatter indents with tabs. tabbed: a pattern of lines below which a line has to begin with a
    tab, unless it begins as `untabbed` says. terminators: what a line ends with, where its grammar misses none.
    headers: where indentation alone says what belongs to a block, the words that the line above a block begins with.
    """

    name: str
    ids: tuple[str, ...]
    files: tuple[str, ...]
    comment: tuple[str, str] = ("#", "")
    wheel: tuple[str, str] | None = None
    imports: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset()
    strings: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset()
    code_in_strings: frozenset[str] = frozenset()
    openers: str = r":|[{(\[]|=>|->"
    closers: tuple[str, ...] = ()
    quotes: str = "\"'"
    long_quotes: tuple[str, ...] = ()
    prologue: bytes = b""
    preprocessed: bool = False
    embedded: tuple[Embedded, ...] = ()
    fenced: bool = False
    prose: bool = False
    tabs: bool = False
    tabbed: str = ""
    untabbed: str = ""
    terminators: str = ""
    headers: tuple[str, ...] = ()
    line_marks: tuple[str, ...] = ()
    block_marks: tuple[tuple[str, str], ...] = ()
    docs: tuple[str, ...] = ()
    docstrings: frozenset[str] = frozenset()

    def as_comment(self, line: str) -> str:
        """`line` as a comment of this language, without trailing white space."""
        start, end = self.comment
        return f"{start} {line} {end}".rstrip() if line else f"{start} {end}".rstrip()

    @property
    def reindents(self) -> bool:
        """Whether the depth of an indentation is a matter of style: data and prose say something by it."""
        return self.name not in _INDENTED_DATA

    def opens_block(self, line: str) -> bool:
        """Whether a block follows `line`, judged by how it ends."""
        line = line.rstrip()
        if len(line) > 2 * _LINE_CHARACTERS:
            line = f"{line[:_LINE_CHARACTERS]} {line[-_LINE_CHARACTERS:]}"
        return re.search(f"(?:{self.openers})$", line) is not None

    def closes_block(self, line: str) -> bool:
        """Whether `line` begins with what closes a block."""
        line = line.lstrip()
        word = re.match(r"\w*", line)
        return line[:1] in tuple(")]}") or (word is not None and word.group() in self.closers)


def language(
    name: str,
    ids: str,
    files: str,
    comment: tuple[str, str] = ("#", ""),
    wheel: str = "",
    *,
    imports: str = "",
    statements: str = "",
    blocks: str = "",
    strings: str = "",
    comments: str = "comment",
    code_in_strings: str = "",
    openers: str = BRACES,
    closers: str = "",
    quotes: str = "\"'",
    long_quotes: str = "",
    prologue: bytes = b"",
    preprocessed: bool = False,
    embedded: tuple[Embedded, ...] = (),
    fenced: bool = False,
    prose: bool = False,
    tabs: bool = False,
    tabbed: str = "",
    untabbed: str = "",
    terminators: str = "",
    headers: str = "",
    line_marks: str = "",
    block_marks: str = "",
    docs: str = "",
    docstrings: str = "",
) -> Language:
    """An entry, with lists written as words; the marks of comments that are not given follow from `comment`."""
    module, _, function = wheel.partition(":")
    begins, ends = comment
    if not ends:
        line_marks = line_marks or begins
    blocks_of_comments = block_marks.split() or (_LIKE_C if begins == "//" else [*comment] if ends else [])
    return Language(
        name,
        tuple(ids.split()),
        tuple(files.split()),
        comment,
        (module, function or "language") if module else None,
        frozenset(imports.split()),
        frozenset(statements.split()),
        frozenset(blocks.split()),
        frozenset(strings.split()),
        frozenset(comments.split()) if module else frozenset(),
        frozenset(code_in_strings.split()),
        openers,
        tuple(closers.split()),
        quotes,
        tuple(long_quotes.split()),
        prologue,
        preprocessed,
        embedded,
        fenced,
        prose,
        tabs,
        tabbed,
        untabbed,
        terminators,
        tuple(headers.split()),
        tuple(line_marks.split()),
        tuple(zip(blocks_of_comments[::2], blocks_of_comments[1::2], strict=True)),
        tuple(docs.split() or (_DOCS_LIKE_C if begins == "//" else [])),
        frozenset(docstrings.split()),
    )
