"""Which parts of other buffers a prompt shows, and that what it shows stays while the user types."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from lsp_server.core import context as context_module
from lsp_server.core.context import (
    MOST_BUFFERS,
    MOST_BYTES,
    REMEMBERED,
    ContextBook,
    PieceIndex,
    choose_context,
    is_source,
    may_show,
    prompt_budget,
)
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FORMATS
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.pieces import Piece
from lsp_server.core.prompt import NO_CONTEXT, Context, PromptBudget, piece_size
from tests.support.cursor import parse_cursor
from tests.support.formats import format_named

AMPLE = 100_000
PROMPT_BYTES = 6000
SHAPES = "class Circle:\n    def area(self):\n        return 3\n\n\ndef unit_square():\n    return 1\n"
COLOURS = "class Colour:\n    name: str = 'red'\n\n\ndef mix_colours(first, second):\n    return first\n"


def buffer(path: str, source: str, **options: Any) -> DocumentSnapshot:
    return DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path, folder="w", **options)


def place(source: str) -> tuple[DocumentSnapshot, Hole]:
    document, cursor = parse_cursor(source)
    return document, find_hole(document, cursor)


def choose(source: str, *buffers: DocumentSnapshot, budget: int = AMPLE, held: Context = NO_CONTEXT) -> Context:
    document, hole = place(source)
    return choose_context(document, hole, PieceIndex().pieces(buffers), budget, held, PROMPT_BYTES)


def names(context: Context) -> list[str]:
    return [" ".join(sorted(piece.defines)) for piece in context.pieces]


# What is relevant --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from shapes import Circle\n$0", ["Circle"], id="what is imported"),
        pytest.param("x = unit_square() + $0", ["unit_square"], id="what is used near the cursor"),
        pytest.param("thing.area() + $0", ["Circle"], id="what has a member of that name"),
        pytest.param("area = 3\n$0", [], id="but only where it is used behind a dot"),
        pytest.param("x = mix_colours(Circle(), $0", ["Circle", "mix_colours"], id="of two files"),
        pytest.param("class Circle:\n    $0", [], id="not what the document defines itself"),
        pytest.param("nothing_of_it = $0", [], id="nothing"),
    ],
)
def test_what_is_chosen(source: str, expected: list[str]) -> None:
    chosen = choose(source, buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS))
    assert sorted(names(chosen)) == expected


@pytest.mark.parametrize("path", ["shapes.py", "shapes/__init__.py"])
def test_of_two_that_fit_the_imported_files_is_shown(path: str) -> None:
    theirs, mine = buffer("a.py", "def make(size):\n    pass\n"), buffer(path, "def make(size):\n    pass\n")
    chosen = choose("from shapes import *\nmake($0", theirs, mine, budget=60)
    assert [piece.path for piece in chosen.pieces] == [path]


def test_near_the_cursor_counts_more_than_far_away() -> None:
    far = "unit_square()\n" + "x = 1\n" * 1000
    both = buffer("shapes.py", "def unit_square():\n    return 1\n\n\ndef unit_circle():\n    return 2\n")
    assert names(choose(far + "unit_circle($0", both, budget=60)) == ["unit_circle"]
    assert names(choose("unit_circle()\n" + "x = 1\n" * 1000 + "unit_square($0", both, budget=60)) == ["unit_square"]


def test_a_rare_name_counts_more_than_a_common_one() -> None:
    common = [buffer(f"m{n}.py", f"def helper_{n}(config):\n    return config\n") for n in range(8)]
    rare = buffer("rare.kt", "val quaternion = rotation_of(axis_angle, config)\n")
    chosen = choose("config = quaternion = rotation_of(axis_angle($0", *common, rare, budget=70)
    assert [piece.path for piece in chosen.pieces] == ["rare.kt"]


def test_without_a_grammar_blocks_are_found_by_the_names_they_share() -> None:
    text = (
        "fun roll(sides: Int) = random_below(sides)\n"
        + "\n" * 3
        + "// "
        + "unrelated words " * 40
        + "\n\n\nval z = 1\n"
    )
    chosen = choose("random_below(roll($0", buffer("dice.kt", text))
    assert [b"roll" in piece.text for piece in chosen.pieces] == [True]


def test_the_pieces_of_a_file_stand_together_in_its_order() -> None:
    chosen = choose(
        "mix_colours(unit_square(), Circle(), Colour($0", buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS)
    )
    paths = [piece.path for piece in chosen.pieces]
    assert sum(a != b for a, b in pairwise(paths)) == 1
    for first, second in pairwise(chosen.pieces):
        assert first.path != second.path or first.offset < second.offset
    assert len(paths) == 4


@pytest.mark.parametrize("budget", [0, 20, 60, 100, 150, 1000])
def test_the_budget_holds(budget: int) -> None:
    chosen = choose(
        "mix_colours(unit_square(), Circle(), Colour($0",
        *(buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS)),
        budget=budget,
    )
    assert chosen.size <= budget
    assert bool(chosen.pieces) == (budget >= 60)


def test_choosing_is_a_function_of_what_it_is_given() -> None:
    buffers = [buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS)]
    source = "mix_colours(unit_square(), Circle(), Colour($0"
    assert choose(source, *buffers) == choose(source, *buffers)


# What is never shown -----------------------------------------------------------------------------------------

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"


@pytest.mark.parametrize(
    ("path", "source", "shown"),
    [
        ("shapes.py", SHAPES, True),
        ("src/deep/shapes.rs", "fn f() {}", True),
        (".env", "A=1", False),
        (".env.local", "A=1", False),
        ("prod.env", "A=1", False),
        ("config/Secrets.py", "A = 1", False),
        ("aws_credentials.ts", "const a = 1", False),
        ("id_rsa", "abc", False),
        ("server.key", "abc", False),
        ("prod.tfvars", "a = 1", False),
        ("keys.py", f"A = '''{KEY}'''", False),
        ("keys.py", "TOKEN = 'ghp_" + "a" * 36 + "'", False),
        ("keys.py", "AWS = 'AKIA" + "A" * 16 + "'", False),
        ("notes.md", "# circle\n", False),
        ("data.json", "{}", False),
        ("output.log", "circle", False),
        ("bundle.min.js", "var a=1;" * 100, False),
        ("blob.py", "a = 1\0\n", False),
        ("generated.py", "x = 1\n" * (MOST_BYTES // 6 + 1), False),
        ("main.py", SHAPES, True),
    ],
)
def test_what_may_be_shown(path: str, source: str, shown: bool) -> None:
    document, hole = place("from shapes import Circle\nconfig = $0")
    found = buffer(path, source)
    assert (may_show(found, document) and is_source(found)) == shown
    if not shown:
        book = ContextBook()
        assert book.choose(document, hole, AMPLE, [found]) == Context((), document.folder)


def test_what_lies_in_no_folder_is_not_shown() -> None:
    document, _ = place("x = $0")
    outside = DocumentSnapshot.of("file:///home/u/notes.py", SHAPES.encode(), path="notes.py")
    assert not may_show(outside, document)
    assert may_show(replace(outside, folder="w"), document)


@pytest.mark.parametrize("uri", ["git:/w/other.py", "output:tasks", "vscode-userdata:/settings.py"])
def test_only_files_and_unsaved_ones_are_shown(uri: str) -> None:
    document, _ = place("x = $0")
    assert not may_show(DocumentSnapshot.of(uri, SHAPES.encode(), path="other.py"), document)
    assert may_show(DocumentSnapshot.of("untitled:one", SHAPES.encode(), path="one.py"), document)


def test_the_document_is_not_its_own_context() -> None:
    document, _ = place("x = $0")
    assert not may_show(document, document)
    twin = DocumentSnapshot.of("file:///other/name.py", document.source, path=document.path, folder=document.folder)
    assert not may_show(twin, document)


def test_data_is_shown_beside_data_of_its_own_kind() -> None:
    compose = DocumentSnapshot.of("file:///w/a.yaml", b"a: 1\n", path="a.yaml", language_id="yaml")
    other = buffer("b.yaml", "b: 1\n", language_id="yaml")
    assert may_show(other, compose)
    assert not may_show(buffer("b.yaml", "b: 1\n"), place("x = $0")[0])


# Time and memory ---------------------------------------------------------------------------------------------


class Parsing:
    """Counts what is parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uris: list[str] = []
        pieces_of = context_module.pieces_of

        def counted(document: DocumentSnapshot) -> tuple[Piece, ...]:
            self.uris.append(document.uri)
            return pieces_of(document)

        monkeypatch.setattr(context_module, "pieces_of", counted)


