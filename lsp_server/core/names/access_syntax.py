"""How languages other than Python write an access to a member, such as `this.name`: data for the restriction of
names."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A complete string or block comment.
_ENDED = r"""/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
# Code inside a template string: complete, and still open at the end of the text.
_CLOSED_CODE, _OPEN_CODE = re.compile(r"\$\{[^{}]*\}"), re.compile(r"\$\{[^{}]*\Z")


@dataclass(frozen=True, slots=True)
class AccessSyntax:
    """receiver: the name by which a method refers to its object. word: the pattern of a name or of its beginning.
    separators: what is written between the receiver and a name. other_scope: matches text that may have begun a
    function in which the receiver is a different object. defines: matches the text before an access in a line if the
    access may define a new name. specials: the names that every object has. usual: those of them that are
    allowed although the file does not contain them. plain: matches complete strings and
    comments. marks: the beginnings of incomplete ones. free: texts that may follow a separator in place of a name.
    access: matches an access, or its receiver, at the end of a line."""

    receiver: str
    word: re.Pattern[str]
    separators: tuple[str, ...]
    other_scope: re.Pattern[str]
    defines: re.Pattern[str]
    specials: frozenset[str]
    usual: frozenset[str]
    plain: re.Pattern[str]
    marks: tuple[str, ...]
    free: tuple[str, ...]
    access: re.Pattern[str]

    def is_quoted(self, text: str) -> bool:
        """Whether the end of `text` is inside a string or comment, or may be."""
        rest = self.plain.sub("", text)
        before, tick, template = rest.rpartition("`")
        if tick and _OPEN_CODE.search(_CLOSED_CODE.sub("", template)) is None:
            return True
        return any(mark in before + template for mark in self.marks)

    def rests(self, begun: str) -> tuple[str, ...]:
        """The remaining parts of the separators that start with `begun`."""
        return tuple(each[len(begun) :] for each in self.separators if each.startswith(begun))


def _syntax(
    receiver: str,
    word: str,
    separators: str,
    other_scope: str,
    defines: str,
    specials: str,
    *,
    comments: str = "//",
    template: bool = False,
    free: str = "",
    usual: str = "",
) -> AccessSyntax:
    every = tuple(separators.split())
    begun = sorted({each[:count] for each in every for count in range(1, len(each))}, key=len, reverse=True)
    ends = "|".join(map(re.escape, sorted(every, key=len, reverse=True)))
    parts = "|".join(map(re.escape, begun)) or r"(?!)"
    # After a dot the word is a member, except after the three dots of a spread.
    before = r"(?:(?<![\w$.#@])|(?<=\.\.\.))"
    comment = "|".join(map(re.escape, comments.split()))
    plain = f"(?:{comment})[^\\n]*\\n|{_ENDED}" + (r"|`(?:\\.|[^`\\])*`" if template else "")
    return AccessSyntax(
        receiver,
        re.compile(word),
        every,
        re.compile(other_scope, re.MULTILINE),
        re.compile(defines),
        frozenset(specials.split()),
        frozenset(usual.split()),
        re.compile(plain, re.DOTALL),
        ('"', "'", "`", "/*", *comments.split()),
        tuple(free.split()),
        re.compile(
            rf"{before}(?P<receiver>{re.escape(receiver)})(?:(?P<end>{ends})(?P<name>(?:{word})?)|(?P<begun>{parts})?)\Z"
        ),
    )


# The parameters of a function before its block.
_ARGUMENTS = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_SCRIPT_FUNCTION = (
    r"\b(?:function|class|static|interface|namespace)\b|\bthis\s+instanceof\b|[\"']\s+in\s+this\b(?!\s*[.\[])"
    rf"|(?<![\w$])(?!(?:if|for|await|while|switch|catch|with)\b)[\w$\])'\">]+\s*{_ARGUMENTS}\s*(?::[^{{}}()\n]*)?\{{"
)
# Text before the beginning of a statement, or of another common place of an assignment; not the brace before code in a
# template or in JSX.
_SCRIPT_DEFINES = (
    r"(?:\A|.*(?:[;}]|(?:(?<![$=>])|(?<==>))\{|=>|\)|\*/|\belse|\bdo|\b(?:case\b.{0,80}|default)\s*:"
    r"|(?:\b(?:if|while)\s*\(|\bfor|&&|\|\||\?\?)(?=\s*\()))"
    r"\s*(?:[(\[]\s*(?:this\.[\w$#]+\s*,\s*)*)?\Z"
)

_SCRIPT = _syntax(
    "this",
    r"#?[\w$]+|#",
    ". ?. !.",
    _SCRIPT_FUNCTION,
    _SCRIPT_DEFINES,
    "constructor toString toLocaleString valueOf hasOwnProperty isPrototypeOf propertyIsEnumerable __proto__",
    template=True,
    usual="constructor",
)

_HEADERS = rf"(?<![\w$])(?!(?:if|for|foreach|while|switch|match|catch|try|synchronized|elseif|fn)\b)\w+\s*{_ARGUMENTS}"
# The arguments of a constructor with type arguments.
_GENERIC = rf">\s*{_ARGUMENTS}"
_STATEMENT = r"(?:\A|.*(?:[;{}]|\)|\*/|\belse|\bdo))\s*\Z"
_JAVA = _syntax(
    "this",
    r"[\w$]+",
    ".",
    rf"\b(?:class|static|interface|enum|record|default)\b|(?:{_HEADERS}|{_GENERIC})\s*(?:throws\s+[\w\s,.]*)?\{{",
    _STATEMENT,
    "getClass hashCode equals toString notify notifyAll wait clone finalize",
    free="<",
    usual="getClass",
)
_PHP = _syntax(
    "$this",
    r"\w+",
    "-> ?->",
    r"\bfunction\s+&?\w|\b(?:class|static|interface|enum|trait|instanceof)\b|\b(?:macro|bind|bindTo)\s*\("
    r"|(?<![\w\])])\(\s*function\b",
    _STATEMENT,
    "",
    comments="// #",
    free="$ {",
)

# By the names of languages.
ACCESS_SYNTAX: dict[str, AccessSyntax] = {
    "JavaScript": _SCRIPT,
    "TypeScript": _SCRIPT,
    "TSX": _SCRIPT,
    "Java": _JAVA,
    "PHP": _PHP,
}
