"""Turns the text that a model generated into a suggestion: the text to show, and the range that it replaces.

Every step cuts the text at its end or changes the indentation of its lines. So the suggestion for a prefix of the text
is a prefix of the suggestion for all of it, and the user can type through it while it is still being generated. A text
that goes on behind the brackets right of the cursor replaces them, if that adds no error to the tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from lsp_server.core.brackets import CLOSING, OPENING, open_brackets, open_quote
from lsp_server.core.danger.lookalikes import ODD_SPACE, has_names, with_plain_spaces
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hidden_characters import before_hidden
from lsp_server.core.hole import Hole, HoleKind, sides
from lsp_server.core.indentation import IndentStyle, fitted, in_files_characters, style_around, tabbed
from lsp_server.core.languages.entry import Language
from lsp_server.core.overlap import overlap_start, without_closed_quote, without_overlap, written_over
from lsp_server.core.parsing import PARSE_STEPS
from lsp_server.core.prose import shorter, written_in
from lsp_server.core.spelled_markers import without_begun, without_spelled
from lsp_server.core.stopping import StopRule, code_of, find_end
from lsp_server.core.syntax import SyntaxView, raises_errors, view_of
from lsp_server.core.text import encode, indent_width

# How many places the text is cut at, at most, to find a version that parses, and how many parser steps all versions may
# take. There are fewer steps if there are many errors, because a step then takes ten times as long.
MOST_CUTS, MOST_STEPS, STEPS_AMONG_ERRORS = 10, 200, 50
# How many more versions are tried that replace text right of the cursor.
MOST_CUTS_OVER = 6

_WORD_END, _WORD_START, _NAME = re.compile(r"\w$"), re.compile(r"\w"), re.compile(r"[@$]*\w[\w.$-]*")
_WORD, _APOSTROPHE = re.compile(r"\w"), re.compile(r"(?<=\w)'(?=\w)")
_GOES_ON = (*",;=?.:+|>%&^", "->")
# A preprocessor condition. The other end of the pair may be outside the window, so the tree shows no error without it.
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(?:if|ifn?def|elif|else|endif)\b", re.MULTILINE)
_TOKENS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Text for the bytes `start:end` of a document. `start` is the cursor. `end` is the cursor too, unless the text
    goes on behind brackets right of it: then it replaces them, and contains them in their order."""

    text: str
    start: int
    end: int


def shape(
    text: str,
    document: DocumentSnapshot,
    hole: Hole,
    rule: StopRule,
    *,
    whole: bool = True,
    specials: Sequence[str] = (),
    usual: Callable[[DocumentSnapshot], IndentStyle | None] = lambda _: None,
) -> Suggestion | None:
    """The part of `text` that is worth showing at `hole`; None if there is none.

    It is cut where the rule ends it, and loses what already stands right of the cursor and white space at its end. It
    gets the document's indentation and line endings, and the longest part that adds no error to the syntax tree is
    shown. whole: whether the text is finished. specials: the spellings of the model's special tokens. usual: gives the
    indentation for a document that does not show one.
    """
    text = encode(text).decode().replace("\r\n", "\n").replace("\r", "\n")
    text = before_hidden(text)
    left, right = sides(document, hole.cursor)
    text = _without_odd_spaces(text, left, document, hole.cursor)
    code = code_of(text, rule, whole=whole)
    text, whole = text[code.start : code.end], whole or code.ended
    end = find_end(text, rule)
    if end is None and whole:
        end = find_end(text + "\n", rule)  # the text is finished, so its last line is complete
    whole = whole or end is not None
    if whole:
        text = without_spelled(text[:end], left, specials, rule.quotes)
    else:
        text = _without_beginning_repeat(without_begun(text, specials), rule)
    if rule.inside is not None:
        return _shaped_prose(written_in(text, left, rule.inside, whole=whole), document, hole)
    begins = _begins_line(left, right)
    if begins and hole.kind is HoleKind.LINE and not whole:
        return None  # how it relates to the text behind it is known only when it is finished
    alone = begins and bool(text.strip()) and _stands_alone(text, right, rule)
    text = _trimmed(text, right)
    if not text.strip():
        return None
    line = document.line_at(hole.cursor)
    view = view_of(document, line)
    language = view.language
    if language.tabbed:
        text = tabbed(text, left, _lines_above(document, line), language, ended=whole)
    elif (style := style_around(document, line, language) or usual(document)) is not None:
        text = _indented(text, left, document, line, rule, language, style)
    splice = _Splice(document, hole, view)
    if alone and hole.kind is HoleKind.LINE:
        text, replaced = _line_in_front(text, left, right, rule, splice), ""
    else:
        text, replaced = _longest_that_fits(text, left, right, rule, splice, whole=whole)
        text = _trimmed(_without_bare_header(text, rule, language), right[len(replaced) :])
        if alone and not replaced and whole:
            text = _line_in_front(text, left, right, rule, splice) or text
    if not text.strip():
        return None
    end = hole.cursor + len(encode(replaced))
    return Suggestion(text.replace("\n", document.newline.decode()), hole.cursor, end)


