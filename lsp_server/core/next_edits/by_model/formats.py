"""The formats in which models are asked for the next edit, as data: the order of the parts, and how an answer ends.

Each model rewrites a window of whole lines around the cursor, and is shown the last edits. No GGUF key names the
format, so this is a table, and the entry for a model is chosen by its name.

Sources: the model cards of Sweep Next-Edit, Zeta 2 and Zeta 2.1, and of Instinct; the code of Zed (`zeta_prompt`) and
of Continue (`nextEdit`), which ask these models; Inception's page on next edits with Mercury. Their sections, markers
and order are kept, since the models were trained on them; the sentences are our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Part(Enum):
    """A place in a layout that is filled with text."""

    PATH = "path"  # the path of the document, or of the file of a hunk
    LINES = "lines"  # the numbers of the window's first and last line, from 1
    FILE = "file"  # the document around the window, as it was before the last edit
    BEFORE = "before"  # the text above the window
    AFTER = "after"  # the text below the window
    HISTORY = "history"  # the last edits, the latest last
    ORIGINAL = "original"  # the window as it was before the last edit
    CURRENT = "current"  # the window as it is, with a mark at the cursor
    NUMBERED = "numbered"  # the same with a numbered marker between its blocks
    OLD = "old"  # the old lines of a hunk
    NEW = "new"  # the new lines of a hunk
    DIFF = "diff"  # both as a diff, without a header


Layout = tuple[str | Part, ...]

# The start and the end of a numbered marker.
NUMBERED, NUMBERED_END = "<|marker_", "|>"


@dataclass(frozen=True, slots=True)
class EditFormat:
    """The edit format of one family of models.

    messages: the role and the layout of each message; a model that continues a text has one with an empty role.
    markers: the texts in a layout that are special tokens; all other texts are plain. hunk: the layout of one edit.
    heading, foot: texts around the edits, if there are any edits. cursor: the mark in the window. above, below: how
    many lines the window has above and below the cursor's line. hunks: how many of the last edits are shown. around:
    how many bytes of the document are shown above the window at most, and below it. lead: the beginning of the answer,
    which the prompt gives. ends: texts that end the answer. nothing: the answer that means "no edit". names: a pattern
    for the model's name; empty for a format without models of its own.
    """

    name: str
    messages: tuple[tuple[str, Layout], ...]
    hunk: Layout
    heading: Layout = ()
    foot: str = ""
    markers: tuple[str, ...] = ()
    cursor: str = ""
    above: int = 2
    below: int = 5
    hunks: int = 6
    around: int = 1500
    lead: str = ""
    ends: tuple[str, ...] = ()
    nothing: str = ""
    names: str = ""

    @property
    def is_chat(self) -> bool:
        """Whether the prompt consists of messages, which the model's own template formats."""
        return self.messages[0][0] != ""

    @property
    def is_numbered(self) -> bool:
        """Whether the answer names the markers of the window between which its text goes."""
        return any(Part.NUMBERED in layout for _, layout in self.messages)

    @property
    def own_texts(self) -> tuple[str, ...]:
        """Texts that must not occur in the window, because they would make the answer ambiguous."""
        return tuple(filter(None, (self.cursor, *self.ends, NUMBERED if self.is_numbered else "")))


_P, _L, _H = Part.PATH, Part.LINES, Part.HISTORY
_FILE_SEP = "<|file_sep|>"
_DIFF = ("--- a/", _P, "\n+++ b/", _P, "\n", Part.DIFF, "\n")

_SWEEP = EditFormat(
    "sweep",
    (
        (
            "",
            (
                *(_FILE_SEP, _P, "\n", Part.FILE, "\n", _H),
                *(_FILE_SEP, "original/", _P, ":", _L, "\n", Part.ORIGINAL, "\n"),
                *(_FILE_SEP, "current/", _P, ":", _L, "\n", Part.CURRENT, "\n"),
                *(_FILE_SEP, "updated/", _P, ":", _L, "\n"),
            ),
        ),
    ),
    hunk=(_FILE_SEP, _P, ".diff\noriginal:\n", Part.OLD, "\nupdated:\n", Part.NEW, "\n"),
    markers=(_FILE_SEP,),
    cursor="<|cursor|>",
    around=4500,
    ends=(_FILE_SEP, "<|endoftext|>"),
    names=r"sweep.*next.?edit|next.?edit.*sweep",
)

_SEED_CODER = ("<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>", "<filename>")


def _zeta(name: str, window: Layout, ends: tuple[str, ...], names: str) -> EditFormat:
    """The format of Zeta 2 and its successors: Seed-Coder's tokens, with the text after the window first."""
    suffix, prefix, middle, filename = _SEED_CODER
    layout = (suffix, Part.AFTER, "\n", prefix, _H, filename, _P, "\n", Part.BEFORE, *window, middle)
    return EditFormat(
        name,
        (("", layout),),
        hunk=_DIFF,
        heading=(filename, "edit_history\n"),
        foot="\n",
        markers=_SEED_CODER,
        cursor="<|user_cursor|>",
        above=15,
        below=15,
        around=900,
        ends=ends,
        nothing="NO_EDITS",
        names=names,
    )


