"""Names that a suggestion uses and that are defined nowhere: which count, and what is left in front of them."""

from __future__ import annotations

import random
import warnings

import pytest

from lsp_server.core.names import undefined
from lsp_server.core.names.undefined import Checked, without_undefined
from lsp_server.core.shape import Suggestion
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled
from tests.support.samples import named, sample


def checked(source: str, text: str, over: str = "", **document: str) -> Checked:
    found, cursor = parse_cursor(source, **document)
    return without_undefined(Suggestion(text, cursor, cursor + len(over.encode())), found)


def left(source: str, text: str, **more: str) -> tuple[str | None, str]:
    found = checked(source, text, **more)
    return (None if found.suggestion is None else found.suggestion.text), found.undefined


FUNCTION = "def area(width, height):\n    $0\n"


def test_where_it_stands_in_what_the_model_has_written() -> None:
    """Which may have other line ends than what is shown of it."""
    bare = checked(FUNCTION, "side = width\n    return depth").bare
    assert bare is not None
    for written in ("side = width\r\n    return depth\r\n", "side = width\n    return depth"):
        for shown in ("side = width\n    return depth", "side = width\r\n    return depth"):
            found = bare.within(written, shown)
            assert found is not None
            assert written[found.at :].startswith("depth")
    assert bare.within("side = width - 1\n    return depth", "side = width\n    return depth") is None


def test_the_word_that_has_been_begun_is_gone_on_with() -> None:
    assert left("def area(width, height):\n    return wi$0\n", "dth * depth") == ("dth", "depth")
    assert left("def area(width, height):\n    return min(width, he$0)\n", "ight, depth") == ("ight", "depth")
    assert left("def area(width, height):\n    return wi$0\n", "de * width") == (None, "wide")
    assert left(FUNCTION, "return width * depth") == (None, "depth")


def test_the_name_of_a_member_stays() -> None:
    """Its own arguments may be wrong, and it is right."""
    source = "def add(items):\n    items.$0\n"
    assert left(source, "append(depth)") == ("append", "depth")
    assert left(source, "first.name(depth)") == ("first.name", "depth")
    assert left(source.replace("$0", "app$0"), "end(depth)") == ("end", "depth")


