"""Splits code into tokens, for any language: words, numbers, strings, comments and signs; and finds bracket pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import keywords

Kind = Literal["word", "keyword", "number", "string", "comment", "sign"]

_SIGNS = (
    rb">>>=|\.\.\.|===|!==|\*\*=|//=|>>=|<<=|&&=|\|\|=|\?\?=|=>|->|::|:=|==|!=|<=|>=|&&|\|\||\+\+|--|[-+*/%&|^]=|\*\*"
    rb"|\?\.|\?\?|<-|\.\.|[^\s\w]"
)
CLOSER = {b"(": b")", b"[": b"]", b"{": b"}"}
# Tokens of longer texts are not cached.
_KEPT_BYTES = 400
CLOSERS = frozenset(CLOSER.values())


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its offset in the text that it was read from."""

    kind: Kind
    text: bytes
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@lru_cache(maxsize=64)
def _lexer(quotes: str, comment: bytes) -> re.Pattern[bytes]:
    strings = b"|".join(
        rb"[A-Za-z]{0,2}%b(?:\\.|[^%b\\\r\n])*%b" % (q, q, q) for q in (re.escape(q.encode()) for q in quotes)
    )
    # If `'` does not begin a string, it may begin a lifetime or a symbol.
    word = rb"[\w\x80-\xff]+" if "'" in quotes else rb"'[A-Za-z_]\w*(?!')|[\w\x80-\xff]+"
    return re.compile(
        rb"(?P<comment>%b[^\r\n]*)|(?P<string>%b)|(?P<number>\d[\w.]*)|(?P<word>%b)|(?P<sign>%b)"
        % (re.escape(comment), strings, word, _SIGNS)
    )


@lru_cache(maxsize=512)
def _tokens(text: bytes, language: Language) -> tuple[Token, ...]:
    known, tokens = keywords(language), []
    for match in _lexer(language.quotes, language.comment[0].encode()).finditer(text):
        kind, found = match.lastgroup, match.group()
        tokens.append(Token("keyword" if found in known else kind, found, match.start()))  # type: ignore[arg-type]
    return tuple(tokens)


def tokens_of(text: bytes, language: Language) -> list[Token]:
    """The tokens of some lines. Recent results are cached, because most texts are read more than once."""
    return list(_tokens(text, language) if len(text) < _KEPT_BYTES else _tokens.__wrapped__(text, language))


def group_ends(tokens: Sequence[Token]) -> dict[int, int]:
    """The index of the closing bracket for each opening bracket that has one."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.text in CLOSER:
            opened.append(index)
        elif token.text in CLOSERS and opened and CLOSER[tokens[opened[-1]].text] == token.text:
            ends[opened.pop()] = index
    return ends


_SUBWORD = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z\d]+")


def subwords(text: bytes) -> list[bytes]:
    """The parts of an identifier: `parseHTTPUrl_2` consists of parse, HTTP, Url, _ and 2."""
    return _SUBWORD.findall(text)
