"""The definition of one language: the type of the entries in `languages.LANGUAGES`."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Ends of lines that open a block, in languages with braces.
BRACES = r"[{(\[]|=>|\b(?:case\b.*|default\s*):"

# Block comments and doc comments of most languages with `//` for line comments.
_LIKE_C, _DOCS_LIKE_C = ["/*", "*/"], ["///", "//!", "/**", "/*!"]

# Of a line longer than twice this (minified code), only the two ends are looked at.
_LINE_CHARACTERS = 1000

_INDENTED_DATA = ("YAML", "Markdown", "plain text")


@dataclass(frozen=True, slots=True)
class Embedded:
    """A region in another language between two marks, each on its own line or at the end of a line.

    opens: the start of the opening mark. pattern: all of the opening mark. closes: the start of the closing mark.
    language: an LSP identifier. at_ends: whether a file may begin and end inside such a region; else both marks are
    required.
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
# Between the parts in PHP a file is an HTML page.
AROUND_PHP = (Embedded(b"?>", rb"\?>", b"<?", "html", at_ends=True),)


@dataclass(frozen=True, slots=True)
class Language:
    """Everything that fimble knows about a language.

    name: as people write it. ids: its LSP language identifiers. files: file name patterns. comment: how a line comment
    starts and ends; the end is empty for most. wheel: the module of its tree-sitter grammar and the function in it;
    None without a grammar.

    line_marks: all marks that begin a comment to the line's end. block_marks: the opening and closing marks of block
    comments. docs: the marks that begin doc comments. docstrings: types of nodes; a string that is the only content of
    such a node is a docstring.

    Types of nodes in the grammar: imports are the top-level nodes that import names; statements are whole statements
    and declarations; blocks contain statements; strings and comments are not code; code_in_strings is code inside a
    string.

    openers: a pattern for the end of a line that opens a block. closers: the words, besides brackets, that begin a line
    which closes a block. quotes: the characters around strings. long_quotes: the quotes of strings that may span lines.
    prologue: the text that must precede a part of a file so that the part can be parsed alone. preprocessed: whether
    directives such as `#if` may cut across the syntax. embedded: the regions in other languages; the first match
    counts. fenced: whether fences name the language of the lines between them, as in Markdown. prose: whether its text
    can consist of sentences.
    tabs: whether its formatter indents with tabs. tabbed: a pattern for lines below which a line must begin with a tab,
    unless the line matches `untabbed`. terminators: the characters that a complete line ends with, for a grammar that
    does not report a missing one.
    headers: the words that begin the line above a block, in languages where indentation alone marks the block.
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
        """Whether indentation is only a matter of style. In data and prose it has a meaning."""
        return self.name not in _INDENTED_DATA

    def opens_block(self, line: str) -> bool:
        """Whether a block follows `line`, judged by the end of the line."""
        line = line.rstrip()
        if len(line) > 2 * _LINE_CHARACTERS:
            line = f"{line[:_LINE_CHARACTERS]} {line[-_LINE_CHARACTERS:]}"
        return re.search(f"(?:{self.openers})$", line) is not None

    def closes_block(self, line: str) -> bool:
        """Whether `line` begins with a bracket or word that closes a block."""
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
    """Builds a Language from lists written as words. Comment marks that are not given are derived from `comment`."""
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
