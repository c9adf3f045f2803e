"""Normalises URIs, so that different spellings of the same document compare equal."""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
# Escapes that are kept: of separators, which would change the meaning, and of bytes that are not UTF-8.
_ESCAPED = re.compile("[%/?#\udc80-\udcff]")
_FILE = re.compile(r"^file:(?://([^/?#]*))?(?=/)", re.IGNORECASE)
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_DRIVE = re.compile(r"^(file://[^/]*/)([A-Za-z])(:|%3A)(?=/|$)")


@lru_cache(maxsize=1024)
def normal_uri(uri: str) -> str:
    """One spelling for all URIs of the same document: unneeded escapes are decoded, others written in capitals; the
    scheme, the host of a file and the letter of a drive are in lower case.

    Only for comparison: clients get their own spelling back.
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
