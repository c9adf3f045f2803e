"""Makes the README's links absolute, as PyPI shows it without the files beside it: `pypi_readme.py URL REVISION`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def absolute(text: str, repository: str, revision: str) -> str:
    """The page with links to the repository at one revision; pictures, as such."""

    def replaced(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        return f"{picture}[{label}]({repository}/{'raw' if picture else 'blob'}/{revision}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", replaced, text)


if __name__ == "__main__":
    README.write_text(absolute(README.read_text("utf-8"), *sys.argv[1:3]), "utf-8")
