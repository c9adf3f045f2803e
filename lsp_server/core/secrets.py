"""Detects secrets: files that are made for them, and passwords, keys and tokens in the text of other files.

This is the only detector, for all text that a model is shown except the user's current document. In doubt it reports a
secret, because losing a piece of context costs little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePosixPath

from lsp_server.core.languages import find_language

# Files that hold secrets, by name and by folder. A program does not count, whatever its name.
_FILES = (
    *(".env*", "*.env", "env.*", ".envrc", ".git-credentials", "*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.asc"),
    *("*.gpg", "*.pgp", "*.ppk", "*.kdbx", "*.jks", "*.keystore", "*.agekey", "*.ovpn", "known_hosts"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.tfvars", "*.tfvars.json", "*.tfstate", "*.tfstate.*"),
    *("kubeconfig*", "*.kubeconfig", ".netrc", "_netrc", ".npmrc", ".pypirc", ".yarnrc*", ".htpasswd", ".pgpass"),
    *(".my.cnf", ".mylogin.cnf", ".dockercfg", ".dockerconfigjson", ".s3cfg", ".boto", ".vault-token", ".vault_pass*"),
    *("*credential*", "*secret*", "*password*", "*passwd*", "auth.json", "service-account*.json"),
    *("authorized_keys", "shadow"),
)
_FILE = re.compile("|".join(map(translate, _FILES)))  # one pattern is much faster than many
_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".gcloud", ".password-store", ".secrets"})
_PROGRAMS = ("wp-config.php", "local_settings.py")
_DATA = frozenset({"JSON", "YAML", "TOML"})

# The formats of tokens of services: how each begins, with no letter or digit before it, and how it goes on.
_TOKENS = tuple(
    (beginning.encode(), re.compile(re.escape(beginning).encode() + rest.encode()))
    for beginnings, rest in (
        ("AGE-SECRET-KEY-1", r"[0-9A-Z]{20}"),
        ("PuTTY-User-Key-File-", r"\d"),
        ("AKIA ASIA ABIA ACCA AROA AIDA", r"[0-9A-Z]{16}(?![0-9A-Za-z])"),
        ("ghp_ gho_ ghu_ ghs_ ghr_ npm_", r"\w{36}"),
        ("github_pat_ gsk_", r"\w{40}"),
        ("glpat- glptt- glrt- gldt- glcbt- glft- glsoat- glagent- glimt-", r"[\w-]{20}"),
        ("sk-", r"[\w-]{32}"),
        ("sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_", r"\w{10}"),
        ("whsec_", r"[\w+/=]{24}"),
        ("xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxe.xoxp-", r"[\w-]{10}"),
        ("xapp-", r"\d-[\w-]{20}"),
        ("hooks.slack.com/services/ hooks.slack.com/workflows/", r"[\w/]{20}"),
        ("discord.com/api/webhooks/ discordapp.com/api/webhooks/", r"\d+/[\w-]{20}"),
        ("AIza", r"[\w-]{35}"),
        ("ya29. GOCSPX- pypi-AgE dckr_pat_ dckr_oat_ hvs. hvb. hvr. .atlasv1.", r"[\w-]{20}"),
        ("dp.pt. dp.st. dp.ct. dp.sa.", r"[\w-]{20}"),
        ("1//0 :AA ATATT3 ATCTT3", r"[\w=-]{30}"),
        ("EAA", r"[\w-]{60}"),
        ("hf_", r"[A-Za-z]{34}"),
        ("rubygems_ dapi doo_v1_ dop_v1_ dor_v1_ sbp_ pul- shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
        ("SG.", r"[\w-]{16,}\.[\w-]{16}"),
        ("key- SK", r"[0-9a-f]{32}(?!\w)"),
        ("sq0atp- sq0csp-", r"[\w-]{22}"),
        ("lin_api_ ntn_ glsa_", r"\w{30}"),
        ("secret_", r"[A-Za-z0-9]{40}"),
        ("NRAK-", r"[A-Z0-9]{20}"),
        ("pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{32}"),
        ("AccountKey= SharedAccessKey=", r"[A-Za-z0-9+/]{30}"),
        ("?sig= &sig=", r"[\w%+/-]{30}"),
        ("eyJ", r"[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8}"),
    )
    for beginning in (beginnings.split(" ") if " " in beginnings else [beginnings])
)
# A quick filter: every token contains such a run of characters without a space, and ordinary text has few of them.
_LONG = re.compile(rb"[\w+/=.%:?&-]{15,}")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_PRIVATE_KEY_LINES = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[^\n]*|\Z)", re.DOTALL
)
REDACTED = b"REDACTED"
# `user:password@` in a URL, and the credentials in a header.
_IN_URL = re.compile(rb"://[^\s/:@\"'<>{}$]{0,80}:([^\s/@\"'<>{}$]{3,200})@")
_HEADER = re.compile(rb"(?:bearer|basic|authorization[\"']?\s*[:=,]\s*[\"']?token)[ \t]+([\w+/.=~-]{16,})")

# The end of a name that holds a secret, in lower case, and the text after it in an assignment: `NAME = "..."`,
# `"name": "..."`, `name: str = '...'`, `set("name", "...")`, `name=...`.
_WORDS = tuple(
    (beginning, re.compile(beginning + rest))
    for beginning, rest in (
        (b"pass", rb"(?:word|wd|phrase|code)?"),
        (b"pwd", b""),
        (b"secret", b""),
        (b"token", b""),
        (b"key", rb"(?:[_-]?id)?"),
        (b"credential", b""),
        (b"conn", rb"(?:ection)?[_-]?str(?:ing)?"),
        (b"dsn", b""),
        (b"salt", b""),
        (b"pin", rb"(?<![a-z]pin)"),
        (b"otp", rb"(?<![a-z]otp)"),
    )
)
_KEY_OF = re.compile(
    rb"(?:api|access|account|secret|private|signing|encryption|encrypt|master|auth|shared|service|license|deploy)[_-]?$"
)
_GIVEN = re.compile(
    rb"s?(?:[_-]?\d+)?([\"'`]?)\]?[ \t]*(?::[ \t]*&?[A-Za-z_][\w.\[\]<> |?]{0,40}?[ \t]*)?(:=|=>|=|:|,)[ \t]*"
    rb"(?:[rbfuRBFU@$L]{0,2}(\"\"\"|\"|'|`)((?:\\.|(?!\3)[^\\\n]){4,300})\3"
    rb"|(?<!,)(?<!, )([^\s\"'`(),;{}\[\]<>&]{6,200})(?=[\s\"'`;&]|$))"
)
# A value that is a name in the program or the beginning of a call (`_CODE`); but not one that mixes letters and digits
# as no name does (`_MIXED`).
_MIXED = re.compile(rb"^(?=\D*\d\D*\d)(?=.*[a-z])(?:(?=.*[A-Z])[A-Za-z0-9]{8,}|(?=(?:\D*\d){3})[A-Za-z0-9]{16,})$")
_CODE = re.compile(rb"^[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)*$")
_PASSWORD = re.compile(rb"pass|pwd|pin|otp")
# Placeholders for a value, references to the place where one is kept, and words of programs.
_PLACEHOLDER = re.compile(
    rb"(?i)^[<\[{(%$].*|\$\{|\{\{|^\W*$|x{3,}|\*{3}|\.\.\.|your|example|change[_-]?(?:me|it|this)|place[_-]?holder|dummy"
    rb"|insert|replace|redacted|todo|lorem|sample|^(?:none|null|nil|undefined|true|false|test|fake|mock|foo|bar|abc|admin)"
    rb"$|^(?:env|file|vault|arn|op|ref|secret|ssm|keyring)[:.]|^https?://[^@]*$|^[./~]|^process\.|^os\.|getenv|environ"
    rb"|\{[^{}]*\}|%[sd]"
)
_PROGRAM_WORDS = re.compile(
    rb"(?i)pass|pwd|word|secret|token|key|auth|login|user|field|input|form|reset|confirm|current|name|hash|code|type|text"
    rb"|string|value|enter|invalid|required|must|error|salt|pin|bearer|client|access|refresh|id$"
)
_WORDLIKE = re.compile(
    rb"^(?:[A-Za-z][a-z]*|[A-Z]+)(?:[\s_./:-]+(?:[A-Za-z][a-z]*|[A-Z]+))*[.!?:]?$|^[a-z]+(?:[A-Z][a-z]+)+$"
)


def is_secret_file(path: str) -> bool:
    """Whether a file is made for secrets, judged by its name and folders. Both `/` and `\\` separate folders."""
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.name.lower() in _PROGRAMS or not _FOLDERS.isdisjoint(parts.parts[:-1]):
        return True
    language = find_language("", parts.name)
    return speaks_of_secrets(path) and (language.wheel is None or language.name in _DATA)


def speaks_of_secrets(path: str) -> bool:
    """Whether a file's name suggests secrets: a file that holds some, or a program that deals with them."""
    name = PurePosixPath(path.replace("\\", "/")).name.lower()
    return _FILE.match(name) is not None


