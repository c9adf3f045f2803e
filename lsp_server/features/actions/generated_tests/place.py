"""The place for tests: a file with its framework, its imports and the command that runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_server.features.untrusted_files import read_text

_MOST_READ_BYTES = 200_000


class PlaceError(Exception):
    """There is no place for tests. The message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """file: the test file, inside the root. framework: its name. imports: the lines that import the code under test and
    the framework. hint: a sentence for the model. command: runs tests of the file; empty if unknown. In it, `{file}`
    and `{module}` are filled in, `{names}` becomes the tests' names joined by `join`, and a part with `{name}` is
    repeated for each test. begin: the beginning of the answer's first test. frame: the template of a new file in C or
    C++, with `{imports}`, `{tests}` and `{registered}`. note: what the user must do about a new file.
    """

    root: Path
    file: Path
    framework: str
    imports: tuple[str, ...]
    hint: str
    command: tuple[str, ...] = ()
    join: str = "|"
    begin: str = ""
    frame: str = ""
    note: str = ""

    def run_command(self, names: Sequence[str]) -> list[str]:
        """The command that runs only these tests. names: at least one."""
        relative = self.file.relative_to(self.root).as_posix()
        module = relative.removesuffix(".py").replace("/", ".")
        filled: list[str] = []
        for part in self.command:
            # The names are regular expressions; in JavaScript they may be any text.
            known = {"{file}": relative, "{module}": module, "{names}": self.join.join(map(re.escape, names))}
            for key, value in known.items():
                part = part.replace(key, value)  # noqa: PLW2901
            filled += [part.replace("{name}", name) for name in names] if "{name}" in part else [part]
        return filled


def read(path: Path) -> str:
    """The beginning of a file, without a byte order mark; empty if there is no such file."""
    return read_text(path, _MOST_READ_BYTES).removeprefix("\ufeff")


def name_parts(name: str) -> list[str]:
    """The parts of a qualified C++ name, outermost first, without template arguments. At least one."""
    bare = name
    while (shorter := re.sub(r"<[^<>]*>", "", bare)) != bare:
        bare = shorter
    return [part for part in bare.split("::") if part] or [name]


def test_folders(root: Path, file: Path) -> list[Path]:
    """The folders where a project may keep tests, the most likely first: mirrors of the source's folder, then plain
    ones."""
    relative = file.parent.relative_to(root) if file.is_relative_to(root) else Path()
    parts = relative.parts[1:] if relative.parts[:1] in {("src",), ("lib",)} else relative.parts
    found = [root / top / Path(*parts) for top in ("tests", "test")]
    if len(parts) > 1:
        found += [root / top / Path(*parts[1:]) for top in ("tests", "test")]
    found += [root / "tests", root / "test", file.parent / "tests", file.parent]
    return list(dict.fromkeys(found))


def relative(folder: Path, file: Path) -> str:
    """The path from `folder` to `file`, beginning with `./` or `../`."""
    ups = 0
    base = folder
    while not file.is_relative_to(base) and base != base.parent:
        base, ups = base.parent, ups + 1
    path = file.relative_to(base).as_posix()
    return "../" * ups + path if ups else f"./{path}"
