"""Finds the end of a completion, from its text while it is decoded.

A syntax tree is no help here: the text is unfinished at every token, and each token decoded in vain delays the next
request. So the rules use lines, indentation and brackets. The tree then checks the result once (`shape`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from lsp_server.core.brackets import CLOSING, OPENING, marks, open_brackets
from lsp_server.core.chatter import Code, code_in
from lsp_server.core.comments import Comment
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.embedded import language_at
from lsp_server.core.hole import Hole, HoleKind, sides
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening, opening_at
from lsp_server.core.overlap import MOST_REPLACED, TERMINATORS, closers_behind
from lsp_server.core.prose import MIN_LOGPROB, end_of_comment
from lsp_server.core.repetition import end_of_loop
from lsp_server.core.text import encode, indent_width, lines_of

# Lines whose repetition has no effect: imports and assertions.
_IMPORTS = re.compile(r"(?:import|from|use|using|#\s*include|require|require_once|require_relative)\b.*\w")
_ASSERTS = re.compile(r"(?:\w+\.)*(?:assert\w*|ASSERT\w*|EXPECT\w*|static_assert|expect|require|check)\b[!(. ].*\w")

_FENCED = re.compile(rb"^(?:`{3}|~{3})", re.MULTILINE)

# The first word of a line, or its first character.
_FIRST = re.compile(r"\w+|.?")

# Words that continue a statement after the line that closes its first block.
_GOES_ON = re.compile(r"[)\]}\s]*(?:else|elif|elsif|elseif|catch|except|rescue|ensure|finally|when|while|until)\b")


@dataclass(frozen=True, slots=True)
class StopRule:
    """The conditions that end a completion.

    indent: for a block, lines with less indentation are below it. next_line, last_line: the nearest non-blank lines of
    the document below and above, which the completion must not repeat. left: the text before it in its line. over: the
    text after it in its line, if that is short enough to be replaced by a completion that contains it. single: whether
    it must stay in its line; for an expression, after the brackets that it replaces. is_body: whether it is a whole
    block, which blank lines do not end. closers: the words and brackets at the beginning of a line that closes a block.
    closer_indent: the indentation of the line that closes this block, if that line is missing in the document; else -1.
    below: for a blank line, the indentation of the code right below it; -1 if there is none. quotes, comment: those of
    the language (see `brackets.marks`). fences: whether fences may belong to the document's own text. prose: whether
    sentences may belong to it. opening: the restriction of its beginning; None for none. inside: the comment or
    docstring that it continues. min_logprob: the completion ends before a token with a lower log-probability. members:
    the names that may follow receivers in it.
    """

    kind: HoleKind
    max_lines: int
    indent: int = 0
    next_line: str = ""
    last_line: str = ""
    left: str = ""
    over: str = ""
    single: bool = False
    is_body: bool = False
    closers: tuple[str, ...] = ()
    closer_indent: int = -1
    below: int = -1
    quotes: str = "\"'"
    comment: str = ""
    fences: bool = False
    prose: bool = False
    opening: Opening | None = None
    inside: Comment | None = None
    min_logprob: float = -math.inf
    members: Members | None = None

    @property
    def has_min_logprob(self) -> bool:
        return self.min_logprob > -math.inf


def stop_rule(document: DocumentSnapshot, hole: Hole, max_lines: int, *, replaces: bool = True) -> StopRule:
    """The rule for `hole`, from the text around it. replaces: whether the completion may replace text right of the
    cursor."""
    language, _, last = language_at(document, document.line_at(hole.cursor))
    following = lines_of(document.source[hole.line_end : hole.line_end + 2000])
    next_line = next((line for line in following if line.strip()), "")
    start = document.line_start(document.line_at(hole.cursor))
    preceding = lines_of(document.source[max(0, start - 2000) : start])
    last_line = next((line for line in reversed(preceding) if line.strip()), "")
    left, right = sides(document, hole.cursor)
    is_body = hole.kind is HoleKind.BLOCK and bool(left.strip())
    indent = indent_width(encode(left))
    closers = (*language.closers, *CLOSING)
    comment = hole.comment if hole.kind is HoleKind.PROSE else None
    over = right.rstrip() if replaces and not comment and len(right.rstrip()) <= MOST_REPLACED else ""
    behind = right
    if hole.kind is HoleKind.EXPRESSION:
        behind = right[len(closers_behind(left, right, language.quotes)) :].strip(TERMINATORS)
    return StopRule(
        hole.kind,
        max_lines,
        hole.indent,
        next_line.strip(),
        last_line.strip(),
        left,
        over,
        bool(behind.strip()) and hole.kind is not HoleKind.BLOCK,
        is_body,
        closers,
        indent if is_body and _lacks_closer(next_line, indent, closers) else -1,
        -1 if left.strip() else _indent_below(document, hole, closers),
        language.quotes,
        "" if language.comment[1] else language.comment[0],
        _has_fences(document, language, closed=last < document.line_count),
        language.prose or hole.kind is not HoleKind.BLOCK,  # the line may be in a comment
        opening_at(document, hole, language),
        comment,
        MIN_LOGPROB if comment and not comment.asked and not comment.is_unfinished else -math.inf,
        hole.members,
    )


def _has_fences(document: DocumentSnapshot, language: Language, *, closed: bool) -> bool:
    """Whether a fence may belong to the text. In fenced code a fence may close that code, if none below does."""
    if find_language(document.language_id, document.path).fenced:
        return language.fenced or not closed
    return language.prose and _FENCED.search(document.source) is not None


def _indent_below(document: DocumentSnapshot, hole: Hole, closers: tuple[str, ...]) -> int:
    """The indentation of the code right below the hole's line; -1 if there is none, or only the end of a block."""
    line = document.line_at(hole.cursor) + 1
    text = document.line(line) if line < document.line_count else b""
    content = text.decode("utf-8", "replace").strip()
    return indent_width(text) if content and _first(content) not in closers else -1