def holds_secret(text: bytes) -> bool:
    """Whether `text` contains a password, a key or a token. The time is proportional to the size: 15 ms for 256 KB."""
    long = b"\n".join(_LONG.findall(text))
    present = (pattern for beginning, pattern in _TOKENS if beginning in long)
    if any(_is_token(long, match) for pattern in present for match in pattern.finditer(long)):
        return True
    lower = text.lower()
    return (
        (b"PRIVATE KEY" in text and _PRIVATE_KEY.search(text) is not None)
        or any(_is_password(match[1]) for match in _IN_URL.finditer(text))
        or any(_is_random(text[slice(*match.span(1))]) for match in _HEADER.finditer(lower))
        or any(_is_given_secret(text, lower, word) for word in _words(lower))
    )


@lru_cache(maxsize=64)
def without_secrets(text: bytes) -> bytes:
    """The text with each line, or run of up to three lines, that contains a secret replaced by its indentation and
    REDACTED; also all lines of a private key. Empty if a secret is found even then. Cached, because most of a prompt
    does not change from key to key."""
    if not holds_secret(text):
        return text
    lines = _PRIVATE_KEY_LINES.sub(lambda key: b"\n".join([REDACTED] * (key[0].count(b"\n") + 1)), text).split(b"\n")
    for run in (1, 2, 3):
        for at in range(len(lines) - run + 1):
            if holds_secret(b"\n".join(lines[at : at + run])):
                lines[at : at + run] = [_redacted(line) for line in lines[at : at + run]]
    found = b"\n".join(lines)
    return b"" if holds_secret(found) else found