def _shaped_prose(text: str, document: DocumentSnapshot, hole: Hole) -> Suggestion | None:
    """The suggestion for words in a comment: as much as stays inside the comment."""
    view, newline = view_of(document, document.line_at(hole.cursor)), document.newline.decode()
    for shown in (part.rstrip().replace("\n", newline) for part in shorter(text)):
        if shown.strip() and view.stays_inside(hole.cursor, encode(shown)):
            return Suggestion(shown, hole.cursor, hole.cursor)
    return None


def _without_odd_spaces(text: str, left: str, document: DocumentSnapshot, cursor: int) -> str:
    """`text` with plain spaces instead of odd ones, if it is code."""
    if not ODD_SPACE.search(text):
        return text
    view = view_of(document, document.line_at(cursor))
    language = view.language
    texts = language.strings | language.comments
    inside = any(kind in texts and start < cursor < end for kind, start, end in view.ancestors(cursor))
    if inside or not has_names(language):
        return text
    return with_plain_spaces(text, left, language.quotes, language.long_quotes, language.comment[0])


def without_replacing(suggestion: Suggestion, document: DocumentSnapshot) -> Suggestion | None:
    """The part of `suggestion` before the text that it replaces, which then stays; None if nothing is left."""
    if suggestion.start == suggestion.end:
        return suggestion
    over = document.source[suggestion.start : suggestion.end].decode("utf-8", "replace")
    text = suggestion.text[: overlap_start(suggestion.text, over) or 0].rstrip()
    return Suggestion(text, suggestion.start, suggestion.start) if text.strip() else None


def _trimmed(text: str, right: str) -> str:
    """`text` without white space at its end, except one space that separates it from a word to its right."""
    trimmed = text.rstrip()
    if len(trimmed) < len(text) and _joins_words(trimmed, right):
        return trimmed + " "
    return trimmed


def _joins_words(text: str, right: str) -> bool:
    """Whether the last word of `text` would merge with a word right of it."""
    return _WORD_END.search(text) is not None and _WORD_START.match(right) is not None


def _begins_line(left: str, right: str) -> bool:
    """Whether the text is inserted at the beginning of a line that has text, which the model has not seen."""
    return not left.strip() and bool(right.strip())


def _stands_alone(text: str, right: str, rule: StopRule) -> bool:
    """Whether `text`, at the beginning of a line with the text `right`, is a line of its own and not a part of that."""
    content, right = text.strip(), right.strip()
    unfinished = open_brackets(content, rule.quotes, rule.comment) or open_quote(_APOSTROPHE.sub("", content))
    if unfinished or text[-1:] in (" ", "\t") or not _WORD.search(content):
        return False
    if right[0] in CLOSING:
        return not right.strip(CLOSING + ";,")
    if right.startswith(_GOES_ON):
        # Signs that continue a line, but may also begin lines of a list, a table or a style sheet.
        return right[0] not in ",;=?-" and (content[0] == right[0] or content[-1] in "};>")
    if _WORD_START.match(right):
        return True
    return not _NAME.fullmatch(content) and not (right[0] in OPENING and _WORD_END.search(content))