def _lacks_closer(next_line: str, indent: int, closers: tuple[str, ...]) -> bool:
    """Whether a block whose header is indented by `indent` columns is not closed below, judged by the next line."""
    width = indent_width(encode(next_line))
    return width < indent or (width == indent and _first(next_line.strip()) not in closers)


def find_end(text: str, rule: StopRule) -> int | None:
    """The length of the part of `text` that is the completion; None if the completion may still continue.

    The end does not depend on how much text follows it. Only complete lines are judged, and the indentation and the
    brackets of the line that is still being decoded.
    """
    code = code_of(text, rule, whole=False)
    text = text[code.start : code.end]
    ends = [end for end in (_end_of_kind(text, rule), end_of_loop(text, rule.left)) if end is not None]
    end = min(ends, default=len(text.rstrip("\n")) if code.ended else None)
    return None if end is None else code.start + end


def code_of(text: str, rule: StopRule, *, whole: bool) -> Code:
    """`text` without the model's sentences around the code. whole: whether the text is finished."""
    if rule.fences:
        return Code(0, len(text))
    inside = bool(rule.left.strip()) and rule.kind is not HoleKind.BLOCK
    code = code_in(text, prose=rule.prose, inside=inside, whole=whole)
    # After a line that opens a block, the code begins with the line ending.
    return replace(code, start=code.start - 1) if code.start and rule.left.strip() else code


def repeats_a_line(line: str, rule: StopRule, *, first: bool) -> bool:
    """Whether a complete line of the completion repeats the line right above or below it."""
    content = (rule.left + line if first else line).strip()
    if not line.strip() or _is_common(content, rule):
        return False
    return content == rule.next_line or (first and content == rule.last_line)


def _is_common(content: str, rule: StopRule) -> bool:
    """Whether a line often occurs twice in a row: a closing bracket or word, or hardly any text."""
    return len(content) <= 2 or not any(map(str.isalnum, content)) or content.rstrip("; ") in rule.closers


def _end_of_kind(text: str, rule: StopRule) -> int | None:
    if rule.kind is HoleKind.NONE:
        return 0
    if rule.kind is HoleKind.BLOCK:
        return _end_of_block(text, rule)
    if rule.inside is not None:
        return _end_of_prose(text, rule, rule.inside)
    return _end_of_line(text, rule)


def _end_of_line(text: str, rule: StopRule) -> int | None:
    """The end of the line, or of the statement that begins in it if that has open brackets. An expression ends at a
    bracket that it has not opened, unless it can replace the same bracket right of the cursor."""
    expression = rule.kind is HoleKind.EXPRESSION
    depth = 0 if expression else open_brackets(rule.left, rule.quotes, rule.comment)
    closers = closers_behind(rule.left, rule.over, rule.quotes)
    lines = replaced = 0
    for index, mark in marks(text, rule.quotes, rule.comment):
        if mark in OPENING:
            depth += 1
        elif mark in CLOSING:
            expected = closers[replaced : replaced + 1]
            if depth == 0 and expression and (expected or not closers):
                if mark != expected:
                    return index
                replaced += 1
            depth = max(0, depth - 1)
        else:
            lines += 1
            start = text.rfind("\n", 0, index) + 1
            if start and repeats_a_line(text[start:index], rule, first=False):
                return start - 1
            if lines == 1 and repeats_a_line(text[:index], rule, first=True):
                return 0
            single = rule.single and (replaced or not expression)
            if depth == 0 or single or lines >= rule.max_lines or not text[:index].strip():
                return index
    return None


