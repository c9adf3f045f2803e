"""Prompts: the exact layout in every format, and what stays the same while the user types."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FORMATS, PREFIX_ONLY, FimFormat, declared_format
from lsp_server.core.hole import find_hole
from lsp_server.core.languages import find_language
from lsp_server.core.pieces import Piece
from lsp_server.core.prompt import Context, FimPrompt, PromptBudget, lay_out, new_anchor, window_start
from tests.support.cursor import parse_cursor
from tests.support.formats import format_named
from tests.support.prompts import build_prompt

AMPLE = PromptBudget(10_000, 10_000)
SOURCE = "import os\n\ndef f():\n    return a$0b\n\nprint(f())\n"
BEFORE, TYPED, AFTER = "import os\n\ndef f():\n", "    return a", "\n\nprint(f())\n"
PATH, NOTE = "main.py\n", "# main.py\n"
LATER = "# Later in this file:\n# print(f())\n\n"


def prompt_at(source: str, form: str = "qwen", budget: PromptBudget = AMPLE, **options: str) -> FimPrompt:
    document, offset = parse_cursor(source, **options)
    return build_prompt(document, find_hole(document, offset), format_named(form), budget)


LAYOUTS = {
    "mellum": ["<filename>", PATH, "<fim_suffix>", AFTER, "<fim_prefix>", BEFORE, "<fim_middle>", TYPED],
    "gemma-adapter": ["<unused1640>", PATH, "<unused62>", BEFORE, "<unused465>", AFTER, "<unused2197>", TYPED],
    "qwen": ["<|fim_prefix|>", BEFORE, "<|fim_suffix|>", AFTER, "<|fim_middle|>", TYPED],
    "codegemma": [
        "<|file_separator|>", PATH, "<|fim_prefix|>", BEFORE, "<|fim_suffix|>", AFTER, "<|fim_middle|>", TYPED,
    ],
    "qwen-fim": ["<|fim_prefix|>", NOTE + BEFORE, "<|fim_suffix|>", AFTER, "<|fim_middle|>", TYPED],
    "deepseek": ["<｜fim▁begin｜>", NOTE + BEFORE, "<｜fim▁hole｜>", AFTER, "<｜fim▁end｜>", TYPED],
    "starcoder2": ["<file_sep>", "<fim_prefix>", PATH, BEFORE, "<fim_suffix>", AFTER, "<fim_middle>", TYPED],
    "starcoder": ["<fim_prefix>", NOTE + BEFORE, "<fim_suffix>", AFTER, "<fim_middle>", TYPED],
    "codellama": ["▁<PRE>", NOTE + BEFORE, "▁<SUF>", AFTER, "▁<MID>", TYPED],
    "seed-coder": ["<[fim-suffix]>", AFTER, "<[fim-prefix]>", NOTE + BEFORE, "<[fim-middle]>", TYPED],
    "codestral": ["[SUFFIX]", AFTER, "[PREFIX]", NOTE + BEFORE, TYPED],
    "prefix-only": [NOTE, LATER, BEFORE, TYPED],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_layout_of_every_format(form: FimFormat) -> None:
    prompt = prompt_at(SOURCE, form.name)
    assert [segment.text.decode() for segment in prompt.segments] == LAYOUTS[form.name]
    markers = tuple(s.text.decode() for s in prompt.segments if s.kind == "marker")
    assert markers == (form.markers if form.path_alone else form.markers[1:])
    assert prompt.text("typed").decode() == TYPED
    assert prompt.format == form.name
    assert prompt == prompt_at(SOURCE, form.name)
    assert hash(prompt) == hash(prompt_at(SOURCE, form.name))


def test_the_layout_of_a_declared_format() -> None:
    document, offset = parse_cursor(SOURCE)
    prompt = build_prompt(document, find_hole(document, offset), declared_format("<P>", "<S>", "<M>"), AMPLE)
    assert [s.text.decode() for s in prompt.segments] == ["<P>", NOTE + BEFORE, "<S>", AFTER, "<M>", TYPED]


SHAPES = "class Circle: ...\n\n"
UNIT = "def unit(): ...\n\n"
RED = "fn red() {}\n\n"
NOTED = ["# shapes.py\n" + SHAPES, UNIT, "// src/red.rs\n" + RED]
WITH_CONTEXT = {
    "mellum": ["<filename>", "shapes.py\n" + SHAPES, UNIT, "<filename>", "src/red.rs\n" + RED],
    "qwen": [
        "<|repo_name|>", "paint\n", "<|file_sep|>", "shapes.py\n" + SHAPES, UNIT, "<|file_sep|>", "src/red.rs\n" + RED
    ],
    "gemma-adapter": ["<unused1640>", "shapes.py\n" + SHAPES, UNIT, "<unused1640>", "src/red.rs\n" + RED],
    "codegemma": ["<|file_separator|>", "shapes.py\n" + SHAPES, UNIT, "<|file_separator|>", "src/red.rs\n" + RED],
    "starcoder2": [
        "<repo_name>", "paint\n", "<file_sep>", "shapes.py\n" + SHAPES, UNIT, "<file_sep>", "src/red.rs\n" + RED
    ],
}  # fmt: skip


def context() -> Context:
    rust = find_language("rust")
    python = find_language("python")
    return Context(
        (
            Piece("file:///w/shapes.py", "shapes.py", SHAPES.strip().encode(), python),
            Piece("file:///w/shapes.py", "shapes.py", UNIT.strip().encode(), python),
            Piece("file:///w/src/red.rs", "src/red.rs", RED.strip().encode(), rust),
        ),
        "paint",
    )


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_other_files_stand_first_in_every_format(form: FimFormat) -> None:
    document, offset = parse_cursor(SOURCE)
    hole = find_hole(document, offset)
    anchor = new_anchor(document, hole, form, AMPLE)
    alone = [s.text.decode() for s in lay_out(document, anchor, offset, form).segments]
    found = lay_out(document, anchor, offset, form, context())
    texts = [s.text.decode() for s in found.segments]
    first = 1 if isinstance(form.layout[0], str) else 0  # as text, they belong to the prefix
    shown = WITH_CONTEXT.get(form.name, NOTED)
    if not form.path_alone:
        alone = [form.file, PATH, *alone]
    assert texts == [*alone[:first], *shown, *alone[first:]]
    assert all(s.kind in ("context", "marker") for s in found.segments[first : first + len(shown)])
    # One more at the end changes nothing before it; without a repository there is no marker for one.
    fewer = lay_out(document, anchor, offset, form, Context(context().pieces[:-1], "paint"))
    size = first + len(shown) - (2 if form.file else 1)
    assert fewer.segments[:size] == found.segments[:size]
    nameless = lay_out(document, anchor, offset, form, Context(context().pieces))
    assert not any(s.text.decode() in (form.repository, "paint\n") for s in nameless.segments)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("$0", {"before": "", "typed": "", "after": ""}),
        ("$0\n\n", {"before": "", "typed": "", "after": ""}),
        ("a\n$0", {"before": "a\n", "typed": "", "after": ""}),
        ("a\r\nb$0c\r\nd", {"before": "a\r\n", "typed": "b", "after": "\r\nd"}),
        ("語\n😀$0\né", {"before": "語\n", "typed": "😀", "after": "\né"}),
    ],
)
def test_small_documents(source: str, texts: dict[str, str]) -> None:
    prompt = prompt_at(source)
    assert {kind: prompt.text(kind).decode() for kind in texts} == texts
    assert all(segment.text for segment in prompt.segments), "an empty segment"
    assert [s.text.decode() for s in prompt.segments if s.kind == "marker"] == list(format_named("qwen").markers[1:])


@pytest.mark.parametrize(
    ("source", "reference"),
    [
        ("x$0\n\n\na\n\nb\n", "# Later in this file:\n# a\n#\n# b\n\n"),
        ("x$0\r\na\r\n  b\r\n", "# Later in this file:\n# a\n#   b\n\n"),
        ("x$0\n \n\n", ""),
        ("x$0", ""),
    ],
)
def test_a_model_without_fim_sees_the_suffix_as_a_comment(source: str, reference: str) -> None:
    assert prompt_at(source, "prefix-only").text("after").decode() == reference


@pytest.mark.parametrize(
    ("language_id", "path", "expected"),
    [
        ("vue", "a.vue", "<!-- a.vue -->\n"),
        ("svelte", "", ""),
        ("", "a.svelte", "<!-- a.svelte -->\n"),
        ("haskell", "A.hs", "-- A.hs\n"),
        ("latex", "a.tex", "% a.tex\n"),
        ("commonlisp", "a.lisp", ";; a.lisp\n"),
        ("", "a.clj", ";; a.clj\n"),
        ("", "a.ml", "(* a.ml *)\n"),
        ("", "a.vim", '" a.vim\n'),
        ("", "a.f90", "! a.f90\n"),
        ("", "Dockerfile", "# Dockerfile\n"),
        ("", "a.asm", "; a.asm\n"),
        ("", "a.erl", "% a.erl\n"),
        ("rust", "a.rs", "// a.rs\n"),
        ("css", "a.css", "/* a.css */\n"),
        ("", "a.lua", "-- a.lua\n"),
        ("", "", ""),
    ],
)
def test_the_path_is_a_comment_of_the_language(language_id: str, path: str, expected: str) -> None:
    prompt = prompt_at("x$0\ny\n", "prefix-only", language_id=language_id, path=path)
    assert prompt.text("path").decode() == expected


@pytest.mark.parametrize(
    ("path", "source", "header", "later"),
    [
        ("a.vue", "<template>\n  <p>$0</p>\n</template>\n", "<!-- a.vue -->", "<!-- </template> -->"),
        ("a.vue", "<script>\nlet a = $0\nlet b\n</script>\n", "// a.vue", "// let b"),
        ("a.vue", '<script setup lang="ts">\nlet a = $0\nlet b\n</script>\n', "// a.vue", "// let b"),
        ("a.vue", "<style>\np {$0\n}\n</style>\n", "/* a.vue */", "/* } */"),
        ("a.svelte", "<script>\nlet a = $0\nlet b\n</script>\n<p>x</p>\n", "// a.svelte", "// let b"),
        ("a.html", "<script>\nlet a = $0\nlet b\n</script>\n", "// a.html", "// let b"),
        ("a.php", "<?php\n$a = $0;\n$b = 1;\n?>\n<p>x</p>\n", "// a.php", "// $b = 1;"),
        ("a.md", "```python\na = $0\nb = 1\n```\n", "<!-- a.md -->", "<!-- b = 1 -->"),
    ],
)
def test_comments_are_those_of_the_part_of_a_page_that_the_cursor_is_in(
    path: str, source: str, header: str, later: str
) -> None:
    prompt = prompt_at(source, "prefix-only", path=path, language_id="")
    assert prompt.text("path").decode() == f"{header}\n"
    lines = prompt.text("after").decode().split("\n")
    assert "Later in this file:" in lines[0]
    assert later in lines


def body(lines: int, newline: str = "\n") -> str:
    return "".join(f"def f{number}(): return {number}{newline}" for number in range(lines))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_imports_are_kept_when_the_window_is_cut(newline: str) -> None:
    source = f'"""Doc."""{newline}import os{newline}from a import (b,{newline}    c){newline}{body(100, newline)}'
    before = prompt_at(source + "$0", budget=PromptBudget(400, 100)).text("before").decode()
    kept = ["import os", f"from a import (b,{newline}    c)", "# ...", "def f"]
    assert before.startswith(newline.join(kept))
    assert before.count("import os") == 1
    shown = before.removeprefix(newline.join(kept[:3]) + newline)
    assert source.endswith(shown)
    assert 200 < len(shown) <= 400


def test_imports_take_a_small_part_of_the_budget() -> None:
    imports = "".join(f"import module{number}\n" for number in range(100))
    heads = []
    for budget in (400, 1600):
        before = prompt_at(imports + body(200) + "$0", budget=PromptBudget(budget, 100)).text("before").decode()
        heads.append(before.partition("# ...\n")[0])
        assert imports.startswith(heads[-1])
        assert heads[-1].endswith("\n")
        assert len(heads[-1]) <= budget // 4
    assert 0 < len(heads[0]) < len(heads[1])


METHODS = "".join(f"    def method_{n}(self):\n        return {n}\n\n" for n in range(60))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_encloses_the_window_is_kept_with_its_docstring(newline: str) -> None:
    """The window begins inside a class and a function, far above; their headers and docstrings are shown."""
    lines = "".join(f"        value_{n} = {n}\n" for n in range(100))
    source = (
        f'import os\n\n\nclass Shape(Base):\n    """A shape."""\n\n{METHODS}'
        "    def area(\n        self,\n    ) -> int:\n"
        f'        """Its area,\n        in points."""\n{lines}        $0\n'
    ).replace("\n", newline)
    before = prompt_at(source, budget=PromptBudget(1600, 100)).text("before").decode()
    head = (
        'import os\n# ...\nclass Shape(Base):\n    """A shape."""\n    # ...\n'
        "    def area(\n        self,\n    ) -> int:\n"
        '        """Its area,\n        in points."""\n        # ...\n        value_'
    ).replace("\n", newline)
    assert before.startswith(head)
    tight = prompt_at(source, budget=PromptBudget(900, 100)).text("before").decode()
    assert "class Shape" not in tight, "what does not fit is left out from the outside in"
    assert "    def area(" in tight


def test_comments_above_a_header_document_it() -> None:
    source = "use a;\n\n/// A shape.\nimpl Shape {\n" + "    fn f(&self) {\n        g();\n    }\n" * 60 + "    $0\n}\n"
    before = prompt_at(source, budget=PromptBudget(800, 100), language_id="rust", path="a.rs").text("before").decode()
    assert before.startswith("use a;\n// ...\n/// A shape.\nimpl Shape {\n    // ...\n")


def test_all_places_of_a_window_share_what_stands_in_front_of_it() -> None:
    text = ("class A:\n" + METHODS * 2 + "class B:\n" + METHODS * 2).encode()
    document = DocumentSnapshot.of("file:///m.py", text, path="m.py", language_id="python")
    heads: dict[int, set[bytes]] = {}
    for line in range(100, document.line_count):
        cursor = document.line_start(line)
        anchor = new_anchor(document, find_hole(document, cursor), format_named("qwen"), PromptBudget(1600, 100))
        heads.setdefault(anchor.start, set()).add(anchor.head)
        assert b"class " in anchor.head or text[anchor.start :].startswith((b"class", b"\n"))
    assert len(heads) > 5
    assert all(len(found) == 1 for found in heads.values())


def test_without_a_grammar_a_cut_window_says_that_it_is_cut() -> None:
    prompt = prompt_at(
        "import Foo\n" + body(100) + "$0", budget=PromptBudget(400, 100), language_id="plaintext", path=""
    )
    assert prompt.text("before").startswith(b"# ...\ndef f")


# What stays the same while the user types ----------------------------------------------------------------------


@pytest.mark.parametrize("form", [*FORMATS, PREFIX_ONLY], ids=lambda form: form.name)
def test_typing_inside_a_line_changes_the_typed_segment_alone(form: FimFormat) -> None:
    rng = random.Random(form.name)
    for _ in range(15):
        size = rng.randrange(1, 200)
        text = rng.choice(["", "import os\n"]) + body(size, rng.choice(["\n", "\r\n"]))
        document = DocumentSnapshot.of("file:///m.py", text.encode(), path="m.py", language_id="python")
        budget = PromptBudget(rng.randrange(50, 2000), rng.randrange(400))
        line = rng.randrange(document.line_count)
        cursor = rng.randint(document.line_start(line), document.line_end(line))
        first = build_prompt(document, find_hole(document, cursor), form, budget)
        for _ in range(24):
            key = rng.choice("ab (=é語😀").encode()
            typed = first.text("typed")
            document = document.edited(cursor, cursor, key)
            cursor += len(key)
            prompt = build_prompt(document, find_hole(document, cursor), form, budget)
            assert prompt.text("typed") == typed + key
            assert [s for s in prompt.segments if s.kind != "typed"] == [s for s in first.segments if s.kind != "typed"]
            first = prompt


@pytest.mark.parametrize("budget", [401, 1000, 1024, 3000])
def test_the_window_jumps_by_quarters_of_the_budget(budget: int) -> None:
    text = body(200).encode()
    longest = 24
    document = DocumentSnapshot.of("file:///m.py", text, path="m.py", language_id="python")
    cursor = len(text)
    starts = [window_start(document, cursor, budget)]
    before = b""
    for number in range(200):
        line = b"    x = %d\n" % number
        document = document.edited(cursor, cursor, line)
        cursor += len(line)
        prompt = build_prompt(document, find_hole(document, cursor), format_named("qwen"), PromptBudget(budget, 100))
        start = window_start(document, cursor, budget)
        assert document.line_start(document.line_at(start)) == start
        assert budget * 3 // 4 - longest <= cursor - start <= budget
        if start == starts[-1] and before:
            assert prompt.text("before").startswith(before), "text in front of the window changed"
        elif start != starts[-1]:
            assert abs(start - starts[-1] - budget // 4) <= longest
            starts.append(start)
        before = prompt.text("before")
    assert len(starts) - 1 == pytest.approx((cursor - len(text)) / (budget // 4), abs=1.5)


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_very_long_lines_are_cut_between_characters_and_within_the_budget(letter: str) -> None:
    rng = random.Random(letter)
    for _ in range(300):
        text = "a" * rng.randrange(4) + letter * rng.randrange(2000)
        budget = PromptBudget(rng.randrange(8, 1000), rng.randrange(8, 200))
        source = f"{text}\n{text}$0{text}\n{text}{rng.choice(['', chr(10), 'x'])}"
        document, offset = parse_cursor(source)
        hole = find_hole(document, offset)
        prompt = build_prompt(document, hole, format_named("qwen"), budget)
        shown = [prompt.text(kind).decode() for kind in ("before", "typed", "after")]  # raises inside a character
        assert text.endswith(shown[1][-len(text) :])
        start = window_start(document, hole.anchor, budget.before)
        assert hole.anchor - start <= budget.before
        assert len(prompt.text("after")) <= budget.after


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("budget", "after"),
    [
        pytest.param(100, "\nbb\ncc\ndd", id="all of it"),
        pytest.param(9, "\nbb\ncc\ndd", id="all of it, and not a byte more"),
        pytest.param(8, "\nbb\ncc", id="the last line does not fit"),
        pytest.param(7, "\nbb\ncc", id="the next line end fits, and what follows not"),
        pytest.param(5, "\nbb", id="part of a line is left out"),
        pytest.param(0, "", id="nothing"),
    ],
)
def test_the_suffix_is_whole_lines_within_the_budget(budget: int, after: str, newline: str) -> None:
    ends = 2 if budget <= 5 else 3  # line ends that the budget is meant to hold, one byte longer each with CRLF
    budget += ends * (len(newline) - 1) if budget else 0
    prompt = prompt_at("a$0\nbb\ncc\ndd".replace("\n", newline), budget=PromptBudget(100, budget))
    assert prompt.text("after").decode() == after.replace("\n", newline)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_of_one_long_line_the_beginning_is_shown(newline: str) -> None:
    after = prompt_at(f"a$0{newline}{'語' * 50}", budget=PromptBudget(100, 30)).text("after").decode()
    assert after.startswith(newline + "語語語語")