def _line_in_front(text: str, left: str, right: str, rule: StopRule, splice: _Splice) -> str:
    """`text` as a line of its own before the cursor's line, with the same indentation. Empty if it is the beginning of
    that line, or does not fit."""
    text = text.removesuffix(right.strip()).rstrip()
    terminators = splice.view.language.terminators
    if terminators and text[-1:] not in terminators:
        return ""
    if not text.strip() or right.strip().startswith(text.strip()) or _is_bare_header(text, rule, splice.view.language):
        return ""
    if splice.view.language.reindents and right.strip()[0] not in CLOSING:
        text = right[: len(right) - len(right.lstrip())] + text.lstrip()
    line = f"{text}\n{left}"
    return line if splice.fits(line) else ""


def _without_beginning_repeat(text: str, rule: StopRule) -> str:
    """`text` without a last line that, so far, is the beginning of the document's next line."""
    start = text.rfind("\n") + 1
    content = (text[start:] if start else rule.left + text).strip()
    if len(content) > 2 and (text[start:].strip()) and rule.next_line.startswith(content):
        return text[:start]
    return text


def _lines_above(document: DocumentSnapshot, line: int) -> Iterator[str]:
    """The lines above `line`, the nearest first."""
    return (document.line(number).decode("utf-8", "replace") for number in range(line - 1, -1, -1))


def _indented(
    text: str, left: str, document: DocumentSnapshot, line: int, rule: StopRule, language: Language, style: IndentStyle
) -> str:
    """`text` in `style`, unless indentation has a meaning in the language."""
    if not language.reindents:
        return in_files_characters(text, left, style) if language.name != "YAML" else text
    required = _required_indent(document, line, rule, style.columns, language)
    return fitted(text, left, required, style, language)


def _required_indent(document: DocumentSnapshot, line: int, rule: StopRule, columns: int, language: Language) -> int:
    """The indentation of a new line at `line`, in columns, judged by the line above."""
    above = next((n for n in range(line - 1, max(-1, line - 50), -1) if document.line(n).strip()), None)
    if above is None:
        return 0
    opens = language.opens_block(rule.last_line)
    return indent_width(document.line(above)) + (columns if opens else 0)


class _Splice:
    """Inserts texts at the hole and counts the errors in the resulting tree."""

    def __init__(self, document: DocumentSnapshot, hole: Hole, view: SyntaxView) -> None:
        self.view = view
        self._document = document
        self._cursor = hole.cursor
        self._line = document.line_at(hole.cursor)
        self._newline = "\r\n" if document.newline == b"\r\n" else "\n"
        # Errors elsewhere remain whatever is inserted here.
        self.least = view.errors_apart_from(document.line_start(self._line), hole.line_end)

    def errors(self, text: str, replaced: str, most_steps: int) -> int | None:
        """The errors with `text` in place of `replaced` after the cursor; None if parsing takes too many steps."""
        end = self._cursor + len(encode(replaced))
        return self.view.errors_with(self._cursor, end, self._encoded(text), most_steps)

    def raises_errors(self, text: str, replaced: str = "") -> bool:
        """Whether the text adds errors to the code further around, or that cannot be determined."""
        end = self._cursor + len(encode(replaced))
        return raises_errors(self._document, self._line, self._cursor, end, self._encoded(text))

    def fits(self, text: str) -> bool:
        """Whether `text` at the cursor adds no errors."""
        if self.view.root is None:
            return True
        errors = self.errors(text, "", PARSE_STEPS)
        return errors is not None and errors <= len(self.view.errors) and not (errors and self.raises_errors(text))

    def _encoded(self, text: str) -> bytes:
        return encode(text.replace("\n", self._newline))


