"""The cases of each language: code that a rule finds, and the safe form, which none finds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"^=== (?P<weakness>\w+) (?P<kind>bad|good)\n", re.MULTILINE)
FOLDER = Path(__file__).parent
# The file of a language's cases; some share one.
FILES = {
    "python": "python",
    "javascript": "javascript",
    "typescript": "javascript",
    "typescriptreact": "javascript",
    "go": "go",
    "java": "java",
    "c": "c",
    "cpp": "cpp",
    "php": "php",
    "ruby": "ruby",
    "rust": "rust",
}


@dataclass(frozen=True)
class Case:
    """language: an LSP identifier. weakness: what is found, or, of a safe form, what its neighbours have."""

    language: str
    weakness: str
    is_bad: bool
    code: str
    number: int

    @property
    def id(self) -> str:
        return f"{self.language}-{self.weakness}-{'bad' if self.is_bad else 'good'}-{self.number}"


def cases() -> list[Case]:
    """All cases, language by language."""
    found = []
    for language, file in FILES.items():
        text = (FOLDER / f"{file}.txt").read_text("utf-8")
        heads = [*_HEAD.finditer(text)]
        ends = [*(head.start() for head in heads[1:]), len(text)]
        for number, (head, end) in enumerate(zip(heads, ends, strict=True)):
            code = text[head.end() : end]
            found.append(Case(language, head["weakness"], head["kind"] == "bad", code, number))
    return found
