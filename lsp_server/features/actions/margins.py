"""Changes the margin and the step of indentation of code, without changing lines inside multi-line strings."""

from __future__ import annotations

import textwrap
from math import gcd
from typing import Any

from lsp_server.core.languages import Language
from lsp_server.core.outline import root_of

# In these languages strings and blocks of text are not known reliably, so the step of indentation is not changed.
_TEXTS = frozenset({"Markdown", "TOML"})


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def indent_unit(lines: list[str]) -> str:
    """The step of indentation in `lines`: a tab or a number of spaces; empty if no line is indented."""
    widths = []
    for line in lines:
        if line.startswith("\t"):
            return "\t"
        if line.strip() and line[0] == " ":
            widths.append(len(indent_of(line)))
    step = gcd(*widths) if widths else 0
    return " " * step if step > 1 else ""


def held_lines(text: str, language: Language) -> frozenset[int]:
    """The lines of `text` that begin inside a string or comment whose text goes further left than the line where it
    begins. Such a text is not laid out with the code, so a change of its margin would change its content."""
    if "\n" not in text:
        return frozenset()
    kinds = language.strings | language.comments
    root = root_of(language, text.encode("utf-8", "replace"))
    lines = text.split("\n")
    found: set[int] = set()
    stack: list[Any] = [] if root is None else [root]
    while stack:
        node = stack.pop()
        first, last = node.start_point.row, node.end_point.row
        if first == last:
            continue
        if node.type not in kinds:
            stack.extend(node.children)
            continue
        apart = node.type == "heredoc_body" and not lines[first].encode()[: node.start_point.column].strip()
        begins = first if apart else first + 1
        rows = range(begins, min(last + 1, len(lines)))
        filled = [len(indent_of(lines[row])) for row in rows if lines[row].strip()]
        if filled and min(filled) < len(indent_of(lines[max(begins - 1, 0)])):
            found.update(rows)
    return frozenset(found)


def dedented(text: str, language: Language) -> str:
    """`text` without the indentation that all its lines share; lines inside strings are left as they are."""
    held = held_lines(text, language)
    if not held:
        return textwrap.dedent(text)
    lines = text.split("\n")
    code = [line for row, line in enumerate(lines) if row not in held and line.strip()]
    margin = min((indent_of(line) for line in code), key=len, default="")
    if not all(line.startswith(margin) for line in code):
        return text
    return "\n".join(
        line if row in held else (line[len(margin) :] if line.strip() else "") for row, line in enumerate(lines)
    )


def shifted(text: str, language: Language, base: str) -> str:
    """`text` with `base` before each line; blank lines and lines inside strings are left as they are."""
    held = held_lines(text, language)
    return "\n".join(
        line if row in held or not line.strip() else base + line for row, line in enumerate(text.split("\n"))
    )


def reindented(text: str, language: Language, unit: str, base: str) -> str:
    """`text` with its own step of indentation replaced by `unit`, and with `base` before all lines but the first."""
    text = dedented(text, language)
    held = held_lines(text, language)
    lines = text.split("\n")
    own = indent_unit([line for row, line in enumerate(lines) if row not in held])
    if language.wheel is None or language.name in _TEXTS:
        own = unit
    if own and own != unit and (own == "\t" or unit == "\t" or len(own) != len(unit)):
        lines = [line if row in held else _rescaled(line, own, unit) for row, line in enumerate(lines)]
    return "\n".join(
        line if row == 0 or row in held else (base + line if line.strip() else "") for row, line in enumerate(lines)
    )


def _rescaled(line: str, own: str, unit: str) -> str:
    indent = indent_of(line).replace("\t", own if own != "\t" else "\t")
    levels, rest = divmod(len(indent), len(own))
    return unit * levels + " " * rest + line.lstrip() if line.strip() else ""
