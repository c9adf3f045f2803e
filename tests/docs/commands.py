"""The commands in pages of Markdown, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = (
    "fimble", ".ci/setup", ".venv/bin/python", "python", "pip", "pipx", "uv", "npm", "code", "sudo", "brew", "winget",
    "xcode-select", "ssh", "rm", "ln", "mkdocs", "twine", "pytest",
)  # fmt: skip
_STARTS = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(re.escape(name) for name in PROGRAMS)})\s")
# What a page says of all commands of one kind: `fimble models` over `list`, `pull NAME`, …
_TABLE = re.compile(r"\| `(fimble \w+)` \|")
# Said by Neovim's status line, or the name of an output.
_NO_COMMANDS = ("fimble off",)


def of_page(page: Path) -> list[list[str]]:
    """Each command's words, without what only a shell reads: variables in front, redirections, what follows &&."""
    found = []
    for text in _texts(page.read_text("utf-8")):
        for command in text.split("&&"):
            words = shlex.split(_plain(command), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words:
                found.append(words)
    return found


def _plain(command: str) -> str:
    """Without the marks for what can be left out (`[NAME]`, `[--all]`) or repeated (`…`, `DIR...`)."""
    command = re.sub(r"(?<=\s)\[([^\[\]]+)\](?=\s|$)", r"\1", command.strip())
    return command.replace("…", "").replace("...", "")


def _texts(page: str) -> Iterator[str]:
    """What stands in blocks of code whose first line is a command, and in back quotes if it begins like one."""
    prose = []
    for part in re.split(r"(^[ ]{0,3}```.*?^[ ]{0,3}```$)", page, flags=re.MULTILINE | re.DOTALL):
        if not part.lstrip().startswith("```"):
            prose.append(part)
        elif part.lstrip()[3:].split("\n", 1)[0] in ("", "sh", "bash", "console"):
            yield from _lines(part.split("\n", 1)[1].rsplit("\n", 1)[0])
    text = "\n".join(prose)
    blocks = re.findall(r"(?:^(?: {4}|\t).*\n?(?:\n(?= {4}))?)+", text, re.MULTILINE)
    for block in blocks:
        yield from _lines(block)
    table, above = "", ""
    for line in text.split("\n"):
        if not above.startswith("|"):
            table = match[1] if (match := _TABLE.match(line)) else ""
        above = line
        if line.startswith("    "):
            continue
        for code in re.findall(r"`([^`]+)`", line.split(" | ")[0] if table else line):
            if table and code != table:
                yield f"{table} {code}"
            elif _STARTS.match(f"{code} ") and code not in _NO_COMMANDS and " " in code:
                yield code


def _lines(block: str) -> Iterator[str]:
    lines = [line.strip() for line in block.replace("\\\n", " ").split("\n") if line.strip()]
    if lines and _STARTS.match(f"{lines[0]} "):
        yield from lines
