"""`fimble index`: shows the index of the current folder, or what a prompt at a place would show from it, and why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.commands.output import human_size, tell
from lsp_server.commands.place import CommandError

if TYPE_CHECKING:
    from lsp_server.core.index_offer import Why
    from lsp_server.core.modules import Module
    from lsp_server.core.pieces import Piece

# The default window; it determines how many tokens of a prompt are for other files.
_PROMPT_TOKENS = 2560


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble index`."""
    parser = commands.add_parser(
        "index",
        parents=[common],
        help="show what is known of the current folder's files, and what a prompt would show of them",
        description="Brings the index of the current folder up to date and shows what is in it.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="",
        metavar="FILE:LINE[:COL] | clear",
        help="show what a prompt at this place would show of other files, and why; or remove the index",
    )
    parser.add_argument("--files", action="store_true", help="show each file and what it defines")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Raises CommandError, one line, if this folder cannot have an index or the place does not exist."""
    from lsp_server.features.index.store import database_path, remove
    from lsp_server.settings import sources

    root = Path.cwd()
    if options.what == "clear":
        try:
            remove(database_path(root))
        except OSError as error:
            raise CommandError(f"{database_path(root)} cannot be removed: {error.strerror}") from None
        tell(f"the index of {root} is removed; with `project_index = true` it is made again")
        return 0
    settings, problems = sources.load([root])
    if problems:
        raise CommandError("; ".join(problems))
    if not settings.project_index:
        raise CommandError(
            "`project_index` is off, so there is no index: `project_index = true` in a fimble.toml switches it on, and "
            "`fimble index clear` removes an earlier one"
        )
    place = _place(options.what) if options.what else None
    _update(root)
    if place is None:
        _show(root, options)
    else:
        _show_place(root, *place, settings.buffers_tokens, as_json=options.json)
    return 0


def _update(root: Path) -> None:
    from contextlib import closing

    from lsp_server.features.index.build import Builder
    from lsp_server.features.index.roots import may_index
    from lsp_server.features.index.store import StoreError

    if not may_index(root):
        raise CommandError(f"{root} is or holds a home folder, of which there is no index; go to a project's folder")
    try:
        with closing(Builder(root)) as builder:
            builder.scan()
    except StoreError as error:
        raise CommandError(str(error)) from None


def _update_libraries(root: Path, path: str, modules: Sequence[Module]) -> int:
    """Adds what a file imports from installed packages to the index. Returns how many files were added."""
    from contextlib import closing

    from lsp_server.features.index.build import Builder

    with closing(Builder(root)) as builder:
        return builder.libraries(path, modules)


def _show(root: Path, options: argparse.Namespace) -> None:
    from lsp_server.features.index.reader import Reader
    from lsp_server.features.index.store import database_path

    reader = Reader(root)
    summary = reader.summary()
    if summary is None:
        raise CommandError(f"the index {database_path(root)} cannot be read; `fimble index clear` removes it")
    languages = {name: count for name, count in summary.languages.items() if name}
    left_out = summary.files - sum(languages.values())
    files = reader.listed() if options.files else []
    if options.json:
        values = {
            "folder": str(root),
            "database": str(database_path(root)),
            "bytes": summary.bytes,
            "files": sum(languages.values()),
            "leftOut": left_out,
            "packageFiles": summary.libraries,
            "definitions": summary.declarations,
            "languages": languages,
        }
        if options.files:
            values["list"] = [
                {"path": each.path, "definitions": [list(one) for one in each.declarations]}
                for each in files
                if each.language
            ]
        tell(json.dumps(values, indent=2))
        return
    tell(f"{root}: {summary.declarations} definitions in {sum(languages.values())} files")
    tell("  " + ", ".join(f"{name} {count}" for name, count in languages.items()) if languages else "  no source files")
    if summary.libraries:
        tell(f"  {summary.libraries} files of installed packages")
    if left_out:
        tell(f"  {left_out} files are left out: generated, minified, no text, or with a password or a key in them")
    tell(f"  in {database_path(root)}, {human_size(summary.bytes)}, for you alone to read")
    for each in files:
        for line, head, doc in each.declarations:
            shown = " ".join(head.split())
            tell(_printable(f"{each.path}:{line}: {shown}" + (f"  # {doc}" if doc else "")))


def _place(text: str) -> tuple[Path, int, int | None]:
    from lsp_server.commands.complete import parse_place

    return parse_place(text)


def _show_place(root: Path, path: Path, line: int, column: int | None, tokens: int, *, as_json: bool) -> None:
    from lsp_server.commands.place import read_place
    from lsp_server.core.context import choose_context, prompt_budget
    from lsp_server.core.fim_formats import FORMATS
    from lsp_server.core.hole import find_hole
    from lsp_server.features.index.lookup import Lookup

    document, offset = read_place(path, line, 1 if column is None else column)
    if column is None:
        offset = document.line_end(line - 1)
    if not document.folder:
        raise CommandError(f"{path} lies outside {root}, of which the index is")
    hole = find_hole(document, offset)
    lookup = Lookup([root])
    offer = lookup.offer(document, hole, (), ())
    if root in lookup.imports and _update_libraries(root, *lookup.imports[root]):
        offer = lookup.offer(document, hole, (), ())
    form = next(form for form in FORMATS if form.has_fim)
    budget = prompt_budget(form, _PROMPT_TOKENS, tokens)
    chosen = choose_context(document, hole, (), budget.context, offer=offer).pieces
    shown = sorted(offer.pieces.items(), key=lambda each: -each[1].score)
    if as_json:
        tell(json.dumps([_as_json(piece, why, shown=piece in chosen) for piece, why in shown], indent=2))
        return
    if not shown:
        tell("nothing of other files would be shown here")
    for piece, why in shown:
        mark = "shown" if piece in chosen else "no room"
        tell(_printable(f"{why.score:6.1f}  {mark:7}  {piece.path}: {why.reason}"))
        for text in piece.text.decode("utf-8", "replace").splitlines():
            tell(_printable(f"                   {text}"))


def _as_json(piece: Piece, why: Why, *, shown: bool) -> dict[str, Any]:
    return {
        "path": piece.path,
        "defines": list(piece.defines),
        "score": why.score,
        "reason": why.reason,
        "shown": shown,
        "text": piece.text.decode("utf-8", "replace"),
    }


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)