@pytest.mark.parametrize(
    ("source", "text", "at", "begun"),
    [
        (FUNCTION, "return width * depth", 15, ""),
        ("\ufeffdef größe(width, height):\n    return 'ü', de$0\n", "pth + 1", 0, "de"),
        ("def area(width, height):\r\n    $0\r\n", "if width:\n        return depth\n", 25, ""),
    ],
)
def test_where_it_stands_and_what_is_defined_there(source: str, text: str, at: int, begun: str) -> None:
    bare = checked(source, text).bare
    assert bare is not None
    assert (bare.at, bare.begun) == (at, begun)
    assert bare.names >= {"width", "height", "len", "ValueError"}
    assert not bare.names & {"depth", "side"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param(FUNCTION, "return width * height", id="parameters"),
        pytest.param(FUNCTION, "return [len(str(side)) for side in (width, height)]", id="builtins, a comprehension"),
        pytest.param(FUNCTION, "return (half := width / 2) + half", id="a walrus"),
        pytest.param(FUNCTION, "size = width\n    return size", id="what the suggestion defines itself"),
        pytest.param(FUNCTION, "import math\n    return math.pi", id="what it imports itself"),
        pytest.param(FUNCTION, "return helper(width)\n\n\ndef helper(x):\n    return x", id="what it defines below"),
        pytest.param(f"{FUNCTION}\ndef helper(x): ...\n", "return helper(width)", id="what the module defines below"),
        pytest.param("$0\n\nSIZE = 3\n", "print(SIZE)", id="what the module defines below, at its top level"),
        pytest.param(FUNCTION, "try:\n        pass\n    except OSError as error:\n        print(error)", id="except"),
        pytest.param(
            FUNCTION, "match width:\n        case {'a': a, **rest}:\n            return a, rest", id="names of a match"
        ),
        pytest.param(
            "def scan(rows):\n    for row in rows:\n        $0\n        last = row\n",
            "if row.second:\n            print(last)",
            id="what the loop defines behind the cursor",
        ),
        pytest.param("class Box:\n    side = 3\n    $0\n", "area = side * side", id="a class's own, in its body"),
        pytest.param("class Box:\n    def area(self):\n        $0\n", "return __class__, super()", id="a method's own"),
        pytest.param(
            "def f():\n    global total\n    total = 1\n\n\n$0\n", "print(total)", id="a global of a function"
        ),
        pytest.param("def f():\n    n = 1\n    def g():\n        $0\n", "nonlocal n\n        n += 1", id="a nonlocal"),
        pytest.param(FUNCTION, "print(__file__, __name__, __doc__)", id="what every module has"),
        pytest.param(FUNCTION, "return _('area')", id="the name of translations"),
        pytest.param(FUNCTION, "raise ExceptionGroup('a', [ValueError()])", id="a builtin of newer Pythons"),
        pytest.param("try:\n    $0\nexcept NameError:\n    pass\n", "unicode", id="what is tried"),
        pytest.param("print(given)\n$0\n", "print(given)", id="what the file uses without a definition"),
        pytest.param("from os import *\n$0\n", "print(getcwd())", id="with a star import"),
        pytest.param("exec(code())\n$0\n", "print(secret)", id="with exec"),
        pytest.param("globals().update(a=1)\n$0\n", "print(a)", id="with globals()"),
        pytest.param("def f():\n    locals()['a'] = 1\n    $0\n", "print(a)", id="with locals()"),
        pytest.param("def __getattr__(name): ...\n$0\n", "print(a)", id="with a module's __getattr__"),
        pytest.param("import builtins\nbuiltins.a = 1\n$0\n", "print(a)", id="with names put into builtins"),
        pytest.param("x = (\n$0\n", "print(a)", id="in a file that does not parse"),
        pytest.param("def f(:\n    pass\n\n$0\n", "print(a)", id="with an error elsewhere"),
        pytest.param("x = '$0'\n", "height", id="in a string"),
        pytest.param("# $0\n", "height", id="in a comment"),
        pytest.param("x = 1\nx.$0\n", "height", id="an attribute"),
        pytest.param("f = dict($0)\n", "height=1", id="a keyword argument"),
        pytest.param("x = typed$0\n", " + 1", id="a name that has been typed already"),
        pytest.param("size = 1\nx = si$0\n", "ze", id="a name whose beginning has been typed"),
    ],
)
def test_a_name_that_may_be_defined_stays(source: str, text: str) -> None:
    assert left(source, text) == (text, "")


@pytest.mark.parametrize(
    ("source", "text", "name"),
    [
        pytest.param("def f(a):\n    return $0\n", "a + b", "b", id="in the line that is typed in"),
        pytest.param("def f(a):\n    $0\n", "return b", "b", id="in a first statement"),
        pytest.param("def f(a):\n    $0\n", "print(f'{a} {b}')", "b", id="in an f-string"),
        pytest.param("def f(a):\n    local = a\n\n\n$0\n", "print(local)", "local", id="local to a function"),
        pytest.param(
            "class A:\n    n = 1\n    def f(self):\n        $0\n", "return n", "n", id="a class's, in a method"
        ),
        pytest.param("def f(a):\n    $0\n", "x = [i for i in a]; print(i)", "i", id="of a comprehension, behind it"),
        pytest.param("$0\n", "def f(a: Wrong): ...", "Wrong", id="in an annotation"),
        pytest.param("$0\n", "def f(a: 'Wrong'): ...", "Wrong", id="in an annotation that is a string"),
        pytest.param("$0\n", "class A(Wrong): ...", "Wrong", id="as a base class"),
        pytest.param("import os.path\n$0\n", "print(path)", "path", id="the last part of a module's name"),
        pytest.param("größe = 1\nx = 'ä'; $0\n", "y = größe + höhe", "höhe", id="behind what takes several bytes"),
        pytest.param("\ufeffa = 1\n$0\n", "a = c", "c", id="behind a mark of the byte order"),
        pytest.param("# coding: latin-1\nx = 'ä'; $0\n", "y = ö", "ö", id="in a file of another encoding"),
        pytest.param("def f(a):\r\n    $0\r\n", "return b", "b", id="with other line ends"),
        pytest.param("f($0)\nf = print\n", "b", "b", id="in brackets"),
        pytest.param("size = 1\nx = si$0\n", "des + 1", "sides", id="whose beginning has been typed"),
        pytest.param("a = 1\nä = a + si$0\n", "dé", "sidé", id="the same behind more bytes than characters"),
    ],
)
def test_an_undefined_name_is_named_and_nothing_is_left(source: str, text: str, name: str) -> None:
    assert left(source, text) == (None, name)