def _end_of_prose(text: str, rule: StopRule, comment: Comment) -> int | None:
    """The end of the words that continue a comment: before a line that repeats the line above or below. Unless the user
    has requested the completion, it is at most one line, because further lines are seldom what the user writes."""
    end = end_of_comment(text, comment, 1 if rule.has_min_logprob else rule.max_lines)
    offset = 0
    for number, line in enumerate(text[:end].split("\n")):
        complete = end is not None or offset + len(line) < len(text)
        if complete and repeats_a_line(line, rule, first=number == 0):
            return max(0, offset - 1)
        offset += len(line) + 1
    return end


def _end_of_block(text: str, rule: StopRule) -> int | None:
    """The end of the lines that belong together, found by indentation, a blank line, or a repetition."""
    offset, blank_at, least = 0, -1, rule.indent
    shown: list[str] = []
    code = False  # whether any line so far has more than a comment
    lines = text.split("\n")
    for number, line in enumerate(lines):
        complete = number < len(lines) - 1
        content, width = line.strip(), indent_width(encode(line))
        if not content and complete and shown:
            if blank_at >= 0:
                return blank_at
            blank_at = offset - 1
        if content:
            if number == 0 and not rule.left and width:
                least = width  # the cursor is before the indentation of the block
            if rule.below >= least and code and (end := _end_of_statement(text[:offset], line, least, rule, complete)):
                return end
            # The first line continues the cursor's line; only the others have their own indentation.
            below = number > 0 and width < least
            closes = below and width == rule.closer_indent and _closes(content, rule, complete)
            if (below and not closes) or (blank_at >= 0 and not rule.is_body and width <= least):
                return blank_at if blank_at >= 0 else offset - 1
            blank_at = -1
            shown.append(content)
            code = code or not _is_comment(content, rule)
            if complete:
                if _repeats(line, shown, rule, first=number == 0):
                    return max(0, offset - 1)
                if code and rule.below > least and not open_brackets(text[:offset] + line, rule.quotes, rule.comment):
                    return offset + len(line)  # the block that the line opens is already below
                goes_on = _GOES_ON.match(content) or content.endswith(tuple(OPENING))
                if len(shown) >= rule.max_lines or (closes and not goes_on):
                    return offset + len(line)
        offset += len(line) + 1
    return None


def _end_of_statement(before: str, line: str, least: int, rule: StopRule, complete: bool) -> int | None:
    """The end of a statement, with its block if it has one, for a hole with code right below it: one statement is
    missing there. The end is before `line` or after it; None if the statement may continue."""
    content = line.strip()
    word = _first(content)
    if indent_width(encode(line)) > least or (not complete and word == content):
        return None  # it belongs to the block, or may become an `else`
    goes_on = _GOES_ON.match(content) or content.endswith(tuple(OPENING))
    if word in rule.closers:
        ended = complete and not goes_on and not open_brackets(before + line, rule.quotes, rule.comment)
        return len(before) + len(line) if ended else None
    open_still = open_brackets(before, rule.quotes, rule.comment)
    return None if _GOES_ON.match(content) or open_still else len(before.rstrip("\n"))


def _closes(content: str, rule: StopRule, complete: bool) -> bool:
    """Whether a line closes a block, or may do so once it is complete."""
    word = _first(content)
    begun = not complete and word == content and any(closer.startswith(word) for closer in rule.closers)
    return begun or word in rule.closers


def _is_comment(content: str, rule: StopRule) -> bool:
    return bool(rule.comment) and content.startswith(rule.comment)


def _first(content: str) -> str:
    match = _FIRST.match(content)
    return match[0] if match else ""


def _repeats(line: str, shown: list[str], rule: StopRule, *, first: bool) -> bool:
    """Whether a complete line of a block repeats the document's line next to it, or is the third of its kind."""
    if repeats_a_line(line, rule, first=first):
        return True
    content = shown[-1]
    if _is_common(content, rule):
        return False
    if _states_again(shown, rule):
        return True
    return shown[-3:] == [content] * 3 or (len(shown) == 1 and content == rule.last_line)


def _states_again(shown: list[str], rule: StopRule) -> bool:
    """Whether the last line repeats an import or assertion above it, with nothing in between that could matter."""
    content = shown[-1]
    if _IMPORTS.match(content):
        return content in shown[:-1]
    if _ASSERTS.match(content):
        for line in reversed(shown[:-1]):
            if line == content:
                return True
            if not _ASSERTS.match(line) and not _is_comment(line, rule):
                return False
    return False
