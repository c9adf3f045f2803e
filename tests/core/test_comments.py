"""Words that go on with a comment or docstring: where they end, how they are laid out, and that they stay inside."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.comments import Comment
from lsp_server.core.hole import Hole, HoleKind, find_hole, for_automatic_request, for_explicit_request, refined
from lsp_server.core.languages import LANGUAGES, PLAIN_LANGUAGES
from lsp_server.core.shape import shape
from lsp_server.core.stopping import find_end, stop_rule
from lsp_server.core.syntax import view_of
from tests.support.cursor import parse_cursor

LONG = "x_of_the_thing = some_function_of_it(with_one_argument, another_argument, and_one_more)"


def hole_at(source: str, language: str) -> tuple[Hole, Comment]:
    document, offset = parse_cursor(source, language_id=language, path="")
    hole = refined(document, find_hole(document, offset))
    assert hole.comment is not None
    return hole, hole.comment


def check(
    source: str, written: str, shown: str | None, *, language: str, max_lines: int = 8, asks: bool = True
) -> None:
    """Where the model wrote `written` at `$0`, `shown` is suggested, which the document's tree has inside a comment.
    asks: to a user who has asked for it."""
    document, offset = parse_cursor(source, language_id=language, path="")
    hole = refined(document, find_hole(document, offset))
    assert hole.kind is HoleKind.PROSE
    hole = for_explicit_request(hole) if asks else hole
    suggestion = shape(written, document, hole, stop_rule(document, hole, max_lines))
    assert (suggestion and suggestion.text) == shown
    if suggestion is None:
        return
    assert (suggestion.start, suggestion.end) == (offset, offset)
    text = suggestion.text.encode()
    after = document.edited(offset, offset, text)
    view, known = view_of(after, after.line_at(offset)), view_of(document, document.line_at(offset)).language
    assert len(view.errors) <= len(view_of(document, document.line_at(offset)).errors)
    if view.root is not None and not view.errors:
        kinds = [kind for kind, _, _ in view.ancestors(offset + len(text))]
        assert set(kinds) & (known.comments | known.strings)


PYTHON = "def f(a):\n    # One line of it,\n    # and another $0\n    return a\n"
RUST = "/// One line of it,\n/// and another $0\nfn f() {}\n"
C = "/**\n * One line of it,\n * and another $0\n */\nint f(void);\n"
TYPESCRIPT = "class A {\n  /**\n   * One line of it, $0\n   */\n  f(): void {}\n}\n"
SVELTE = "<script>\n  // One line of it,\n  // and another $0\n  let a = 1\n</script>\n\n<p>{a}</p>\n"
DOCSTRING = 'def f(a):\n    """One line of it,\n    and another $0\n    """\n    return a\n'


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        # A line comment ends with its line, or goes on below it as a comment.
        ("python", "# words $0\nx = 1\n", "of it.\nx = 2\n", "of it."),
        ("python", "# words $0\nx = 1\n", "of it,\n# and more.\n", "of it,"),
        ("python", PYTHON, "of it.\n    return b\n", "of it."),
        ("python", PYTHON, "of it,\n    # and more.\n    b = a\n", "of it,\n    # and more."),
        ("python", PYTHON, "of it,\n# and more.\n", "of it,\n    # and more."),
        ("python", PYTHON, "of it.\n    #\n    # More.\n", "of it."),
        ("python", "x = 1  # words $0\ny = 2  # more\n", "of it\n# and more\n", "of it"),
        ("python", "# One,\n# two $0\n# and three.\nx = 1\n", "of it\n# and more\n", "of it"),
        ("python", PYTHON, "\n    return a\n", None),
        ("rust", RUST, "of it.\nfn g() {}\n", "of it."),
        ("rust", RUST, "of it,\n/// and more.\nfn g() {}\n", "of it,\n/// and more."),
        ("rust", RUST, "of it.\n// No part of it.\n", "of it."),
        ("rust", RUST.replace("///", "//"), "of it,\n// and more.\n/// No part.\n", "of it,\n// and more."),
        ("rust", "/* words $0 */ fn f() {}\n", "of it */ fn g() {}", "of it"),
        ("c", C, "of it.\n */\nint g(void);\n", "of it."),
        ("c", C, "of it,\n * and more.\n */\nint g(void);\n", "of it,\n * and more."),
        ("c", C, "of it. */ int g(void);\n", "of it."),
        ("c", "int x; // words $0\nint y;\n", "of it\nint z;\n", "of it"),
        ("c", "/*\n   words\n   and $0\n*/\nint x;\n", "more,\n   and more\n*/\nint y;", "more,\n   and more"),
        ("typescript", TYPESCRIPT, "more.\n   */\n  g() {}\n", "more."),
        ("typescript", TYPESCRIPT, "more,\n * and more.\n", "more,\n   * and more."),
        ("typescript", TYPESCRIPT.replace("$0", "\n   * $0"), "@returns nothing\n   */\n", "@returns nothing"),
        ("typescript", "/** Words $0 */\nlet a = 1;\n", "of it. */\nlet b = 2;\n", "of it."),
        ("typescript", "f(a, /* words $0 */ b);\n", "of it */ c);", "of it"),
        ("svelte", SVELTE, "of it,\n  // and more.\n  let b\n</script>\n", "of it,\n  // and more."),
        ("svelte", "<!-- words $0 -->\n<p>a</p>\n", "of it --> <p>b</p>", "of it"),
        ("svelte", "<!--\n  words\n  and $0\n-->\n<p>a</p>\n", "more\n-->\n<p>b</p>", "more"),
        ("svelte", "<style>\n  /* words $0 */\n  p { top: 0; }\n</style>\n", "of it */ a", "of it"),
        # A docstring ends in front of its quotes.
        ("python", 'def f(a):\n    """Return $0"""\n    return a\n', 'the argument."""\n    return a', "the argument."),
        ("python", 'def f(a):\n    """Return $0"""\n    return a\n', "the argument.\n\n    More.", "the argument."),
        ("python", "def f(a):\n    '''Return $0'''\n    return a\n", "the argument.'''\n", "the argument."),
        ("python", DOCSTRING, 'of it."""\n    return b\n', "of it."),
        ("python", DOCSTRING, 'of it,\n    and more.\n    """\n', "of it,\n    and more."),
        ("python", DOCSTRING, "of it:\n      more\n    and more\n\n    x", "of it:\n      more\n    and more"),
        ("python", DOCSTRING, "of it.\nreturn b\n", "of it."),
        ("python", 'def f(a):\n    """Return $0\n    return a\n', 'the argument."""\n    return a', "the argument."),
        ("python", 'def f(a):\n    """Return $0"""\n', 'one of "a" and "b"', 'one of "a" and'),
        ("python", 'def f(a):\n    """Return $0"""\n', "a \\", "a"),
        # Other languages' marks.
        ("php", "<?php\n# One\n# two $0\n$x = 1;\n", "of it\n# and more\n// no\n", "of it\n# and more"),
        ("lua", "--[[ words $0 ]]\nx = 1\n", "of it ]] x = 2", "of it"),
        ("haskell", "{- words\n   more $0\n-}\nx = 1\n", "of it\n-}\nx = 2", "of it"),
        ("elixir", "  # One\n  # two $0\n  x = 1\n", "of it\n  # and more\n  y", "of it\n  # and more"),
    ],
)
def test_what_is_shown_in_a_comment(language: str, source: str, written: str, shown: str | None) -> None:
    check(source, written, shown, language=language)
    if shown:
        crlf = source.replace("\n", "\r\n")
        check(crlf, written, shown.replace("\n", "\r\n"), language=language)


