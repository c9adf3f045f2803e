"""Finds the licence of a package in its metadata, and decides whether its code may be used for training.

Only permissive licences count, which require no more than attribution. MPL and LGPL are left out, because it is unclear
what their rules for changed files mean for a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_NAMES = """
MIT MIT-0 MIT-CMU X11 BSD BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear 0BSD Apache-2.0 ISC PSF-2.0 Python-2.0
Python-2.0.1 CNRI-Python Zlib BSL-1.0 Unlicense HPND NCSA BlueOak-1.0.0 CC0-1.0
"""
PERMISSIVE = frozenset(_NAMES.split())
_BY_KEY = {name.lower(): name for name in PERMISSIVE}

_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "BSD License": "BSD",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "zlib/libpng License": "Zlib",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "University of Illinois/NCSA Open Source License": "NCSA",
}

# How authors write a licence in the free-text field of old metadata.
_SPELLINGS = (
    (r"(the )?mit( license)?( \(mit\))?", "MIT"),
    (r"(the )?(new |modified |simplified )?bsd(.?(license|style))?", "BSD"),
    (r"bsd.?3.?clause( license)?|3.?clause bsd( license)?", "BSD-3-Clause"),
    (r"bsd.?2.?clause( license)?|2.?clause bsd( license)?", "BSD-2-Clause"),
    (r"apache(.software)?( license)?,?( version)?[ -]?2(\.0)?( license)?|asl 2(\.0)?", "Apache-2.0"),
    (r"isc( license)?( \(iscl\))?", "ISC"),
    (r"psf(-2\.0)?( license)?|psfl|python software foundation license", "PSF-2.0"),
)

# A sentence that is only in the licence's own text.
_TEXTS = (
    (r"Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
    (r"Redistribution and use in source and binary forms, with or without modification, are permitted", "BSD"),
    (r"Apache License\s+Version 2\.0, January 2004", "Apache-2.0"),
    (r"Permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"),
)
_COPYLEFT = re.compile(
    r"GNU (LESSER |AFFERO )?GENERAL PUBLIC|Mozilla Public License|CC[- ]BY[- ](SA|NC)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Licence:
    """expression: an SPDX expression if known, else the package's own words. source: the place of this information."""

    expression: str
    source: str
    permissive: bool


UNKNOWN = Licence("unknown", "nothing", False)


def is_permissive(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied by permissive licences alone.

    `OR` needs one side, `AND` both. A name that is not in the table is not permissive.
    """
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    position = 0

    def next_is(word: str) -> bool:
        return position < len(tokens) and tokens[position].upper() == word

    def either() -> bool:
        nonlocal position
        result = both()
        while next_is("OR"):
            position += 1
            result = both() or result
        return result

    def both() -> bool:
        nonlocal position
        result = one()
        while next_is("AND"):
            position += 1
            result = one() and result
        return result

    def one() -> bool:
        nonlocal position
        if position >= len(tokens):
            return False
        token = tokens[position]
        position += 1
        if token == "(":
            result = either()
            position += 1
            return result
        if next_is("WITH"):
            position += 2
        return token.lower() in _BY_KEY

    result = either()
    return result and position >= len(tokens)


def of_words(words: str) -> str:
    """The SPDX name for a licence in free text, or an empty string."""
    plain = " ".join(words.split()).strip(" .").lower()
    if plain in _BY_KEY:
        return _BY_KEY[plain]
    return next((name for pattern, name in _SPELLINGS if re.fullmatch(pattern, plain)), "")


def of_text(text: str) -> str:
    """The SPDX name of the licence whose text this is, or an empty string, also for a text with copyleft."""
    plain = " ".join(text.split())
    if _COPYLEFT.search(plain):
        return ""
    return next((name for pattern, name in _TEXTS if re.search(pattern, plain)), "")


def of_distribution(distribution: metadata.Distribution) -> Licence:
    """The licence of an installed Python package: its expression, else classifiers, free text, licence file.

    All licences in the classifiers must be permissive, because classifiers cannot express `or`.
    """
    fields = distribution.metadata
    expression = fields.get("License-Expression", "")
    if expression:
        return Licence(expression, "License-Expression", is_permissive(expression))
    named = [line.rpartition(" :: ")[2] for line in fields.get_all("Classifier", []) if line.startswith("License ::")]
    named = [name for name in named if name != "OSI Approved"]
    if named:
        known = [_CLASSIFIERS.get(name, "") for name in named]
        return Licence(" AND ".join(map(str, named if "" in known else known)), "Classifier", "" not in known)
    words = fields.get("License", "") or ""
    if words.strip() and words.strip().upper() != "UNKNOWN":
        name = of_words(words) or of_text(words) or (words if is_permissive(words) else "")
        return Licence(name or words.strip().splitlines()[0][:80], "License", bool(name))
    return _of_files((path.name, Path(str(path.locate()))) for path in distribution.files or ())


def of_npm_package(folder: Path) -> Licence:
    """The licence of an npm package by its package.json, else its licence file."""
    described = json.loads((folder / "package.json").read_text("utf-8"))
    words = described.get("license") or described.get("licenses") or ""
    if isinstance(words, list):
        words = " OR ".join(str(item.get("type", item) if isinstance(item, dict) else item) for item in words)
    if isinstance(words, dict):
        words = words.get("type", "")
    if words:
        name = str(words) if is_permissive(str(words)) else of_words(str(words))
        return Licence(name or str(words), "package.json", bool(name))
    return _of_files((path.name, path) for path in sorted(folder.iterdir()) if path.is_file())


def _of_files(files: Iterable[tuple[str, Path]]) -> Licence:
    for name, path in files:
        if re.match(r"licen[cs]e|copying", name, re.IGNORECASE) and path.is_file():
            found = of_text(path.read_text("utf-8", errors="replace"))
            return Licence(found or "unknown", name, bool(found))
    return UNKNOWN