def test_a_version_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing = Parsing(monkeypatch)
    index, buffers = PieceIndex(), [buffer("a.py", SHAPES), buffer("b.py", COLOURS)]
    first = index.pieces(buffers)
    assert index.pieces(buffers) == first
    assert len(parsing.uris) == 2
    buffers[1] = buffers[1].edited(0, 0, b"x = 1\n")
    assert len(index.pieces(buffers)) == len(first) + 1
    assert parsing.uris[2:] == [buffers[1].uri]
    assert index.pieces(buffers[:1]) == [piece for piece in first if piece.path == "a.py"]


def test_what_is_parsed_at_once_is_bounded_and_the_rest_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "PARSED_BYTES", 2 * len(SHAPES))
    parsing = Parsing(monkeypatch)
    index, buffers = PieceIndex(), [buffer(f"{n}.py", SHAPES) for n in range(5)]
    counts = []
    for _ in range(4):
        index.pieces(buffers)
        counts.append(len(parsing.uris))
    assert counts == [2, 4, 5, 5]
    assert parsing.uris == [b.uri for b in buffers], "the most recent first"


def test_no_more_buffers_than_the_limit_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing = Parsing(monkeypatch)
    document, hole = place("x = $0")
    secret = buffer(".env", "A=1")
    ContextBook().choose(document, hole, AMPLE, [secret, *(buffer(f"{n}.py", SHAPES) for n in range(50))])
    assert len(parsing.uris) == MOST_BUFFERS


