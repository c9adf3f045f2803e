"""The parts of a rule: a weakness with its CWE number, and the code patterns that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What an argument or an assigned value must be. text: it has known parts. const: all of it is known. dynamic: it has
# unknown parts. built: it has known and unknown parts. open: it has only unknown parts. tainted: it comes from a user.
# risky: built or tainted; without known parts it must be tainted.
Value = Literal["any", "text", "const", "dynamic", "built", "open", "tainted", "risky"]

# What a pattern looks at. call: a call, a `new`, a macro. set: a name or a key that a value is assigned to. text: a
# text that is built from parts. define: a function definition.
Where = Literal["call", "set", "text", "define"]

# Special values for the index of an argument: any argument, and the last one.
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

    All expressions are regular expressions. name: must match the whole name of the called or defined function, or the
    last part of the assigned name. Dots stand for `->` and `::`, too. arg: the index of the argument to look at. key:
    its keyword, instead of an index. value: what the argument or assigned value must be. like, unlike: must or must not
    be found in its text, in which a NUL stands for each unknown value. has, lacks: must or must not be found in the
    text of the call. near: must be found in the name that the value is assigned to, or of the function around it.
    file: must be found in the file. unless: must not be found in the function around the place. count: the number of
    arguments.
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

    safe: what to write instead, by weakness. sources: an expression for values that come from a user. clean: an
    expression for calls that make a value harmless, besides those that do so in all languages.
    """

    safe: dict[str, str]
    patterns: tuple[Pattern, ...]
    sources: str = ""
    clean: str = ""

    def __post_init__(self) -> None:
        missing = {each.weakness for each in self.patterns} - set(self.safe)
        assert not missing, f"no safe form of {missing}"


# Patterns that several languages share ---------------------------------------------------------------------------

# Names of variables for secrets, and for passwords.
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
# A text that looks like a secret: without white space, and more than a word.
_SECRET_TEXT = r"^(?=[^\s\0]{6,200}$)(?=.*[a-z].*)(?=.*(?:[0-9]|[^\w.\-/:]))(?=.*[A-Za-z0-9]{4})[!-~]+$"
# Placeholders for a secret, and names of secrets.
_NO_SECRET = (
    r"(?i)^[<{\[$%]|[>}\])]$|your|example|change_?me|placeholder|xxx|\.\.\.|\*\*|dummy|^https?:|^/|\{\w*\}|%\w|%\("
    r"|^(?:[a-z]+[-_.])*(?:password|passwd|passphrase|secret|key|token)\d?$|(?-i:^[A-Z][A-Z0-9_]+$)|^[\w.-]+:$"
    r"|^\w+\(|^--?\w|[(|?\\]|^[a-z]+(?:[-_.][a-z]+)+\d?$"
)
# The formats of keys that well-known services issue.
KEY_FORMS = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bsk_live_[0-9A-Za-z]{20,}|\bxox[abp]-[0-9A-Za-z-]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/\\]{16}"
)

CREDENTIALS = (
    Pattern("credential", "set", _CREDENTIAL_NAME, value="const", like=_SECRET_TEXT, unlike=_NO_SECRET),
    Pattern("credential", "set", r"[\w.$\[\]\"'-]+", value="const", like=KEY_FORMS, unlike=r"EXAMPLE|XXXX"),
)

# A hole in the place of a value in SQL, in a text that is a statement or the rest of one.
_SQL_VALUE = r"(?:[=<>]|\b(?i:LIKE|IN\s*\(|VALUES\s*\([^\n;)]*?|BETWEEN))\s*(?:[\"'`(]|\\['\"])?%*\0"
SQL_TEXT = (
    r"(?s)^[\s(\"'`]*(?:(?:SELECT\s.{1,400}?\sFROM\s|INSERT\s+(?:OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s"
    r"|DELETE\s+FROM\s|REPLACE\s+INTO\s|select\s.{1,400}?\sfrom\s|insert\s+into\s|update\s+\S+\s+set\s"
    r"|delete\s+from\s)[^;]{0,2000}?" + _SQL_VALUE + r"|(?:WHERE|where)\s[^;]{0,500}?[=<>]\s*'\0)"
)
SQL = Pattern("sql", "text", like=SQL_TEXT)
HTML_TEXT = Pattern("html", "text", value="tainted", like=r"(?i)<\s*/?[a-z][a-z0-9]*\b[^<>]*>?.*\0")
TEMPORARY_TEXT = r"^/(?:var/)?tmp/[\w\0]"