@pytest.mark.parametrize(
    ("language", "source", "mark"),
    [("python", PYTHON, "    #"), ("rust", RUST, "///"), ("c", C, " *"), ("python", DOCSTRING, "   ")],
)
def test_unasked_the_models_words_end_with_their_line(language: str, source: str, mark: str) -> None:
    check(source, f"of it,\n{mark} and more.\n", "of it,", language=language, asks=False)
    document, offset = parse_cursor(source, language_id=language, path="")
    hole = refined(document, find_hole(document, offset))
    assert find_end(f"of it,\n{mark}", stop_rule(document, hole, 8)) == len("of it,")


def test_at_most_so_many_lines() -> None:
    check(PYTHON, "one,\n    # two,\n    # three.\n", "one,\n    # two,", language="python", max_lines=2)


WORDS = "that takes the first of them and gives all of the others back to the one who has asked for it"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        # No line is wider than those of the file, if its comments go on below their lines.
        (
            f"{LONG}\n# One line of it,\n# and another $0\nx = 1\n",
            "that takes the first of them and gives all of the others back to the one\n# who has asked for it",
        ),
        (
            f"{LONG}\n# Words $0\nx = 1\n",
            "that takes the first of them and gives all of the others back to the one who",
        ),
        # Who writes beyond that is left alone.
        (f"{LONG}\n# {'word ' * 20}$0\nx = 1\n", WORDS),
        # Where comments go over lines, these say how wide they are.
        (
            f"{LONG}\n" + f"# {'word ' * 14}\n" * 5 + "# more.\n\n# One line $0\nx = 1\n",
            "that takes the first of them and gives all of the others back\n# to the one who has asked for it",
        ),
        (
            f'{LONG}\ndef f():\n    """Words $0\n    """\n',
            "that takes the first of them and gives all of the others back to the one\n    who has asked for it",
        ),
    ],
)
def test_lines_are_as_wide_as_those_of_the_file(source: str, shown: str) -> None:
    check(source, WORDS, shown, language="python")