def test_without_a_budget_nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing = Parsing(monkeypatch)
    document, hole = place("x = Circle($0")
    book = ContextBook()
    assert book.choose(document, hole, 0, [buffer("a.py", SHAPES)]).pieces == ()
    assert book.at_rest(document, hole, 0, [buffer("a.py", SHAPES)], PROMPT_BYTES) is None
    assert parsing.uris == []


def test_the_contexts_are_bounded() -> None:
    book = ContextBook()
    _, hole = place("x = $0")
    for number in range(3 * REMEMBERED):
        book.choose(buffer(f"{number}.py", "x = "), hole, AMPLE, [])
    assert len(book) == REMEMBERED


# What stays --------------------------------------------------------------------------------------------------


class Editor:
    """A document and its context, with other buffers that come, go and change."""

    def __init__(self, source: str, *buffers: DocumentSnapshot, budget: int = AMPLE) -> None:
        self.document, self.cursor = parse_cursor(source)
        self.buffers = list(buffers)
        self.budget = budget
        self.book = ContextBook()

    def held(self) -> Context:
        return self.book.choose(self.document, find_hole(self.document, self.cursor), self.budget, self.buffers)

    def type(self, text: str) -> None:
        self.document = self.document.edited(self.cursor, self.cursor, text.encode())
        self.cursor += len(text.encode())

    def rest(self, *, evaluated: bool = True) -> Context | None:
        hole = find_hole(self.document, self.cursor)
        found = self.book.at_rest(self.document, hole, self.budget, self.buffers, PROMPT_BYTES)
        if found is not None and evaluated:
            self.book.adopt(self.document.uri, found)
        return found


def test_the_context_stays_while_the_user_types_whatever_becomes_of_the_buffers() -> None:
    editor = Editor("from shapes import Circle\n$0", buffer("shapes.py", SHAPES))
    first = editor.held()
    assert names(first) == ["Circle"]
    editor.buffers = [buffer("colours.py", COLOURS)]
    for character in "mix_colours(Colour(unit_square(":
        editor.type(character)
        assert editor.held() is first


def test_at_rest_new_pieces_come_behind_those_that_stay() -> None:
    editor = Editor("from shapes import Circle\n$0", buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS))
    first = editor.held()
    editor.type("x = Colour(mix_colours(")
    assert editor.rest() is not None
    assert editor.held().pieces[: len(first.pieces)] == first.pieces
    assert names(editor.held())[1:] == ["Colour", "mix_colours"]
    assert editor.rest() is None, "it changes again although nothing else did"


def test_a_context_is_used_only_once_it_has_been_evaluated() -> None:
    editor = Editor("from shapes import Circle\n$0", buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS))
    first = editor.held()
    editor.type("x = Colour(mix_colours(")
    wanted = editor.rest(evaluated=False)
    assert editor.held() is first
    editor.type("first")
    assert editor.rest(evaluated=False) == wanted, "what was evaluated of it would be thrown away"


def test_too_small_a_gain_is_not_worth_a_prompt() -> None:
    editor = Editor(
        "from shapes import Circle, unit_square\nx = Circle(unit_square($0",
        *(buffer("shapes.py", SHAPES), buffer("colours.py", "HUE = 1\n")),
    )
    first = editor.held()
    editor.type("x, ")
    assert editor.rest() is None
    editor.type("HUE")
    assert editor.rest() is None, "a constant more, for six thousand bytes evaluated again"
    assert editor.held() is first


def test_a_piece_that_has_changed_is_replaced_at_rest_if_it_matters() -> None:
    editor = Editor("from shapes import Circle\nCircle($0", buffer("shapes.py", SHAPES))
    stale = editor.held()
    editor.buffers = [buffer("shapes.py", SHAPES.replace("area(self)", "area(self, scale)"))]
    assert editor.held() is stale
    fresh = editor.rest()
    assert fresh is not None
    assert b"scale" in fresh.pieces[0].text
    editor.buffers = [buffer("shapes.py", "x = 1\n" + editor.buffers[0].source.decode())]
    assert editor.rest() is None, "it only moved"


