"""Reads settings files in TOML. They must be small and flat, since other files would take the parser minutes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from lsp_server.system.regular_file import NotRegularError, open_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 64 << 10
_MOST_PARTS, _MOST_DEPTH = 32, 32
_MOST_SHOWN = 200
# Strings and comments, in which dots and brackets do not count. One that does not end goes on to the end of the file or
# line, where the parser also stops.
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""(?:"{0,2})|\Z)|'
    r"'''.*?(?:'''(?:'{0,2})|\Z)|"
    r'"(?:\\.|[^"\\\n])*"?|'
    r"'[^'\n]*'?|"
    r"#[^\n]*",
    re.DOTALL,
)
_DOTTED = re.compile(r"(?<![\w-])[\w-]+(?:[ \t]*\.[ \t]*[\w-]+){%d}" % _MOST_PARTS)  # noqa: UP031
_BRACKET = re.compile(r"[\[\]{}]")


def read(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The content of a file, and an error message. (None, "") if there is no such file."""
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            return None, f"{path} is larger than {MOST_BYTES >> 10} KB, which no file of settings needs"
        text = content.decode("utf-8")
        if problem := _too_nested(text):
            return None, f"{path} cannot be used: {problem}"
        return tomllib.loads(text), ""
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except (IsADirectoryError, NotRegularError):
        return None, f"{path} cannot be read: it is not a file"
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return None, f"{path} is not valid TOML: {shown(error)}"
    except (ValueError, RecursionError) as error:  # an impossible path, or a number with thousands of digits
        return None, f"{path} cannot be used: {shown(error)}"


def _too_nested(text: str) -> str:
    """Why parsing a text would take time quadratic in its size or more; empty if it would not."""
    bare = _TEXT.sub(lambda found: "" if found[0].startswith("#") else "k", text)
    if _DOTTED.search(bare):
        return f"a key in it has more than {_MOST_PARTS} parts"
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in "[{" else -1
        if depth > _MOST_DEPTH:
            return f"brackets in it are nested more than {_MOST_DEPTH} deep"
    return ""


def shown(value: object) -> str:
    """A value of a file, or an error about it, as a part of one line for the user."""
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"
