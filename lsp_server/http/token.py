"""The token that clients must know: the user's own, or one that is made once and kept in the state folder."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

from platformdirs import user_state_path

from lsp_server.system.kept_files import write_whole
from lsp_server.system.regular_file import open_regular

_MOST_BYTES = 4096
_TOKEN = re.compile(r"[\x21-\x7e]{16,}")


class TokenError(ValueError):
    """There is no usable token. The text is one line for the user."""


def token_path() -> Path:
    return user_state_path("fimble") / "http-token"


def read_token(path: Path) -> str:
    """The token in a file that only the user can read. Raises TokenError."""
    try:
        with open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TokenError(f"cannot read the token in {path}: {error.strerror or error}") from None
    if sys.platform != "win32" and mode & 0o077:
        raise TokenError(f"others can read the token in {path}: `chmod 600` it")
    token = content.decode("ascii", "replace").strip()
    if len(content) > _MOST_BYTES or not _TOKEN.fullmatch(token):
        raise TokenError(f"{path} must hold one token: 16 or more visible ASCII characters without spaces")
    return token


def kept_token() -> tuple[str, bool]:
    """The kept token, and whether it was made just now. Raises TokenError."""
    path = token_path()
    if path.exists():  # it is used, and never replaced, even if it is invalid
        return read_token(path), False
    token = secrets.token_urlsafe(32)
    try:
        write_whole(path, token.encode() + b"\n")  # readable for the user only, like temporary files
    except OSError as error:
        raise TokenError(f"cannot write the token to {path}: {error.strerror or error}; set XDG_STATE_HOME") from None
    return token, True
