"""Suggestions that replace the brackets and quotes right of the cursor: what they replace, and what is left of them
as they are typed, by editors that go over a closing bracket when it is typed and by those that do not."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.hole import find_hole, for_explicit_request, refined
from lsp_server.core.insertion import Insertion
from lsp_server.core.overlap import overlap_start
from lsp_server.core.reuse import Place, Remembered, SuggestionMemory
from lsp_server.core.shape import Suggestion, shape, without_replacing
from lsp_server.core.stopping import stop_rule
from tests.support.cursor import parse_cursor
from tests.support.keys import final, keys_typed


def suggested(source: str, written: str, language: str = "python", *, whole: bool = True) -> Suggestion | None:
    document, cursor = parse_cursor(source, language_id=language, path="")
    hole = for_explicit_request(refined(document, find_hole(document, cursor)))
    return shape(written, document, hole, stop_rule(document, hole, 8), whole=whole)


PYTHON = [
    # The document, what the model wrote, the suggestion, and what it replaces.
    ("f($0)", "x).foo()", "x).foo()", ")"),
    ("f($0)", "x, y)\n", "x, y", ""),
    ("f($0)", "x, y) + 1\nz = 1", "x, y) + 1", ")"),
    ("f($0)", "g(x)[0]).foo()", "g(x)[0]).foo()", ")"),
    ("f(g($0))", "x), y)", "x), y", ")"),
    ("f(g($0))", "x)).foo()", "x)).foo()", "))"),
    ("f(g($0))", "x).foo()", "x).foo()", ")"),
    ("f(a[$0])", "0])[1]", "0])[1]", "])"),
    ("f(a[$0])", "0)", "0", ""),
    ("f(g($0), c)", "x).foo(), c)", "x).foo()", ")"),
    ("f($0) + 1", "x).foo()", "x", ""),
    ("f($0) + 1", "x).foo() + 1", "x).foo()", ")"),
    ("f($0, c)", "a, c)", "a", ""),
    ("f($0, c)", "a, c).foo()", "a, c).foo()", ", c)"),
    ("f($0, c)", "(a, c), c).foo()", "(a, c), c).foo()", ", c)"),
    ("f($0, c)", "g(a, c).foo()", "g(a, c).foo()", ""),
    ('x = "$0"', 'a" + y', 'a" + y', '"'),
    ('x = "$0"', 'a"', "a", ""),
    ('x = "$0"', "a", "a", ""),
    ('f("$0")', 'a", "b")', 'a", "b"', '"'),
    ('f("$0")', 'a").foo()', 'a").foo()', '")'),
    ("f('$0')", "a \\'b', c)", "a \\'b', c", "'"),
    ("x = f($0)  ", "a).b", "a).b", ")"),
    ("f($0)", 'g(")"), "(").foo()', 'g(")"), "(").foo()', ")"),
    ("f($0)", "x)  # why", "x", ""),
    ("f($0)", "x)  # why\n", "x", ""),
    ("f(x$0)", ", y).foo()", ", y).foo()", ")"),
    ("f($0)", "x)).foo()", "x", ""),
    ("f($0)", "x] + y", "x", ""),
    ("def f($0):\n    pass", "self) -> int:\n", "self) -> int", ")"),
    ("for x in f($0):\n    pass", "y)[1:]:", "y)[1:]", ")"),
    ("x = {'a': [$0]}", "1], 'b': [2]}", "1], 'b': [2]", "]"),
    ("f($0)", "x).größe('é')", "x).größe('é')", ")"),
]
OTHERS = [
    ("javascript", "f($0);", "x).then(y);", "x).then(y)", ")"),
    ("javascript", "f($0);", "x).then(y)", "x).then(y)", ")"),
    ("javascript", "f($0);", "x);", "x", ""),
    ("javascript", "f($0)", "x);", "x);", ")"),
    ("javascript", "if ($0)\n", "x > 0) {\n    return 1;\n}\n", "x > 0) {\n    return 1;\n}", ")"),
    ("javascript", "f($0);\n", "x).then(() => {\n    y();\n});\n", "x).then(() => {\n    y();\n})", ")"),
    ("javascript", "if ($0) {\n    return 1;\n}\n", "x > 0) {\n    return 1;\n}\n", "x > 0", ""),
    ("javascript", "if ($0) {\n    return 1;\n}\n", "f(x) || g(y)) {\n", "f(x) || g(y)", ""),
    ("javascript", "const a = `$0`;", "x`.trim();", "x`.trim()", "`"),
    ("javascript", "const a = [f($0)];", "x), g(y)];", "x), g(y)", ")"),
    ("java", "class A {\n    void f() {\n        g($0);\n    }\n}\n", "x).h();", "x).h()", ")"),
    ("go", 'package a\n\nfunc f() {\n\tg("$0")\n}\n', 'x", h(1))', 'x", h(1)', '"'),
    ("rust", "fn f<'a>() {\n    g($0);\n}\n", "x).h::<'a>();", "x).h::<'a>()", ")"),
    ("json", '[{"a": [$0]}]', '1], "b": [2]}]', '1], "b": [2]', "]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "source", "written", "text", "over"),
    [*(("python", *row) for row in PYTHON), *OTHERS],
)
def test_what_is_replaced(language: str, source: str, written: str, text: str, over: str) -> None:
    document, cursor = parse_cursor(source, language_id=language, path="")
    found = suggested(source, written, language)
    assert found is not None
    assert found.start == cursor
    assert (found.text, document.source[found.start : found.end].decode()) == (text, over)


@pytest.mark.parametrize(("source", "written", "text", "over"), PYTHON)
def test_a_beginning_is_shown_as_the_beginning_of_the_whole(source: str, written: str, text: str, over: str) -> None:
    for length in range(len(written)):
        part = suggested(source, written[:length], whole=False)
        assert part is None or text.startswith(part.text) or part.text.startswith(text)


@pytest.mark.parametrize(("source", "written", "text", "over"), PYTHON)
def test_without_replacing_it_ends_in_front(source: str, written: str, text: str, over: str) -> None:
    document, cursor = parse_cursor(source)
    suggestion = suggested(source, written)
    assert suggestion is not None
    cut = without_replacing(suggestion, document)
    assert cut is not None
    assert (cut.start, cut.end) == (cursor, cursor)
    assert text.startswith(cut.text)
    assert (cut == suggestion) == (not over)
    assert text[len(cut.text) :].lstrip().startswith(over[:1])


@pytest.mark.parametrize(
    ("text", "over", "at"),
    [
        ("x).foo()", ")", 1),
        ("g(x)).foo()", ")", 4),
        (").foo()", ")", 0),
        (".foo()", ")", None),
        (".foo", ")", None),
        ("a, c).b", ", c)", 1),
        ('a" + b', '"', 1),
        ("a", "", None),
        ("", ")", None),
        ("x)", "))", None),
    ],
)
def test_where_a_text_meets_what_it_replaces(text: str, over: str, at: int | None) -> None:
    assert overlap_start(text, over) == at


@pytest.mark.parametrize(
    ("now", "left", "over"),
    [
        ("y = f(x$0)\n", ").foo()", ")"),
        ("y = f(x)$0\n", ".foo()", ""),
        ("y = f(x)$0)\n", ".foo()", ")"),
        ("y = f(x).$0\n", "foo()", ""),
        ("y = f(x).foo($0)\n", None, None),
        ("y = f(x).foo($0))\n", None, None),
        ("y = f(x$0\n", None, None),
        ("y = f(x$0]\n", None, None),
        ("y = f(x$0) \n", None, None),
        ("y = f()$0\n", None, None),
        ("y = f(z$0)\n", None, None),
    ],
)
def test_typing_through_what_is_replaced(now: str, left: str | None, over: str | None) -> None:
    memory = SuggestionMemory()
    memory.remember(Remembered(Place.of(*parse_cursor("y = f($0)\n")), Insertion("x).foo()", b")")))
    found = memory.find(*parse_cursor(now))
    assert (found and (found[1].text, found[1].over.decode())) == (None if left is None else (left, over))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("source", "written", "text", "over"), PYTHON)
def test_what_is_partly_typed_through_and_accepted_comes_out_the_same(
    source: str, written: str, text: str, over: str, seed: int
) -> None:
    rng = random.Random(f"{source} {written} {seed}")
    document, cursor = parse_cursor(source)
    insertion = Insertion(text, over.encode())
    place = Place.of(document, cursor)
    accepted = final(document, insertion.at(cursor))
    served = 0
    for now, there in keys_typed(document, cursor, text, rng):
        typed = place.typed_since(now, there)
        rest = typed and typed.rest_of(insertion)
        if typed and rest:
            served += 1
            # A bracket that the suggestion opens and does not close stays closed as the editor has closed it.
            kept = typed.closers if not rest.over and now.source[there:].startswith(typed.closers) else b""
            end = cursor + len(text.encode())
            assert final(now, rest.at(there)) in (accepted, accepted[:end] + kept + accepted[end:])
    assert served


@pytest.mark.parametrize(("source", "written", "text", "over"), PYTHON)
def test_an_editor_that_closes_and_goes_over_brackets_is_served_at_each_key(
    source: str, written: str, text: str, over: str
) -> None:
    document, cursor = parse_cursor(source)
    if over.strip(")]\"'") or "\\" in text or '"(' in text:
        pytest.skip("no editor goes over a comma, and this one knows neither escapes nor strings")
    place = Place.of(document, cursor)
    accepted = final(document, Insertion(text, over.encode()).at(cursor))
    for now, there in keys_typed(document, cursor, text, random.Random(0), over=True, closes=True):
        typed = place.typed_since(now, there)
        assert typed is not None
        rest = typed.rest_of(Insertion(text, over.encode()))
        assert rest is not None
        assert final(now, rest.at(there)) == accepted
    assert now.source == accepted
