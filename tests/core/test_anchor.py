"""Anchors: what stays of a prompt while the user types, edits elsewhere and comes back; and that it is never wrong."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.anchor import REMEMBERED, SUFFIX_LINES, AnchorBook
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import TYPED_LIMIT_BYTES, find_hole
from lsp_server.core.prompt import SHORT_SUFFIX_BYTES, Anchor, FimPrompt, PromptBudget, lay_out
from tests.support.cursor import parse_cursor
from tests.support.formats import format_named

BUDGET = PromptBudget(before=1200, after=600)
PSM, SPM, PLAIN = "qwen", "codestral", "prefix-only"  # the last two show the suffix first


class Editor:
    """A document, a cursor and a book of anchors."""

    def __init__(self, source: str, form: str = PSM) -> None:
        self.form = format_named(form)
        self.document, self.cursor = parse_cursor(source)
        self.book = AnchorBook()

    def type(self, text: str) -> None:
        """Inserts at the cursor."""
        self.replace(self.cursor, self.cursor, text.encode())
        self.cursor += len(text.encode())

    def replace(self, start: int, end: int, new: bytes) -> None:
        """An edit anywhere; a cursor behind it stays at its text."""
        self.document = self.document.edited(start, end, new)
        if end <= self.cursor and start != self.cursor:
            self.cursor += len(new) - (end - start)

    def substitute(self, old: str, new: str) -> None:
        start = self.document.source.index(old.encode())
        self.replace(start, start + len(old.encode()), new.encode())

    def go_behind(self, text: str) -> None:
        self.cursor = self.document.source.index(text.encode()) + len(text.encode())

    def anchor(self) -> Anchor:
        """The anchor that a key is answered from; the prompt is checked against the document."""
        anchor = self.book.choose(self.document, find_hole(self.document, self.cursor), self.form, BUDGET)
        check_prompt(self, anchor)
        return anchor

    def at_rest(self) -> Anchor | None:
        return self.book.at_rest(self.document, find_hole(self.document, self.cursor), self.form, BUDGET)

    def prompt(self) -> FimPrompt:
        return lay_out(self.document, self.anchor(), self.cursor, self.form)


def check_prompt(editor: Editor, anchor: Anchor) -> None:
    """What the prompt shows as the text before the cursor is that, and what it shows behind stands below it."""
    document, cursor, form = editor.document, editor.cursor, editor.form
    source = document.source
    assert anchor.uri == document.uri
    assert 0 <= anchor.start <= anchor.offset <= cursor
    prompt = lay_out(document, anchor, cursor, form)
    note = b"" if form.has_path or not form.has_fim else b"# main.py\n"
    assert prompt.text("before") + prompt.text("typed") == note + anchor.head + source[anchor.start : cursor]
    assert len(prompt.text("typed")) <= TYPED_LIMIT_BYTES + 3
    assert len(anchor.before) <= BUDGET.before * 5 // 4
    assert len(anchor.after) <= BUDGET.after
    if form.has_fim:
        assert prompt.text("after") == anchor.after
    end = document.line_end(document.line_at(cursor))
    if not anchor.after:
        assert not source[end:].strip()
        return
    below = source.find(anchor.after, end)
    assert below >= end, "the frozen suffix is not below the cursor"
    assert source[cursor:below].count(b"\n") <= SUFFIX_LINES
    assert source[below : below + 1] in (b"\n", b"\r"), "it begins inside a line"


def same(first: Anchor, second: Anchor) -> bool:
    """Whether nothing of what they froze differs."""
    return (first.head, first.before, first.after) == (second.head, second.before, second.after)


def lines(first: int, last: int) -> str:
    return "".join(f"value_{number:03} = compute({number})\n" for number in range(first, last))


SHORT_FILE = f"import os\n\n\n{lines(0, 5)}$0\n{lines(5, 9)}"
LONG_FILE = f"import os\n\n\n{lines(0, 100)}$0\n{lines(100, 200)}"

# Typing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SHORT_FILE, LONG_FILE], ids=["short", "long"])
@pytest.mark.parametrize("form", [PSM, "starcoder2", "deepseek"])
def test_while_the_user_types_only_what_was_typed_changes(form: str, source: str) -> None:
    editor = Editor(source, form)
    first, before = editor.anchor(), editor.prompt()
    offset = editor.cursor
    for character in "def größe(self):\n    total = 0\n    return self.länge":
        editor.type(character)
        assert same(editor.anchor(), first)
        prompt = editor.prompt()
        assert [s for s in prompt.segments if s.kind != "typed"] == [s for s in before.segments if s.kind != "typed"]
        assert prompt.text("typed") == editor.document.source[offset : editor.cursor]
    assert len(editor.book) == 1


@pytest.mark.parametrize("source", [SHORT_FILE, LONG_FILE], ids=["short", "long"])
@pytest.mark.parametrize("form", [SPM, PLAIN])
def test_while_the_user_types_only_the_end_of_a_suffix_first_prompt_grows(form: str, source: str) -> None:
    editor = Editor(source, form)
    start, last = editor.anchor().start, editor.prompt()
    for character in "def größe(self):\n    total = 0\n    return self.länge":
        editor.type(character)
        prompt = editor.prompt()
        assert editor.anchor().start == start
        assert prompt.text("after") == last.text("after")
        assert prompt.text("path") == last.text("path")
        shown, shown_last = (p.text("before") + p.text("typed") for p in (prompt, last))
        assert shown == shown_last + character.encode()
        last = prompt
    assert b"\n" not in last.text("typed"), "a finished line is text before the hole"
    assert len(editor.book) == 1


@pytest.mark.parametrize(("typed", "holds"), [(TYPED_LIMIT_BYTES, True), (TYPED_LIMIT_BYTES + 1, False)])
def test_an_anchor_holds_for_so_much_typed_text(typed: int, holds: bool) -> None:
    editor = Editor(LONG_FILE)
    first = editor.anchor()
    editor.type(("x = 1\n" * TYPED_LIMIT_BYTES)[:typed])
    assert same(editor.anchor(), first) == holds


@pytest.mark.parametrize("form", [SPM, PLAIN])
def test_a_suffix_first_window_moves_before_it_is_too_large(form: str) -> None:
    """Line after line is typed: the start stays for long, and when it moves it moves far."""
    editor = Editor(LONG_FILE, form)
    starts = []
    for number in range(150):
        editor.type(f"value_{number} = {number}\n")
        starts.append(editor.anchor().start)
    moves = [after - before for before, after in zip(starts, starts[1:], strict=False) if after != before]
    assert starts == sorted(starts)
    assert 2 <= len(moves) <= 15
    assert min(moves) >= BUDGET.before // 4


# Edits elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
@pytest.mark.parametrize("between", [0, 1, SUFFIX_LINES, SUFFIX_LINES + 1, 3 * SUFFIX_LINES])
def test_the_frozen_suffix_holds_while_it_stands_near_enough(form: str, between: int) -> None:
    editor = Editor(LONG_FILE, form)
    after = editor.anchor().after
    editor.replace(editor.cursor, editor.cursor, b"\n#" * between)  # below the cursor, in front of the suffix
    now = editor.anchor().after
    assert (now == after) == (between <= SUFFIX_LINES)
    assert now.startswith(b"\n#") == (between > SUFFIX_LINES)


@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
@pytest.mark.parametrize(
    ("old", "new"), [("import os", "import os, sys"), ("value_003 = compute(3)\n", ""), ("value_003", "größe")]
)
def test_an_edit_above_the_window_shifts_it(form: str, old: str, new: str) -> None:
    editor = Editor(LONG_FILE, form)
    first, before = editor.anchor(), editor.prompt()
    assert first.start > editor.document.source.index(b"value_010")
    editor.substitute(old, new)
    second = editor.anchor()
    growth = len(new.encode()) - len(old)
    assert (second.start, second.offset) == (first.start + growth, first.offset + growth)
    assert editor.prompt() == before
    editor.type("x")
    assert same(editor.anchor(), first)
    assert len(editor.book) == 1


@pytest.mark.parametrize(
    ("form", "old", "holds"),
    [
        pytest.param(PSM, "value_099", False, id="in the line above"),
        pytest.param(PSM, "value_090", False, id="inside the window"),
        pytest.param(PSM, "value_101", False, id="inside the suffix"),
        pytest.param(PSM, "value_190", True, id="far below the suffix"),
        pytest.param(SPM, "value_101", False, id="suffix first, inside the suffix"),
        pytest.param(SPM, "value_190", True, id="suffix first, far below the suffix"),
        pytest.param(SPM, "value_090", True, id="suffix first, inside the window: its text grows at no cost"),
        pytest.param(PLAIN, "value_101", False, id="no markers, inside the suffix"),
        pytest.param(PLAIN, "value_090", True, id="no markers, inside the window"),
    ],
)
@pytest.mark.parametrize("new", ["", "v", "value_000", "größe_größe_größe"])
def test_an_edit_of_what_is_shown(form: str, old: str, holds: bool, new: str) -> None:
    """The checks of `anchor` say that the prompt has the new text; here, whether the old anchor is kept."""
    editor = Editor(LONG_FILE, form)
    first = editor.anchor()
    editor.substitute(old, new)
    second = editor.anchor()
    assert (len(editor.book) == 1) == holds
    assert first.after.startswith(second.after) == (holds or old < "value_100")


@pytest.mark.parametrize("form", [SPM, PLAIN])
def test_an_edit_at_the_beginning_of_a_suffix_first_window_moves_it(form: str) -> None:
    editor = Editor(LONG_FILE, form)
    first = editor.anchor()
    editor.replace(first.start + 3, first.start + 9, b"")
    editor.anchor()
    assert len(editor.book) == 2


@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
def test_an_undone_edit_finds_the_anchor_of_before(form: str) -> None:
    editor = Editor(LONG_FILE, form)
    before = editor.prompt()
    for name in ("value_101", "value_099"):
        editor.substitute(name, "other")
        editor.anchor()
        editor.substitute("other", name)
        assert editor.prompt() == before


@pytest.mark.parametrize("source", ["$0", "# $0", "\n$0", "x = 1\n$0\n\n"])
@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
def test_what_was_pasted_in_front_of_the_cursor_is_shown(form: str, source: str) -> None:
    """An anchor made where nothing stood must not leave out all that has come since."""
    editor = Editor(source, form)
    editor.anchor()
    editor.type(("#" if source == "# $0" else "") + "\n" + lines(0, 60) + "x = 1\n")
    shown = editor.prompt()
    text = shown.text("before") + shown.text("typed")
    assert text.count(b"compute") >= BUDGET.before // 4 // len(lines(0, 1))


def test_an_anchor_belongs_to_its_document() -> None:
    editor = Editor(LONG_FILE)
    first = editor.anchor()
    editor.document = DocumentSnapshot.of("file:///copy.py", editor.document.source, path="main.py")
    assert editor.anchor().uri == "file:///copy.py" != first.uri
    assert len(editor.book) == 2


# Coming back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
def test_going_back_finds_the_earlier_anchor(form: str) -> None:
    editor = Editor(LONG_FILE, form)
    there = "value_180 = compute(180)"
    first = editor.prompt()
    editor.go_behind(there)
    second = editor.prompt()
    assert second != first
    editor.type(" + 1")
    changed = editor.prompt()
    editor.go_behind(lines(99, 100))
    assert editor.prompt() == first
    editor.go_behind(there + " + 1")
    assert editor.prompt() == changed
    assert len(editor.book) == 2


def test_the_anchors_are_bounded_and_the_latest_are_kept() -> None:
    editor = Editor(LONG_FILE)
    places = [f"value_{number:03} = compute({number})" for number in range(0, 200, 4)]
    made = []
    for place in places:
        editor.go_behind(place)
        made.append(editor.anchor())
        assert len(editor.book) <= REMEMBERED
    assert len(editor.book) == REMEMBERED
    for place, anchor in list(zip(places, made, strict=True))[-REMEMBERED:]:
        editor.go_behind(place)
        assert same(editor.anchor(), anchor)
    assert not any(same(anchor, made[0]) for anchor in editor.book._anchors), "the oldest is still there"
    for _ in range(3 * REMEMBERED):
        editor.book.adopt(made[0])
    assert len(editor.book) == REMEMBERED


# At rest -------------------------------------------------------------------------------------------------


def test_a_cold_window_gets_the_whole_suffix() -> None:
    anchor = Editor(LONG_FILE).anchor()
    assert not anchor.short
    assert SHORT_SUFFIX_BYTES < len(anchor.after) <= BUDGET.after


def test_the_suffix_of_a_new_place_is_short_first_and_whole_at_rest() -> None:
    editor = Editor(LONG_FILE)
    editor.anchor()
    editor.substitute("value_099", "other_099")
    short = editor.anchor()
    assert short.short
    assert 0 < len(short.after) <= SHORT_SUFFIX_BYTES
    whole = editor.at_rest()
    assert whole is not None
    assert not whole.short
    assert SHORT_SUFFIX_BYTES < len(whole.after) <= BUDGET.after
    assert whole.after.startswith(short.after)
    assert (whole.before, whole.head, whole.offset) == (short.before, short.head, short.offset)
    assert same(editor.anchor(), short), "it is in use before it has been evaluated"
    editor.book.adopt(whole)
    assert editor.at_rest() is None, "there is nothing better"
    for character in "return\n    x":
        editor.type(character)
        assert same(editor.anchor(), whole)


def test_rest_brings_the_anchor_to_the_cursors_line() -> None:
    editor = Editor(LONG_FILE)
    far = editor.anchor()
    editor.type("one = 1\ntwo = 2\nthree")
    near = editor.at_rest()
    assert near is not None
    assert near.offset == far.offset + len("one = 1\ntwo = 2\n")
    check_prompt(editor, near)
    editor.book.adopt(near)
    assert same(editor.anchor(), near)
    editor.type(" = 3")
    assert same(editor.anchor(), near)
    editor.cursor = far.offset
    assert same(editor.anchor(), far), "in front of the nearer anchor, the earlier one is still the right one"


@pytest.mark.parametrize(("form", "source"), [(SPM, LONG_FILE), (PLAIN, LONG_FILE), (PSM, SHORT_FILE)])
def test_where_rest_has_nothing_better(form: str, source: str) -> None:
    """Where the suffix stands first it is whole at once; a short file's is short anyway."""
    editor = Editor(source, form)
    anchor = editor.anchor()
    assert not anchor.short
    assert len(anchor.after) > BUDGET.after - 30 or source is SHORT_FILE
    assert editor.at_rest() is None
    assert same(editor.anchor(), anchor)


