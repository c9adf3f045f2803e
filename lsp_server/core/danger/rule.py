"""What a rule is: a weakness with its CWE number, and the patterns of code that it is found by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What an argument or an assigned value has to be. text: one with known parts. const: known from the code. dynamic: not
# known from it. built: a text put together of what is known and what is not. open: dynamic, and not a text with known
# parts. tainted: made of what a user has sent. risky: built or tainted.
Value = Literal["any", "text", "const", "dynamic", "built", "open", "tainted", "risky"]

# What a pattern looks at. call: a call, a `new`, a macro. set: a name or a key that gets a value. text: a text that is
# put together. define: a function that is defined.
Where = Literal["call", "set", "text", "define"]

# As the place of an argument: whichever it is, and the last one.
ANY, LAST = -1, -2


@dataclass(frozen=True, slots=True)
class Weakness:
    id: str
    cwe: int
    sentence: str


WEAKNESSES = {
    each.id: each
    for each in (
        Weakness("sql", 89, "an SQL statement is put together with a value inside its text"),
        Weakness("shell", 78, "a shell command is put together with a value inside its text"),
        Weakness("code", 95, "a text that is not known here is run as code"),
        Weakness("deserialise", 502, "data is turned into objects in a way that lets the data run code"),
        Weakness("tls", 295, "the certificate or the key of the other side is not checked"),
        Weakness("hash", 916, "a password goes through a hash that is quick to try out"),
        Weakness("credential", 798, "a password, a key or a token stands in the code"),
        Weakness("path", 22, "a path is made of what a user has sent"),
        Weakness("html", 79, "HTML is made of a value that is not escaped"),
        Weakness("format", 134, "the format is not a fixed text"),
        Weakness("copy", 120, "a copy goes on until its source ends, however small its target is"),
        Weakness("temporary", 377, "a file for a moment is made under a name that others can know before"),
        Weakness("xml", 611, "XML is read with the external entities that it names"),
        Weakness("random", 338, "a secret is made of random numbers that can be predicted"),
    )
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of a weakness.

    name: an expression of the whole name of what is called, or of the function that is defined; of the last part of the
    name that gets the value. Dots stand for `->` and `::`, too. arg: which argument is looked at; key: the
    keyword of the argument, instead. value: what it must be. like, unlike: expressions of its text; a value that is not
    known is a NUL in it. has, lacks: expressions of all of the call. near: an expression of the names that a value goes
    to, and of the function around it. file, unless: expressions of the file, and of the function around the place.
    count: how many arguments there are.
    """

    weakness: str
    on: Where
    name: str = ""
    arg: int | None = None
    key: str = ""
    value: Value = "any"
    like: str = ""
    unlike: str = ""
    has: str = ""
    lacks: str = ""
    near: str = ""
    file: str = ""
    unless: str = ""
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one language.

    safe: what to write instead, by weakness. sources: an expression of what a user has sent. clean: what makes a value
    harmless: names of functions, besides those of all languages.
    """

    safe: dict[str, str]
    patterns: tuple[Pattern, ...]
    sources: str = ""
    clean: str = ""

    def __post_init__(self) -> None:
        missing = {each.weakness for each in self.patterns} - set(self.safe)
        assert not missing, f"no safe form of {missing}"


# Patterns that several languages share ---------------------------------------------------------------------------

# What a name says that holds a secret, and one that holds a password.
SECRET_NAME = (
    r"(?i)password|passwd|passphrase|secret|token(?!i[sz])|api_?key|session_?id|nonce|\botp|_otp|salt\b|csrf"
    r"|private_?key"
)
PASSWORD_NAME = (
    r"(?i)password(?!_?(?:reset|field|policy|strength|length|id\b))|passwd|passphrase|\bpwd\b|(?<![a-z])pass\b"
)

_CREDENTIAL_NAME = (
    r"(?i)(?:\w*_|\w*(?<=[a-z])(?-i:(?=[A-Z])))?"
    r"(?:password|passwd|pwd|passphrase|secret|secret_?key|api_?key|apikey|api_?secret|auth_?token|access_?token"
    r"|api_?token|bearer_?token|private_?key|access_?key|secret_?access_?key|encryption_?key|client_?secret)"
)
# A text that looks like a secret: no blank in it, and more than a word.
_SECRET_TEXT = r"^(?=[^\s\0]{6,200}$)(?=.*[a-z].*)(?=.*(?:[0-9]|[^\w.\-/:]))(?=.*[A-Za-z0-9]{4})[!-~]+$"
# What stands in for one, or names one.
_NO_SECRET = (
    r"(?i)^[<{\[$%]|[>}\])]$|your|example|change_?me|placeholder|xxx|\.\.\.|\*\*|dummy|^https?:|^/|\{\w*\}|%\w|%\("
    r"|^(?:[a-z]+[-_.])*(?:password|passwd|passphrase|secret|key|token)\d?$|(?-i:^[A-Z][A-Z0-9_]+$)|^[\w.-]+:$"
    r"|^\w+\(|^--?\w|[(|?\\]|^[a-z]+(?:[-_.][a-z]+)+\d?$"
)
# Forms of keys that services give out.
KEY_FORMS = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bsk_live_[0-9A-Za-z]{20,}|\bxox[abp]-[0-9A-Za-z-]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/\\]{16}"
)

CREDENTIALS = (
    Pattern("credential", "set", _CREDENTIAL_NAME, value="const", like=_SECRET_TEXT, unlike=_NO_SECRET),
    Pattern("credential", "set", r"[\w.$\[\]\"'-]+", value="const", like=KEY_FORMS, unlike=r"EXAMPLE|XXXX"),
)

# A hole in SQL where a value belongs, in a text that is a statement or goes on with one.
_SQL_VALUE = r"(?:[=<>]|\b(?i:LIKE|IN\s*\(|VALUES\s*\([^\n;)]*?|BETWEEN))\s*(?:[\"'`(]|\\['\"])?%*\0"
SQL_TEXT = (
    r"(?s)^[\s(\"'`]*(?:(?:SELECT\s.{1,400}?\sFROM\s|INSERT\s+(?:OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s"
    r"|DELETE\s+FROM\s|REPLACE\s+INTO\s|select\s.{1,400}?\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s"
    r"|delete\s+from\s)[^;]{0,2000}?" + _SQL_VALUE + r"|(?:WHERE|where)\s[^;]{0,500}?[=<>]\s*'\0)"
)
SQL = Pattern("sql", "text", like=SQL_TEXT)
HTML_TEXT = Pattern("html", "text", value="tainted", like=r"(?i)<\s*/?[a-z][a-z0-9]*\b[^<>]*>?.*\0")
TEMPORARY_TEXT = r"^/(?:var/)?tmp/[\w\0]"