@pytest.mark.parametrize(
    ("source", "text", "shown"),
    [
        pytest.param(FUNCTION, "size = width\n    return sizes", "size = width", id="in front of the statement"),
        pytest.param(
            FUNCTION,
            "size = width\n    return sum(\n        [size, wrong]\n    )",
            "size = width",
            id="in front of all of its lines",
        ),
        pytest.param(
            FUNCTION,
            "for side in (width, height):\n        print(side)\n        wrong(side)\n    return 0",
            "for side in (width, height):\n        print(side)",
            id="in front of the innermost one",
        ),
        pytest.param(
            FUNCTION,
            "size = width\n    for side in (width, height):\n        wrong(side)",
            "size = width",
            id="not behind a header without a block",
        ),
        pytest.param(
            FUNCTION,
            "size = width\n    try:\n        print(size)\n    except Wrong:\n        pass",
            "size = width",
            id="not behind a try without an except",
        ),
        pytest.param(
            FUNCTION, "size = width\n\n    # and then\n    wrong()", "size = width", id="without what was said about it"
        ),
        pytest.param(
            FUNCTION,
            "if width:\n        print(1)\n    elif wrong:\n        print(2)",
            "if width:\n        print(1)",
            id="in front of an elif",
        ),
        pytest.param("$0\n", "a = 1\n\n@wrong\ndef f(): ...", "a = 1", id="in front of a decorator"),
        pytest.param(
            FUNCTION, "a = b = width\n    c = wrong\n    d = worse", "a = b = width", id="in front of the first of two"
        ),
        pytest.param(
            "def f(a):\r\n    $0\r\n", "x = a\r\n    y = 'ä'\r\n    z = wrong", "x = a\r\n    y = 'ä'", id="in CRLF"
        ),
        pytest.param("def f(a):\n    x = $0\n", "a\n    print(wrong)", "a", id="behind the end of the line typed in"),
    ],
)
def test_what_stands_in_front_of_it_is_shown(source: str, text: str, shown: str) -> None:
    found, name = left(source, text)
    assert found == shown
    assert name


def test_brackets_that_were_to_be_replaced_stay_where_they_are() -> None:
    source = "def f(a):\n    x = max($0)\n    return x\n"
    found = checked(source, "a, 1)\n    y = min(wrong)", over=")")
    assert (found.undefined, found.suggestion) == ("wrong", Suggestion("a, 1)", 22, 23))
    found = checked("def f(a):\n    print($0)\n", "a) + wrong", over=")")
    assert (found.undefined, found.suggestion) == ("wrong", None)


@pytest.mark.parametrize(
    "document",
    [
        {"language_id": "ruby", "path": "main.rb"},
        {"path": "main.pyi"},
        {"language_id": "markdown", "path": "a.md"},
    ],
)
def test_only_pythons_own_files_are_checked(document: dict[str, str]) -> None:
    assert left("$0\n", "print(wrong)", **document) == ("print(wrong)", "")