# Random sessions -----------------------------------------------------------------------------------------

INSERTED = (
    "a",
    "x",
    "(",
    " ",
    "é",
    "😀",
    "\n",
    "\n    ",
    "value_007 = compute(7)\n",
    "# \r\n",
    "語" * 300,
    lines(0, 30),
)


@pytest.mark.parametrize("form", [PSM, SPM, PLAIN])
@pytest.mark.parametrize("seed", range(4))
def test_random_sessions_show_what_the_document_says(form: str, seed: int) -> None:
    """`Editor.anchor` checks each prompt against the document."""
    rng = random.Random(f"{form} {seed}")
    editor = Editor(rng.choice([SHORT_FILE, LONG_FILE, "$0"]), form)
    kept = 0
    for _ in range(500):
        event = rng.random()
        source = editor.document.source
        if event < 0.6:
            editor.type(rng.choice(INSERTED[:8]) if rng.random() < 0.96 else rng.choice(INSERTED))
        elif event < 0.7 and editor.cursor > 0:
            start = len(source[: editor.cursor].decode()[: -rng.choice([1, 1, 1, 20])].encode())
            editor.replace(start, editor.cursor, b"")
            editor.cursor = start
        elif event < 0.8:
            text = source.decode()
            start = rng.randrange(len(text) + 1)
            end = min(len(text), start + rng.choice([0, 0, 1, 30]))
            start, end = len(text[:start].encode()), len(text[:end].encode())
            if not start < editor.cursor < end:
                editor.replace(start, end, rng.choice(INSERTED).encode())
        elif event < 0.9:
            line = rng.randrange(editor.document.line_count)
            editor.cursor = editor.document.line_end(line)
        else:
            better = editor.at_rest()
            if better is not None:
                check_prompt(editor, better)
                editor.book.adopt(better)
                assert same(editor.anchor(), better)
        editor.cursor = find_hole(editor.document, editor.cursor).cursor
        before = list(editor.book._anchors)
        anchor = editor.anchor()
        kept += any(same(anchor, other) or (form != PSM and anchor.after == other.after) for other in before)
        assert len(editor.book) <= REMEMBERED
    assert kept > 250, "hardly any anchor held"
