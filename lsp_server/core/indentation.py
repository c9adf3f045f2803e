"""Detects how a file is indented, and rewrites the text of a model with that indentation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from lsp_server.core.brackets import open_brackets
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.text import indent_width

TAB_COLUMNS = 4

# How many lines on either side of a place are read to find the style of indentation.
_LOOKED_AT = 150


@dataclass(frozen=True, slots=True)
class IndentStyle:
    """columns: the width of one level. tabs: whether levels are written with tabs, of `TAB_COLUMNS` each."""

    columns: int
    tabs: bool

    def indent(self, columns: int) -> str:
        if not self.tabs:
            return " " * columns
        return "\t" * (columns // TAB_COLUMNS) + " " * (columns % TAB_COLUMNS)


def style_around(document: DocumentSnapshot, line: int, language: Language) -> IndentStyle | None:
    """The style of the lines around `line`. If none of them is indented: the style of the language's formatter, or None
    if the language has none."""
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
    # In a file with tabs and spaces, the line itself decides.
    if own == b"\t" or (own != b" " and tabs > spaces):
        return IndentStyle(TAB_COLUMNS, tabs=True)
    return IndentStyle(steps.most_common(1)[0][0] if steps else 4, tabs=False)


def in_files_characters(text: str, left: str, style: IndentStyle) -> str:
    """`text`, which follows `left`, with its lines at the same depth but in tabs or spaces as in `style`. Used for
    languages without a grammar. The width of the first indentation in the text counts as one level."""
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
    """`text` for a language in which some lines must begin with a tab. above: the lines above the text, the nearest
    first. ended: whether the last line of the text is complete."""
    lines = text.split("\n")
    before = [line for line in islice(above, _LOOKED_AT) if line.strip()][::-1]
    base = 0
    for number, line in enumerate(lines):
        content = line.lstrip(" \t")
        width = indent_width(line.encode(), TAB_COLUMNS)
        whole = left + line if number == 0 else line
        is_begun = number == len(lines) - 1 and not ended and not width and not (left and number == 0)
        if is_begun and content and (number or not left.strip()):
            del lines[number]  # the indentation of an unfinished line is not known yet
        elif content and (number or not left.strip()) and _is_tabbed(content, bool(width or left), before, language):
            base = base or width or TAB_COLUMNS
            whole = "\t" * (1 + max(0, width - base) // TAB_COLUMNS) + content
            lines[number] = content if number == 0 and left else whole
        if whole.strip():
            before.append(whole)
    return "\n".join(lines)


def _is_tabbed(content: str, is_indented: bool, before: list[str], language: Language) -> bool:
    """Whether a line must begin with a tab. Lines that are neither a rule nor part of a recipe, such as conditions, may
    stand among the lines of a recipe."""
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
    """`text`, which is inserted after `left`, with the indentation of `style`.

    required: the indentation that the cursor's line needs, in columns; further white space at the start of the text is
    removed. Each line keeps its level relative to the lines above it. The width of a level is the file's; a level of
    the model's text is recognised only by a line that opens a block. For a prefix of the text the result is a prefix
    of the result for all of it.
    """
    lines = text.split("\n")
    own = indent_width(left.encode(), TAB_COLUMNS)
    first = lines[0].lstrip(" \t")
    lead = indent_width(lines[0].encode(), TAB_COLUMNS) if first and not left.strip() else 0
    if lead:
        lines[0] = style.indent(own + max(0, min(lead, required - own)))[len(style.indent(own)) :] + first
    # For each open level, the model's column and the file's column.
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
            # A continuation line that is aligned with something keeps its distance.
            moved = max(0, file + width - model)
            lines[number] = style.indent(moved) + content
            if width > model and not depth:
                levels.append((width, moved))
        depth = max(0, open_brackets("\n".join(lines[: number + 1]), language.quotes))
        before = content
    return "\n".join(lines)