def test_a_larger_file_is_not_checked() -> None:
    line = "x = 1\n"
    small, large = (line * ((undefined.MOST_BYTES + more) // len(line)) for more in (-10, 10))
    assert left(f"{small}$0\n", "wrong") == (None, "wrong")
    assert left(f"{large}$0\n", "wrong") == ("wrong", "")


def test_no_warning_is_told_of_what_is_in_a_text() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert left("x = '\\d'\n$0\n", "y = '\\w' is wrong") == (None, "wrong")
    assert told == []


def test_how_often_a_file_is_parsed_for_one_text_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = undefined.parsed
    monkeypatch.setattr(undefined, "parsed", lambda source: parsed.append(source) or parse(source))
    wrong = "try:\n    a = 1\n" + "    a += 1\n" * 100 + "    wrong()\nexcept OSError:\n    pass"
    assert left("$0\n", wrong) == (None, "wrong")
    assert len(parsed) <= 7
    parsed.clear()
    assert left("x = 1\n" * 10_000 + "$0\n", wrong) == (None, "wrong")
    assert len(parsed) <= 5, "fewer in a large file"


DEEP = ["(" * 90, "[" * 5000, "-" * 20_000, "not " * 10_000, "a." * 10_000, "lambda: " * 5000, "1 if 1 else " * 5000]
DEEP += ["x=" * 10_000, "await " * 5000, "f'{" * 500, "a[" * 5000, "@" * 5000, "1**" * 10_000, "{1:" * 3000]


@pytest.mark.parametrize("deep", DEEP, ids=lambda deep: f"{deep[:12]!r}")
def test_deep_nesting_raises_nothing(deep: str) -> None:
    for text in (deep, deep + "1", f"x = {deep}1", deep + "1" + ")" * 90):
        checked("a = 1\n$0\n", text)
        checked(f"{text}\n$0\n", "print(a)")
    elifs = "if 1:\n    pass\n" + "elif 1:\n    pass\n" * 3000
    checked(f"{elifs}$0\n", "print(wrong)")
    nested = "".join(f"{' ' * depth}if 1:\n" for depth in range(99)) + " " * 99 + "pass\n"
    assert left(f"{nested}$0\n", "print(wrong)") == (None, "wrong")


def test_a_line_of_a_megabyte_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undefined, "parsed", lambda source: pytest.fail("it was parsed"))
    line = "x = [" + "1, " * 333_333 + "]\n"
    assert left(f"{line}$0\n", "print(wrong)") == ("print(wrong)", "")
    assert left("$0\n", line.strip()) == (line.strip(), "")


PIECES = (
    *"()[]{}<>\"'`\\:;,.=+-*/#@$%&|!?\n\n\n \t\r\0\f\v", '"""', "'''", "\r\n", "    ", "if x:", "else:", "def f():",
    "return", "class A", "import a", "from . import *", "del x", "global y", "lambda z:", "x", "名前", "é", "😀",
    "\u2028", "\x85", "except Wrong as e:", "match x:", "case [y, *_]:", "f'{wrong}'", "async ", "await ",
    "(yield)", "type X[T] = list[T]", "__all__ = ['no']", "nonlocal z", "*", "**", "try:", "with a as b:", "a" * 500,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_random_texts_raise_nothing_and_are_cut_in_front(seed: int) -> None:
    rng = random.Random(seed)
    source = sample(named("Python")).decode()
    for _ in range(scaled(1000) // 10):
        at = rng.choice([rng.randrange(len(source)), source.find("\n", rng.randrange(len(source))) + 1])
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))
        if rng.random() < 0.5:
            text += source[at : at + rng.randrange(200)]
        damage = rng.choice(["", "", rng.choice(PIECES)])
        document, cursor = parse_cursor(source[:at].replace("$0", "") + "$0" + damage + source[at:].replace("$0", ""))
        found = without_undefined(Suggestion(text, cursor, cursor), document)
        if found.suggestion is None:
            assert found.undefined
        else:
            assert text.startswith(found.suggestion.text)
            assert bool(found.undefined) == (found.suggestion.text != text)
