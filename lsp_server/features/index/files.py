"""Selects the files of a workspace folder for the index, and reads the declarations in each.

Only source files that people write, within limits. No files that contain or suggest secrets, that git ignores, or that
are behind a link. Nothing in the folder is run.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fnmatch import translate
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from lsp_server import children
from lsp_server.children import programs
from lsp_server.core.context import MOST_BYTES, is_source
from lsp_server.core.declarations import declarations_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.imports import import_lines
from lsp_server.core.languages import find_language
from lsp_server.core.secrets import is_secret_file, speaks_of_secrets
from lsp_server.features.index.installed import Library
from lsp_server.features.index.store import Entry
from lsp_server.features.untrusted_files import read_bytes

# The limits for one folder. Files near the edited ones come first; if there are none, those in the fewest folders.
MOST_FILES, MOST_DEPTH = 20_000, 32
_MOST_LISTED = 400_000
_GIT_SECONDS, _MOST_LIST_BYTES = 60.0, 64 << 20
_GIT_LIMITS = children.Limits(cpu_seconds=60, data_bytes=2 << 30, file_bytes=1 << 20)
# Git settings that would run a program or use the network are overridden.
_GIT_OPTIONS = ("core.fsmonitor=false", "core.untrackedCache=false", "core.hooksPath=/dev/null", "protocol.allow=never")
_GIT_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}

_SKIPPED_LANGUAGES = frozenset({"JSON", "YAML", "TOML", "Markdown", "HTML", "CSS"})
_SKIPPED_FOLDERS = frozenset(
    {
        *("node_modules", "bower_components", "target", "build", "dist", "out", "vendor", "third_party", "venv", "env"),
        *("__pycache__", "site-packages", "Pods", "DerivedData", "bin", "obj"),
    }
)
# A file that is in the folder of every Python environment.
_ENVIRONMENT = "pyvenv.cfg"
_GENERATED_NAMES = (
    *("*.min.js", "*.min.*", "*.bundle.js", "*.chunk.js", "*_pb2.py", "*_pb2_grpc.py", "*.pb.go", "*.pb.cc", "*.pb.h"),
    *(
        "*.g.cs",
        "*.designer.cs",
        "*.generated.*",
        "*_generated.*",
        "*.gen.go",
        "*.gen.ts",
        "zz_generated*",
        "moc_*.cpp",
    ),
)
_GENERATED_NAME = re.compile("|".join(map(translate, _GENERATED_NAMES)))
_GENERATED = re.compile(
    rb"(?i)@generated\b|code generated .{0,80}do not edit|\bauto-?generated\b|do not edit (?:this|by hand)"
)
_GENERATED_WITHIN = 1500
# A name and the one before its dot, and how many of both together are kept of a file.
_USE = re.compile(r"(?:\b([^\W\d]\w*)(?:\.|::))?(?<!\w)([^\W\d]\w{2,})")
_MOST_USES = 1000
# A path that git accepts in every repository, whether the file exists or not.
_ANY = "fimble.toml"
# The language of a file that declares nothing. It has an entry, so that it is not read again.
NOTHING = ""


def is_wanted(path: str) -> bool:
    """Whether a file below the folder is source code that people write, judged by its path alone."""
    *folders, name = path.split("/")
    stem, dot, ending = name.rpartition(".")
    if not _is_source(f"{dot}{ending}" if stem else name) or len(folders) >= MOST_DEPTH:
        return False
    if not _SKIPPED_FOLDERS.isdisjoint(folders) or any(folder.startswith(".") for folder in folders):
        return False
    return not (_GENERATED_NAME.match(name) or speaks_of_secrets(name) or is_secret_file(path))


@lru_cache(maxsize=4096)
def _is_source(ending: str) -> bool:
    """Whether files with this ending, or with this name, are code in a language with a grammar."""
    language = find_language("", f"a{ending}" if ending.startswith(".") else ending)
    return language.wheel is not None and language.name not in _SKIPPED_LANGUAGES


def listed(root: Path, near: Sequence[str] = ()) -> list[str]:
    """The paths of the files for the index, those nearest to `near` first."""
    found = _listed_by_git(root)
    paths = found if found is not None else _walked(root)
    wanted = dict.fromkeys(path for path in islice(paths, _MOST_LISTED) if is_wanted(path))
    folders = [PurePosixPath(path).parent.parts for path in near]
    order = sorted(wanted, key=lambda path: (_steps(path, folders), path))
    return order[:MOST_FILES]


def still_listed(root: Path, paths: Sequence[str]) -> list[str]:
    """Those of `paths`, and of the files in them if they are folders, that belong in the index."""
    paths = [path for path in paths if _is_below(path)]
    if not paths:
        return []
    found = _listed_by_git(root, paths)
    if found is None and _listed_by_git(root, [_ANY]) is not None:
        # Git refuses one of the paths, for example a file behind a link, so it is asked for each separately.
        found = [each for path in paths for each in _listed_by_git(root, [path]) or ()]
    elif found is None:
        found = [each for path in paths for each in (_walked(root, path) if _is_folder(root / path) else [path])]
    return [path for path in islice(found, _MOST_LISTED) if is_wanted(path)]


def stamp_of(root: Path, path: str) -> str | None:
    """A text that differs after a change of the file. None if the file does not exist, is too large, is not a regular
    file or is behind a link."""
    try:
        above, _, _ = path.rpartition("/")
        if above and not _is_real_folder(root, above):
            return None
        found = os.lstat(f"{root}/{path}")
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        return None
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _is_real_folder(root: Path, path: str) -> bool:
    """Whether a path below the root is a folder without links above it. Raises OSError."""
    parts = path.split("/")
    return all(
        stat.S_ISDIR(os.lstat("/".join((str(root), *parts[:depth]))).st_mode) for depth in range(1, len(parts) + 1)
    )


def entry_of(root: Path, path: str, stamp: str) -> Entry:
    """The declarations in a file. A file that is generated, minified, not text or that has a secret has none."""
    return _entry(root / path, path, stamp, root.name, library=False)


def library_entry(library: Library) -> Entry:
    """The public declarations in a file of an installed package."""
    entry = _entry(library.file, library.path, library.stamp, "", library=True)
    public = (each for each in entry.declarations if not all(name.startswith("_") for name in each.defines))
    return replace(entry, declarations=tuple(public))


def _entry(file: Path, path: str, stamp: str, folder: str, *, library: bool) -> Entry:
    nothing = Entry(path, stamp, NOTHING, (), (), library)
    source = read_bytes(file, MOST_BYTES + 1)
    if source is None or not source.strip() or len(source) > MOST_BYTES:
        return nothing
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return nothing
    document = DocumentSnapshot.of(file.as_uri(), source, path=path, folder=folder)
    if (not library and _GENERATED.search(source, 0, _GENERATED_WITHIN)) or not is_source(document):
        return nothing
    language = find_language("", path)
    imports = tuple(line.decode("utf-8", "replace") for line in import_lines(language, source[: 1 << 16]))
    declarations = declarations_of(document)
    uses = frozenset() if library else _uses(source, {name for each in declarations for name in each.defines})
    return Entry(path, stamp, language.name, imports, declarations, library, uses)


def _uses(source: bytes, own: Collection[str]) -> frozenset[tuple[str, str]]:
    """The names that a file uses and does not define: each alone, and behind the name before its dot."""
    found: set[tuple[str, str]] = set()
    for qualifier, name in _USE.findall(source.decode("utf-8", "replace")):
        if name not in own and len(found) < _MOST_USES:
            found.add(("", name))
            if qualifier:
                found.add((qualifier, name))
    return frozenset(found)


def _steps(path: str, folders: Sequence[tuple[str, ...]]) -> int:
    """The number of steps from a file to the nearest of some folders."""
    parts = PurePosixPath(path).parent.parts
    least = len(parts) if not folders else 1 << 20
    for folder in folders:
        same = next(
            (i for i, (a, b) in enumerate(zip(parts, folder, strict=False)) if a != b), min(len(parts), len(folder))
        )
        least = min(least, len(parts) + len(folder) - 2 * same)
    return least


def _listed_by_git(root: Path, paths: Sequence[str] = ()) -> list[str] | None:
    """The files that git tracks or does not ignore; None if there is no repository or no git."""
    program = programs.find("git", [root])
    if program is None:
        return None
    options = [part for option in _GIT_OPTIONS for part in ("-c", option)]
    command = [program, "--literal-pathspecs", "--no-pager", *options, "ls-files", "-z", "--cached", "--others"]
    environment = {name: value for name, value in programs.environment([root]).items() if not name.startswith("GIT_")}
    try:
        done = children.run(
            [*command, "--exclude-standard", "--", *paths],
            _GIT_LIMITS,
            seconds=_GIT_SECONDS,
            cwd=root,
            env={**environment, **_GIT_ENVIRONMENT},
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0 or len(done.stdout) > _MOST_LIST_BYTES:
        return None
    return [name.decode() for name in done.stdout.split(b"\0") if name and _is_text(name)]


def _is_below(path: str) -> bool:
    """Whether a path is relative and stays below the folder."""
    parts = PurePosixPath(path)
    return bool(parts.parts) and not parts.is_absolute() and ".." not in parts.parts and "\0" not in path


def _is_text(name: bytes) -> bool:
    try:
        return "\n" not in name.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _walked(root: Path, below: str = "") -> Iterator[str]:
    """The files below a folder, those in the fewest folders first. Follows no links."""
    folders, seen = deque([below]), 0
    while folders and seen < _MOST_LISTED:
        folder = folders.popleft()
        try:
            with os.scandir(root / folder) as entries:
                found = sorted(islice(entries, _MOST_LISTED - seen), key=lambda entry: entry.name)
        except OSError:
            continue
        seen += len(found)
        if any(entry.name == _ENVIRONMENT for entry in found):
            continue
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    skipped = entry.name in _SKIPPED_FOLDERS or entry.name.startswith(".")
                    if not skipped and path.count("/") < MOST_DEPTH:
                        folders.append(path)
                elif entry.is_file(follow_symlinks=False) and path.isprintable():
                    yield path
            except OSError:
                continue


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