_ZETA_2 = _zeta(
    "zeta-2",
    ("<<<<<<< CURRENT\n", Part.CURRENT, "\n=======\n"),
    (">>>>>>> UPDATED",),
    r"zeta.?2(?!\.?\d)",
)
_ZETA_2_1 = _zeta("zeta-2.1", (Part.NUMBERED, "\n"), ("<[end▁of▁sentence]>",), r"zeta.?2\.1")

_REGION = ("<|editable_region_start|>\n", Part.CURRENT, "\n<|editable_region_end|>\n")
_INSTINCT = EditFormat(
    "instinct",
    (
        (
            "system",
            (
                "You predict the next edit that a programmer makes in the code between <|editable_region_start|> and "
                '<|editable_region_end|>. "### User Edits:" has the last edits as diffs, "### User Excerpt:" the '
                "file around the cursor, which is at <|user_cursor_is_here|>. Answer with the new code of the editable "
                "region alone, without the tags. Do not undo the last edit.",
            ),
        ),
        (
            "user",
            (
                "Update the editable region as the programmer would next.\n\n### Context:\n\n\n### User Edits:\n\n",
                *(_H, "\n### User Excerpt:\n", _P, "\n\n", Part.BEFORE, *_REGION, Part.AFTER, "\n```\n### Response:"),
            ),
        ),
    ),
    hunk=('User edited file "', _P, '"\n\n```diff\n', Part.DIFF, "\n```\n"),
    cursor="<|user_cursor_is_here|>",
    above=1,
    below=5,
    ends=("<|editable_region_end|>",),
    names=r"\binstinct\b",
)

_MERCURY = EditFormat(
    "mercury",
    (
        (
            "user",
            (
                "<|recently_viewed_code_snippets|>\n\n<|/recently_viewed_code_snippets|>\n\n",
                *("<|current_file_content|>\ncurrent_file_path: ", _P, "\n", Part.BEFORE, "<|code_to_edit|>\n"),
                *(Part.CURRENT, "\n<|/code_to_edit|>\n", Part.AFTER, "\n<|/current_file_content|>\n\n"),
                *("<|edit_diff_history|>\n", _H, "<|/edit_diff_history|>\n"),
            ),
        ),
    ),
    hunk=("--- ", _P, "\n+++ ", _P, "\n@@ @@\n", Part.DIFF, "\n"),
    cursor="<|cursor|>",
    above=5,
    below=10,
    around=30_000,
    ends=("<|/code_to_edit|>",),
    names=r"\bmercury\b",
)

_INSTRUCT = EditFormat(
    "instruct",
    (
        (
            "system",
            (
                "You predict the next edit of a programmer. You are shown the last edits, and a part of a file as it "
                "is now. Answer with the whole part as it will be after the next edit, in one fence. Make the one "
                "change that follows from the last edits, or finishes what was begun at <|cursor|>. Leave all other "
                "lines as they are. If nothing follows, repeat the part unchanged.",
            ),
        ),
        (
            "user",
            (
                *(_P, ", above the part:\n```\n", Part.BEFORE, "```\nBelow the part:\n```\n", Part.AFTER, "\n```\n"),
                *("\nThe last edits, the latest last:\n", _H, "\nThe part:\n```\n", Part.CURRENT, "\n```\n"),
            ),
        ),
    ),
    hunk=("```diff\n--- a/", _P, "\n+++ b/", _P, "\n", Part.DIFF, "\n```\n"),
    cursor="<|cursor|>",
    above=12,
    below=20,
    lead="```\n",
    ends=("\n```",),
)

# The first format whose pattern matches the name is taken.
EDIT_FORMATS: tuple[EditFormat, ...] = (_SWEEP, _ZETA_2_1, _ZETA_2, _INSTINCT, _MERCURY, _INSTRUCT)
NAMES = tuple(form.name for form in EDIT_FORMATS)


def find_edit_format(name: str) -> EditFormat | None:
    """The format called `name` in the table."""
    return next((form for form in EDIT_FORMATS if form.name == name), None)


def edit_format_by_name(model_name: str, *, follows_instructions: bool) -> EditFormat | None:
    """The format of a model, by all its names. A model that was not made for next edits gets our own format if it
    follows instructions. None if no format is known to fit."""
    for form in EDIT_FORMATS:
        if form.names and re.search(form.names, model_name, re.IGNORECASE):
            return form
    return _INSTRUCT if follows_instructions and not _UNKNOWN.search(model_name) else None


# Names of models for next edits whose format is not in the table.
_UNKNOWN = re.compile(r"\bzeta\b|next.?edit|\bnes\b", re.IGNORECASE)
