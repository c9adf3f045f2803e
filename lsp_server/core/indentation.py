"""Indentation: how a file writes it, and text of a model rewritten that way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from lsp_server.core.brackets import open_brackets
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.language_entry import Language
from lsp_server.core.text import indent_width

TAB_COLUMNS = 4

# How many lines on either side of a place say how the file is indented.
_LOOKED_AT = 150


@dataclass(frozen=True, slots=True)
class IndentStyle:
    """columns: how many a level takes; tabs: whether levels are written with them, `TAB_COLUMNS` each."""

    columns: int
    tabs: bool

    def indent(self, columns: int) -> str:
        if not self.tabs:
            return " " * columns
        return "\t" * (columns // TAB_COLUMNS) + " " * (columns % TAB_COLUMNS)


def style_around(document: DocumentSnapshot, line: int, language: Language) -> IndentStyle | None:
    """The style of the lines around `line`, or, if none of them is indented, that of the language's formatter; None if
    it has none."""
    steps: Counter[int] = Counter()
    tabs = spaces = 0
    before: bytes | None = None
    for number in range(max(0, line - _LOOKED_AT), min(document.line_count, line + _LOOKED_AT)):
        content = document.line(number)
        if not content.strip():
            continue
        tabs += content.startswith(b"\t")
        spaces += content.startswith(b" ")
        if before is not None and content[:1] in (b" ", b"\t"):
            step = indent_width(content, TAB_COLUMNS) - indent_width(before, TAB_COLUMNS)
            if 1 < step <= 8:
                opens = language.opens_block(before[-200:].decode("utf-8", "replace"))
                steps[step] += 4 if opens else 1
        before = content
    own = document.line(line)[:1]
    if not tabs and not spaces and own not in (b" ", b"\t"):
        return IndentStyle(TAB_COLUMNS, tabs=True) if language.tabs else None
    # The line itself decides where both occur.
    if own == b"\t" or (own != b" " and tabs > spaces):
        return IndentStyle(TAB_COLUMNS, tabs=True)
    return IndentStyle(steps.most_common(1)[0][0] if steps else 4, tabs=False)


def in_files_characters(text: str, left: str, style: IndentStyle) -> str:
    """`text`, of a language of which no more is known, behind `left`: its lines are as deep as they were, in tabs or
    spaces as `style` has it. What the model indents by first is one level."""
    lines = text.split("\n")
    unit = 0
    for number, line in enumerate(lines):
        content = line.lstrip(" \t")
        lead = line[: len(line) - len(content)]
        if (number == 0 and left.strip()) or not lead:
            continue
        if style.tabs:
            width = indent_width(lead.encode(), TAB_COLUMNS)
            unit = unit or (width if "\t" not in lead and 2 <= width <= TAB_COLUMNS else TAB_COLUMNS)
            lead = "\t" * max(1, round(width / unit))
        elif "\t" in lead:
            lead = lead.replace("\t", " " * style.columns)
        lines[number] = lead + content
    return "\n".join(lines)


def tabbed(text: str, left: str, above: Iterable[str], language: Language, *, ended: bool) -> str:
    """`text`, in a language with lines that have to begin with a tab. above: the lines above it, the nearest first.
    ended: whether its last line is whole."""
    lines = text.split("\n")
    before = [line for line in islice(above, _LOOKED_AT) if line.strip()][::-1]
    base = 0
    for number, line in enumerate(lines):
        content = line.lstrip(" \t")
        width = indent_width(line.encode(), TAB_COLUMNS)
        whole = left + line if number == 0 else line
        is_begun = number == len(lines) - 1 and not ended and not width and not (left and number == 0)
        if is_begun and content and (number or not left.strip()):
            del lines[number]  # what it begins with, and with that its indentation, is not known yet
        elif content and (number or not left.strip()) and _is_tabbed(content, bool(width or left), before, language):
            base = base or width or TAB_COLUMNS
            whole = "\t" * (1 + max(0, width - base) // TAB_COLUMNS) + content
            lines[number] = content if number == 0 and left else whole
        if whole.strip():
            before.append(whole)
    return "\n".join(lines)


def _is_tabbed(content: str, is_indented: bool, before: list[str], language: Language) -> bool:
    """Whether a line has to begin with a tab. What is no rule and no recipe, such as a condition, may stand among the
    lines of one."""
    untabbed = re.compile(language.untabbed)
    if not is_indented and untabbed.match(content):
        return False
    for line in reversed(before):
        if re.match(language.tabbed, line):
            return True
        if line[:1].isspace() or "=" in line or not untabbed.match(line):
            return False
    return False


def fitted(text: str, left: str, required: int, style: IndentStyle, language: Language) -> str:
    """`text`, which goes behind `left`, with the indentation of `style`.

    required: the columns that the line of the cursor needs; white space in front of the text beyond it goes.
    Each line keeps its level relative to the lines above it: how deep a level is, is the file's, and the
    model's own can be told only by the lines that open one. The beginning of a text comes out the same however
    it goes on.
    """
    lines = text.split("\n")
    own = indent_width(left.encode(), TAB_COLUMNS)
    first = lines[0].lstrip(" \t")
    lead = indent_width(lines[0].encode(), TAB_COLUMNS) if first and not left.strip() else 0
    if lead:
        lines[0] = style.indent(own + max(0, min(lead, required - own)))[len(style.indent(own)) :] + first
    # From the model's columns to the file's, one entry for each level that is open.
    levels = [(own + lead, indent_width((left + lines[0]).encode(), TAB_COLUMNS))]
    if left.strip() or not first:
        levels = [(own, own)]
    before = left + lines[0]
    depth = open_brackets(left + lines[0], language.quotes)
    for number, line in enumerate(lines[1:], 1):
        content = line.lstrip(" \t")
        if not content.strip():
            lines[number] = ""
            continue
        width = indent_width(line.encode(), TAB_COLUMNS)
        while len(levels) > 1 and width < levels[-1][0]:
            levels.pop()
        model, file = levels[-1]
        deepens = width > model and style.tabs and language.wheel is None
        if deepens or (width > model and language.opens_block(before)):
            levels.append((width, file + style.columns))
            lines[number] = style.indent(file + style.columns) + content
        else:
            # A continuation, aligned with something, keeps its distance.
            moved = max(0, file + width - model)
            lines[number] = style.indent(moved) + content
            if width > model and not depth:
                levels.append((width, moved))
        depth = max(0, open_brackets("\n".join(lines[: number + 1]), language.quotes))
        before = content
    return "\n".join(lines)