def _longest_that_fits(
    text: str, left: str, right: str, rule: StopRule, splice: _Splice, *, whole: bool
) -> tuple[str, str]:
    """The longest part of `text` with the fewest errors in the tree, and no more than without it; and the text right of
    the cursor that it replaces. whole: whether the text is finished."""
    in_front = _in_front(text, left, right, whole=whole)
    view = splice.view
    if view.root is None:
        return ("" if _joins_words(in_front, right) else in_front), ""
    best, fewest = ("", ""), len(view.errors) + 1
    most = STEPS_AMONG_ERRORS if view.is_broken else MOST_STEPS
    begun, last = view.steps, view.steps + most
    over = islice(_cuts_over(text, left, rule), MOST_CUTS_OVER)
    cuts = ((cut, "") for cut in islice(_cuts(in_front, right.strip()[:1]), MOST_CUTS))
    for candidate, replaced in chain(over, cuts):
        # Half of the steps are reserved for versions that replace nothing.
        until = begun + most // 2 if replaced else last
        if (replaced and view.steps >= until) or _joins_words(candidate, right[len(replaced) :]):
            continue
        if not candidate.strip() or view.steps >= last:
            break
        errors = splice.errors(candidate, replaced, min(PARSE_STEPS, until - view.steps))
        if errors is not None and errors < fewest:
            best, fewest = (candidate, replaced), errors
            # The bracket at the end of the candidate may be superfluous beside the same one behind it, even if the
            # parser reports the error elsewhere.
            behind = right[len(replaced) :].strip()[:1]
            if errors <= splice.least and (errors == 0 or candidate[-1:] != behind):
                break
    pairs = view.language.preprocessed and _CONDITION.search(best[0])
    if best[0] and (fewest or pairs) and splice.raises_errors(*best):
        return "", ""
    return best


def _without_bare_header(text: str, rule: StopRule, language: Language) -> str:
    """`text` without headers at its end whose block is neither in it nor below it. Where indentation marks blocks, the
    grammar reports no error for a missing one. A text that is only a header stays: its block comes next."""
    rest, newline, last = text.rpartition("\n")
    while newline and rest.strip() and (not last.strip() or _is_bare_header(last, rule, language)):
        text = rest
        rest, newline, last = text.rpartition("\n")
    return text


def _is_bare_header(line: str, rule: StopRule, language: Language) -> bool:
    header = language.reindents and line.rstrip().endswith(":") and language.opens_block(line)
    return header and rule.below <= indent_width(encode(line))


def _in_front(text: str, left: str, right: str, *, whole: bool) -> str:
    """`text` as it is inserted before the text right of the cursor."""
    if right.strip():
        text = without_overlap(text, right.strip(), whole=whole)
        text = without_closed_quote(text, left, right)
    return _trimmed(text, right)


def _cuts_over(text: str, left: str, rule: StopRule) -> Iterator[tuple[str, str]]:
    """`text` and its prefixes, the longest first, as long as they replace something; each with the replaced text."""
    for cut in _beginnings(text) if rule.over else ():
        over = written_over(cut, left, rule.over, rule.quotes, rule.comment)
        if over is None:
            return
        yield over[0], rule.over[: over[1]]


def _cuts(text: str, behind: str) -> Iterator[str]:
    """`text` and its prefixes that may be complete, the longest first; each also without `behind` at its end."""
    for cut in _beginnings(text):
        shorter = cut
        yield cut
        while behind and behind in "\"'`)]}" and shorter.endswith(behind):
            shorter = shorter[:-1].rstrip()
            yield shorter


def _beginnings(text: str) -> Iterator[str]:
    """`text`, and its prefixes up to the end of a line or, in the first line, of a token."""
    yield text
    end = text.rfind("\n")
    while end > 0:
        if text[:end].strip():
            yield text[:end].rstrip()
        end = text.rfind("\n", 0, end)
    start = len(text) - len(text.lstrip("\n"))
    line = text[: text.find("\n", start)] if "\n" in text[start:] else text
    tokens = [(match.end(), match.group()) for match in _TOKENS.finditer(line)]
    for end, token in reversed(tokens[:-1]):
        # A text that ends with an operator, an open bracket or inside a long quote is not complete.
        ends = token.strip() and (token[0].isalnum() or token in "_)]}\"'`;")
        if ends and not (token in "\"'`" and line[end] == token) and not open_brackets(line[:end]):
            yield line[:end]
