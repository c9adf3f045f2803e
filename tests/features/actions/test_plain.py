"""What an editor shows as a preview is text and code only, however a model or a program writes it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lsp_server.features.actions.plain import plain_markdown
from tests.support.effort import scaled

# A reader of Markdown that is not ours, as previews are: with HTML, tables and all.
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ACTIVE = {"image", "link_open", "html_inline", "html_block"}


def tokens(text: str) -> Iterator[Token]:
    def within(found: Sequence[Token]) -> Iterator[Token]:
        for token in found:
            yield token
            yield from within(token.children or [])

    return within(READER.parse(text))


def active(text: str) -> list[str]:
    """What a preview of `text` would fetch, follow or lay out."""
    return [f"{token.type} {token.content}" for token in tokens(text) if token.type in ACTIVE]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![a plot](http://a.b/c.png)", "a plot"),
        ("![](http://a.b/c.png?who=me)", ""),
        ("![a][1]\n\n[1]: http://a.b/c.png", "a\n\n\\[1]: `http://a.b/c.png`"),
        ("Press [here](command:workbench.action.terminal.new).", "Press here."),
        ("See [the file](file:///etc/passwd) and [x](javascript:alert(1)).", "See the file and x."),
        ("See [the docs](https://a.b/c 'Docs').", "See the docs (`https://a.b/c`)."),
        ("See [the module](./shop.py).", "See the module (`./shop.py`)."),
        ("[![a](http://a.b/c.png)](command:x)", "a"),
        ("<https://a.b/c> or https://a.b/d, www.a.b.", "`https://a.b/c` or `https://a.b/d`, `www.a.b`."),
        ("<command:x> vscode://file/a", "`command:x` `vscode://file/a`"),
        ("a<img src=x onerror=alert(1)>b", "a b"),
        ("a <script>alert(1)</script> b <!-- c --> d", "a   b   d"),
        ("<details>\n<summary>a</summary>\nb\n</details>", " \n a \nb\n "),
        ("```mermaid\nclick A 'http://a.b'\n```", "```\nclick A 'http://a.b'\n```"),
    ],
)
def test_links_are_text_and_images_and_html_are_gone(text: str, expected: str) -> None:
    assert plain_markdown(text) == expected
    assert not active(expected)


@pytest.mark.parametrize(
    "text",
    [
        "# Total\n\nAdds the `prices` of *all* **items**:\n\n1. loops\n2. returns `a[i](x)`\n\n- [ ] nothing\n",
        "| a | b |\n|---|---|\n| 1 | `x` |\n",
        "If a < b and c <= d, or x << 2 > y, then `List<String>` is `<b>`.",
        "```html\n<a href='x'>y</a>\n![z](w)\n```\n\nA path: src/a.py:3, a key: d[0]: e.",
        "````md\n```py\nx\n```\n````",
        "- one:\n  ```python\n  x = 1\n  ```\n- two",
        "    indented code",
        "Escaped \\`a\\`, \\<b>, 3 \\* 4.",
    ],
)
def test_what_is_plain_stays_as_it_is(text: str) -> None:
    assert plain_markdown(text) == text


def test_types_in_angle_brackets_stay_to_be_read() -> None:
    shown = plain_markdown("It takes a Map<String, List<T>> and gives a vector<int>.")
    assert not active(shown)
    inline = next(token for token in tokens(shown) if token.type == "inline")
    text = "".join(child.content for child in inline.children or [])
    assert text == "It takes a Map<String, List<T>> and gives a vector<int>."


@pytest.mark.parametrize(
    "text",
    [
        "> ```\n<img src=x>\n```",
        "- ```\n<img src=x>",
        "1. ~~~\n   ```\n   ~~~\n   <img src=x>\n   ```",
        "text\n      ```\n<img src=x>\n      ```",
        "a ` b\nc `<img src=x>` d",
        "| a |\n|---|\n| `x | <img src=x>` |",
        "`a\n- <img src=x>`",
        "```\n<img>\n``` x\n```\n<img src=x>\n",
        "\\\\<img src=x> \\`<img src=x>`",
        "<<!-- -->img src=x> <![CDATA[x]]>",
        "[a]![(http://b)](c) [a]<b>(http://c)",
        "[a\nb]: http://c\n\n[a b]",
        "<div\nonclick=x>\n\ny\n\n<x-y onclick=1>",
        "[a](<http://b c> (d)) [e]( http://f\n'g')",
    ],
)
def test_nothing_hides_between_two_ways_of_reading_it(text: str) -> None:
    assert not active(plain_markdown(text))


MARKS = (
    "` `` ``` ```` ~~~ ~~~~ < x> [ ] ( ) ![ ]( \\ \\` ! a * ** _ # = : \" ' | <? ?> ]]> <!-- --> </x <!X <![CDATA[ <div"
)
TAGS = "<img/src=x> <b> </b> <script> </script> <String> <x-y/onclick=1> <http://e.x> <command:x> http://e.x/y &lt;"
LINKS = "](http://e.x) [a] [a][b] ```python [a]:"
BREAKS = ("\n", "\n\n", "\n    ", "\n  ", "\n- ", "\n1. ", "\n> ", "    ", "\t", " ", "\n# ", "\n---\n", "\n===\n")
ROWS = (
    "\n|---|---|\n",
    "\n```\n",
    "\n  ```\n",
    "\n      ```\n",
    "\n~~~\n",
    "<div>\n",
    "<t\n",
    "\n[a]: http://e.x",
    "<img src=x>",
)
PIECES = (*MARKS.split(), *TAGS.split(), *LINKS.split(), *BREAKS, *ROWS)


def test_no_mixture_of_marks_gets_through() -> None:
    rng = random.Random(7)
    for _ in range(scaled(1500)):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(2, 30)))
        shown = plain_markdown(text)
        assert not active(shown), text
        assert plain_markdown(shown) == shown, text


@pytest.mark.parametrize("mark", ["[", "![", "<!--", "<a ", "`a", "](", "<script>", "[a](", "\\", "((", "[[]"])
def test_a_mark_over_and_over_ends_soon(mark: str) -> None:
    assert not active(plain_markdown(mark * 800))
