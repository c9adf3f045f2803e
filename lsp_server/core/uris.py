"""URIs that name the same document, however they are spelt."""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
# What divides a URI into its parts means something else where it is escaped; and what is no UTF-8 stays escaped.
_ESCAPED = re.compile("[%/?#\udc80-\udcff]")
_FILE = re.compile(r"^file:(?://([^/?#]*))?(?=/)", re.IGNORECASE)
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_DRIVE = re.compile(r"^(file://[^/]*/)([A-Za-z])(:|%3A)(?=/|$)")


@lru_cache(maxsize=1024)
def normal_uri(uri: str) -> str:
    """One spelling for all that name the same document: escapes that need not be any are written out, the others in
    capitals; the scheme, a file's host and a drive's letter are in small letters.

    Only for comparing: what a client is told is its own spelling.
    """
    uri = _ESCAPES.sub(_written_out, uri)
    uri = _SCHEME.sub(lambda match: match.group().lower(), uri)
    uri = _FILE.sub(_host, uri)
    return _DRIVE.sub(lambda match: f"{match[1]}{match[2].lower()}:", uri)


def _written_out(match: re.Match[str]) -> str:
    text = bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda each: f"%{ord(each.group()) & 0xFF:02X}", text)


def _host(match: re.Match[str]) -> str:
    host = (match[1] or "").lower()
    return "file://" + ("" if host == "localhost" else host)