def _redacted(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())] + REDACTED


def _words(lower: bytes) -> Iterator[re.Match[bytes]]:
    """The ends of names that suggest secrets. Searching for plain text is much faster than for one pattern of many."""
    for beginning, pattern in _WORDS:
        at = lower.find(beginning)
        while at >= 0:
            if word := pattern.match(lower, at):
                yield word
            at = lower.find(beginning, at + 1)


def _is_given_secret(text: bytes, lower: bytes, word: re.Match[bytes]) -> bool:
    """Whether the value after a name that ends with `word` is a secret."""
    given = _GIVEN.match(text, word.end())
    if given is None:
        return False
    if word[0].startswith(b"key") and not _KEY_OF.search(lower, max(0, word.start() - 16), word.start()):
        return False
    listed, value = given[2] == b",", given[4]
    if value is None:
        value = given[5]
        if _CODE.match(value) and not _MIXED.match(value):
            return False
    elif listed and (not given[1] or _WORDLIKE.match(value)):
        return False  # one of several arguments or names
    if _PASSWORD.search(word[0]):
        return _is_password(value)
    return _is_random(value)


def _is_token(text: bytes, match: re.Match[bytes]) -> bool:
    start = match.start()
    return not (text[start : start + 1].isalnum() and text[start - 1 : start].isalnum())


def _is_password(value: bytes) -> bool:
    """Whether a value assigned to a password is a real one."""
    if len(value) < 4 or _PLACEHOLDER.search(value):
        return False
    if _WORDLIKE.match(value):
        return len(value) >= 8 and b" " not in value and not _PROGRAM_WORDS.search(value)
    return True


def _is_random(value: bytes) -> bool:
    """Whether a value assigned to a key or a token is a real one, and not a word of the program or a call."""
    if len(value) < 8 or _PLACEHOLDER.search(value) or _WORDLIKE.match(value) or b" " in value.strip():
        return False
    digits, symbols = len(re.findall(rb"\d", value)), re.search(rb"[^\w.:/\\-]", value)
    if not re.search(rb"[A-Za-z]", value):
        return False
    return digits > 1 or symbols is not None or (digits == 1 and len(value) >= 16)