def test_what_is_shown_of_a_beginning_is_the_beginning_of_what_is_shown_of_the_whole() -> None:
    rng = random.Random(5)
    for source, language, lead in (
        (PYTHON, "python", "\n    # "),
        (RUST, "rust", "\n/// "),
        (C, "c", "\n * "),
        (DOCSTRING, "python", "\n    "),
    ):
        document, offset = parse_cursor(source, language_id=language, path="")
        hole = for_explicit_request(refined(document, find_hole(document, offset)))
        rule = stop_rule(document, hole, 8)
        for _ in range(8):
            letters = "abcdefghijklmnopqrstuvwxyz"
            words = ["".join(rng.sample(letters, rng.randrange(1, 14))) for _ in range(rng.randrange(4, 40))]
            text = "".join(f"{word}{lead if rng.random() < 0.1 else ' '}" for word in words)
            text += rng.choice(("\n\nx", '"""', " */\n", "\nreturn"))
            end = find_end(text, rule)
            whole = shape(text, document, hole, rule)
            assert whole is not None
            for size in range(len(text)):
                part = shape(text[:size], document, hole, rule, whole=False)
                assert part is None or whole.text.startswith(part.text), (text[:size], part.text, whole.text)
                assert find_end(text[:size], rule) in (None, end)


@pytest.mark.parametrize(
    ("language", "source", "is_doc"),
    [
        ("python", "# words $0\n", False),
        ("python", "# TODO $0\n", False),
        ("python", 'def f():\n    """$0"""\n', True),
        ("python", '"""Words $0"""\n', True),
        ("python", 'class A:\n    """Words $0"""\n', True),
        ("typescript", "// words $0\n", False),
        ("typescript", "/* words $0 */\n", False),
        ("typescript", "/** words $0 */\n", True),
        ("rust", "// words $0\n", False),
        ("rust", "/// words $0\n", True),
        ("rust", "//! words $0\n", True),
        ("c", "/**\n * words $0\n */\n", True),
        ("svelte", "<script>\n/** words $0 */\n</script>\n", True),
        ("svelte", "<!-- words $0 -->\n", False),
        ("lua", "--- words $0\n", True),
    ],
)
def test_the_setting_tells_docs_from_other_comments(language: str, source: str, is_doc: bool) -> None:
    hole, comment = hole_at(source, language)
    assert comment.is_doc is is_doc
    assert for_automatic_request(hole, comments=True, docs=True) == hole
    assert (for_automatic_request(hole, comments=False, docs=True).kind is HoleKind.PROSE) is is_doc
    off = for_automatic_request(hole, comments=False, docs=False)
    assert (off.kind, off.reason) == (HoleKind.NONE, "the cursor is inside a comment")
    assert for_explicit_request(hole).kind is HoleKind.PROSE


def test_doubt_ends_what_nobody_has_asked_for() -> None:
    def min_logprob(source: str, *, asks: bool = False) -> float:
        document, offset = parse_cursor(source)
        hole = refined(document, find_hole(document, offset))
        return stop_rule(document, for_explicit_request(hole) if asks else hole, 8).min_logprob

    never = float("-inf")
    assert never < min_logprob("# words $0\n") < 0
    assert min_logprob("# words $0\n", asks=True) == never
    assert min_logprob("# TODO: $0\n") == never
    assert min_logprob('def f():\n    """$0"""\n') == never
    assert min_logprob("x = $0\n") == never


@pytest.mark.parametrize("language", [*LANGUAGES, *PLAIN_LANGUAGES], ids=lambda language: language.name)
def test_every_language_says_how_comments_begin(language: object) -> None:
    entry = next(known for known in (*LANGUAGES, *PLAIN_LANGUAGES) if known is language)
    begins, ends = entry.comment
    assert begins in entry.line_marks or (begins, ends) in entry.block_marks
    assert all(opener and closer for opener, closer in entry.block_marks)
