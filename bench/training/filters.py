"""Decides which files of a package are left out of the corpus, with a reason for each."""

from __future__ import annotations

import hashlib
import re

LARGEST_BYTES, SMALLEST_BYTES = 400_000, 100

_GENERATED = re.compile(
    r"auto-?generated|@generated|generated (by|from|with|file)|do not (edit|modify)|machine.generated", re.IGNORECASE
)
# Only certain forms: an assignment to `password` in a test is ordinary code.
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{40}"
    r"|\bxox[abpr]-\w{10}|\bsk-(?:proj-|ant-)?[A-Za-z0-9]{32}|\bAIza[\w-]{35}|\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.|\bhf_[A-Za-z]{34}\b"
)
_NOT_CODE = re.compile(r"[0-9]|\\x|\\u")
_LONG_TEXT = re.compile(r"[A-Za-z0-9+/=]{200,}")


def reason_against(path: str, source: bytes) -> str:
    """Why a file is left out, in a word or two; empty if it is kept."""
    if len(source) > LARGEST_BYTES:
        return "large"
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    if len(text.strip()) < SMALLEST_BYTES:
        return "small"
    if "\0" in text:
        return "binary"
    lines = text.splitlines()
    if path.endswith((".min.js", "-min.js")) or max(map(len, lines)) > 1000 or len(text) / len(lines) > 120:
        return "minified"
    if _GENERATED.search(text[:2000]) or path.endswith(("_pb2.py", "_pb2_grpc.py", ".generated.ts")):
        return "generated"
    if _LONG_TEXT.search(text) or len(_NOT_CODE.findall(text)) > 0.2 * len(text):
        return "data"
    if sum(character.isalpha() for character in text) < 0.3 * len(text):
        return "data"
    if _SECRETS.search(text):
        return "secret"
    return ""


def is_held_out(package: str, percent: float) -> bool:
    """Whether a whole package is kept for evaluation. A hash of its name decides, so the result is the same on every
    machine."""
    digest = hashlib.sha256(f"fimble held out {package.lower()}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < percent / 100 * 2**32