def test_what_comes_from_a_file_that_is_gone_goes_at_rest() -> None:
    shapes, colours = buffer("shapes.py", SHAPES), buffer("colours.py", "def hue(): pass\n")
    editor = Editor("from shapes import Circle, unit_square\nCircle(unit_square(hue($0", shapes, colours)
    assert len(editor.held().pieces) == 3
    editor.buffers = [shapes]
    editor.rest()
    assert {piece.path for piece in editor.held().pieces} == {"shapes.py"}
    editor.buffers = []
    assert editor.rest() == Context((), "")


def test_a_full_budget_gives_up_its_tail_for_something_better() -> None:
    many = "\n\n".join(f"def helper_{n}(value):\n    return value" for n in range(6)) + "\n"
    editor = Editor("helper_0(helper_1(helper_2($0", buffer("many.py", many), budget=200)
    first = editor.held()
    assert names(first) == ["helper_0", "helper_1", "helper_2"]
    editor.document, editor.cursor = parse_cursor("helper_0(helper_4(helper_5($0")
    editor.rest()
    assert names(editor.held()) == ["helper_0", "helper_4", "helper_5"]
    assert editor.held().pieces[0] is first.pieces[0]


@pytest.mark.parametrize("seed", range(6))
def test_random_sessions(seed: int) -> None:
    """Whatever is opened, closed, edited and typed: the context changes at rest only, fits, shows the text of
    buffers that may be shown, and settles when nothing more happens."""
    rng = random.Random(seed)
    words = [f"name_{n}" for n in range(30)]

    def source() -> str:
        bodies = (
            f"def {rng.choice(words)}({rng.choice(words)}):\n    return {rng.choice(words)}"
            for _ in range(rng.randrange(6))
        )
        return "\n\n\n".join(bodies) + "\n"

    editor = Editor("import name_1\n$0", budget=rng.choice([0, 100, 300, 2000]))
    ever: set[tuple[str, bytes]] = set()
    for _ in range(150):
        action = rng.randrange(5)
        before = editor.held()
        if action == 0:
            editor.buffers.insert(0, buffer(f"{rng.randrange(8)}.py", source()))
            uri = editor.buffers[0].uri
            editor.buffers[1:] = [b for b in editor.buffers[1:] if b.uri != uri]
        elif action == 1 and editor.buffers:
            del editor.buffers[rng.randrange(len(editor.buffers))]
        elif action == 2:
            editor.type(f"{rng.choice(words)}(")
        elif action == 3:
            editor.buffers.append(buffer(".env", f"SECRET = {rng.choice(words)}\n"))
        ever |= {(b.uri, b.source) for b in editor.buffers}
        assert editor.held() is before
        if action == 4:
            interrupted = rng.random() < 0.3
            changed = editor.rest(evaluated=not interrupted)
            assert interrupted or editor.rest() is None, "it does not settle"
            if changed is not None and not interrupted:
                present = {b.uri for b in editor.buffers}
                assert {piece.uri for piece in editor.held().pieces} <= present
        held = editor.held()
        assert held.size <= editor.budget
        assert len(set(held.pieces)) == len(held.pieces)
        for piece in held.pieces:
            assert any(uri == piece.uri and piece.text in text for uri, text in ever)
            assert b"SECRET" not in piece.text


# The budget of a prompt --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_window_beside_the_context_is_large_enough(form: Any) -> None:
    """With the default of 2,560 tokens, at least 1,000 before the hole and 200 behind it: the window's start
    moves by a quarter of what it may show, and source code has 3.5 bytes a token."""
    budget = prompt_budget(form, 2560)
    least = budget.beside(budget.context)
    assert least.before * 3 // 4 >= 3456
    assert least.after >= 700
    assert budget.beside(0) == budget
    most = least.before + least.before // 8 + least.after + 800 + budget.context
    assert most <= 3.4 * (2560 - 64), "the whole may not fit, and the context would be cut while the user types"


@pytest.mark.parametrize(("asked", "bytes"), [(-1, 1152), (0, 0), (100, 300), (100_000, 3840)])
def test_what_the_user_asks_for_is_bounded_by_half_of_the_window(asked: int, bytes: int) -> None:
    form = format_named("qwen")
    budget = prompt_budget(form, 2560, asked)
    assert budget.context == bytes
    assert 0 < budget.beside(bytes).before <= budget.before


def test_a_pieces_size_counts_its_path() -> None:
    (piece,) = PieceIndex().pieces([buffer("größe.py", "x = 1\n")])
    assert piece_size(piece) >= len("# größe.py\nx = 1\n\n".encode())
    assert PromptBudget.of_tokens(1000).context == 0
