"""`fimble action`: runs one code action at one place of a file, with the same code as in an editor."""

from __future__ import annotations

import argparse
import difflib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio

from lsp_server.backends.base import BackendFactory
from lsp_server.commands.place import CommandError, read_document, read_place, without_dots
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import applied
from lsp_server.core.languages import find_language
from lsp_server.core.outline import broken_at
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import in_this_process
from lsp_server.engine.request import Role
from lsp_server.features.actions.asking import ActionFailedError, Progress
from lsp_server.features.actions.catalogue import Action, catalogue
from lsp_server.features.actions.offers import Offer, offers, subject_at
from lsp_server.features.actions.runner import ActionRunner, Outcome, new_tests
from lsp_server.features.actions.subject import Problem
from lsp_server.settings import sources
from lsp_server.settings.fields import Settings
from lsp_server.system.user_folders import expanded

NO_EDIT = 1
_PLACE = re.compile(r"^(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?(?:-(?P<last>\d+))?$")


@dataclass(frozen=True, slots=True)
class _Change:
    """A file with its text before and after the change; before is None for a new file."""

    path: Path
    before: str | None
    after: str


def act(options: argparse.Namespace, factory: BackendFactory, overrides: Mapping[str, Any]) -> int:
    """Runs `options.action` at `options.place`. Returns the exit status: 1 if the action failed. Raises CommandError
    for an unknown action, a place that does not exist, or a wrong setting."""
    given = dict(overrides)
    if options.chat_model is not None:
        given["chat_model"] = str(expanded(options.chat_model).absolute())
    settings, problems = sources.load([Path.cwd()], [sources.Source("the command line", given)])
    actions, wrong = catalogue(settings.actions)
    if problems or wrong:
        raise CommandError("; ".join([*problems, *wrong]))
    if options.action not in actions:
        raise CommandError(f"there is no action {options.action!r}; known are {', '.join(actions)}")
    path, document, start, end = read_range(options.place)
    offer = _offer(document, start, end, actions, options)
    try:
        outcome = anyio.run(_run, factory, settings, document, offer, path)
        change = _change(document, offer, outcome, path)
        if change is not None and options.apply:
            _write(change)
    except ActionFailedError as error:
        if options.json:
            print(json.dumps({"action": offer.action.id, "error": str(error)}))  # noqa: T201
        print(f"fimble: {error}", file=sys.stderr)  # noqa: T201
        return NO_EDIT
    if options.json:
        print(json.dumps(_as_json(offer, outcome, change, applied=options.apply), indent=2))  # noqa: T201
        return 0
    if change is None:
        print(outcome.document)  # noqa: T201
        return 0
    sys.stdout.write(_diff(change))
    if note := _note(outcome, change):
        print(f"fimble: {note}", file=sys.stderr)  # noqa: T201
    return 0


def read_range(place: str) -> tuple[Path, DocumentSnapshot, int, int]:
    """The file, the document and the byte range of `FILE:LINE[:COL][-LINE]`, all counted from 1. Raises
    CommandError."""
    match = _PLACE.match(place)
    if match is None:
        raise CommandError(f"{place!r} is not of the form FILE:LINE[:COL][-LINE]")
    path = Path(match["file"])
    document, start = read_place(path, int(match["line"]), int(match["column"] or 1))
    if not match["column"]:
        # A line without a column means its first character after the indentation.
        line = document.line(int(match["line"]) - 1)
        start += len(line) - len(line.lstrip())
    end = start
    if match["last"]:
        last = int(match["last"])
        if not int(match["line"]) <= last <= document.line_count:
            raise CommandError(f"line {last} is not behind line {match['line']} of {path}")
        start, end = document.line_start(int(match["line"]) - 1), document.line_end(last - 1)
    return without_dots(path), document, start, end


def _offer(
    document: DocumentSnapshot, start: int, end: int, actions: Mapping[str, Action], options: argparse.Namespace
) -> Offer:
    """The offer for the action. Raises CommandError."""
    action = actions[options.action]
    if options.instruction:
        subject = subject_at(document, start, end)
        if subject is not None:
            return Offer(action, subject, options.instruction[:60], options.instruction)
    problems = []
    if action.id == "fix":
        problems = [Problem(start, end, options.problem)] if options.problem else _syntax_problems(document)
        if not problems:
            raise CommandError("`fix` needs to know what is wrong: give it with --problem MESSAGE")
    found = offers(document, start, end, problems, {action.id: action})
    if not found:
        hint = "; give the instruction with --instruction" if action.id == "edit" else ""
        raise CommandError(f"the action {action.id!r} is not for this place{hint}")
    return found[-1]


def _syntax_problems(document: DocumentSnapshot) -> list[Problem]:
    language = find_language(document.language_id, document.path)
    return [Problem(start, end, "syntax error") for start, end in broken_at(language, document.source)[:1]]


async def _run(
    factory: BackendFactory, settings: Settings, document: DocumentSnapshot, offer: Offer, path: Path
) -> Outcome:
    runner: ActionRunner | None = None

    def changed(role: Role, state: ModelState) -> None:
        if runner is not None:
            runner.model_changed()

    engine = in_this_process(factory, changed)
    runner = ActionRunner(engine, settings.action_options)
    shown = sys.stderr.isatty()

    def report(progress: Progress) -> None:
        if shown:
            rate = f", {progress.tokens} tokens, {progress.tokens_per_second:.0f}/s" if progress.tokens else ""
            sys.stderr.write(f"\r\x1b[K{progress.phase}{rate}")
            sys.stderr.flush()

    engine.start()
    try:
        if settings.action_options().shared:
            engine.load(settings.model_spec())
        root = Path.cwd()
        roots = (root,) if path.is_relative_to(root) else ()
        return await runner.run(document, offer, report, path=path, roots=roots)
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
        await engine.stop()


def _change(document: DocumentSnapshot, offer: Offer, outcome: Outcome, path: Path) -> _Change | None:
    """The change that the outcome makes; None if it changes nothing. Raises ActionFailedError."""
    if outcome.new_file is not None:
        return _Change(outcome.new_file[0], None, outcome.new_file[1])
    if outcome.tests is not None:
        file = outcome.tests.file
        before = read_document(file).source.decode() if file.is_file() else None
        found = new_tests(document, offer, outcome.answer, outcome.tests, before or "")
        if found.problem:
            raise ActionFailedError(found.problem)
        return _Change(file, before, found.text)
    if not outcome.edits:
        return None
    return _Change(path, document.source.decode(), applied(document.source, outcome.edits).decode("utf-8", "replace"))


def _note(outcome: Outcome, change: _Change | None) -> str:
    """The note for the user about a change; for a new test file, the note about its place."""
    if outcome.tests is not None and change is not None and change.before is None:
        return outcome.tests.note
    return outcome.note


def _write(change: _Change) -> None:
    """Writes a change, unless the file has changed since it was read. Raises ActionFailedError."""
    after = change.after.encode("utf-8", "replace")
    temporary = None
    try:
        path = change.path.resolve()  # so that a link stays a link
        if change.before is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                new.write(after)
            return
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name[:100], suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
        shutil.copymode(path, temporary)
        if path.read_bytes() != change.before.encode():
            raise ActionFailedError(f"{change.path} has changed meanwhile, so nothing was written")
        Path(temporary).replace(path)
    except FileExistsError:
        raise ActionFailedError(f"{change.path} has come up meanwhile, so nothing was written") from None
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ActionFailedError(f"{change.path} cannot be written: {why}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _diff(change: _Change) -> str:
    root = Path.cwd()
    name = change.path.relative_to(root).as_posix() if change.path.is_relative_to(root) else str(change.path)
    # Splits at line ends only: splitlines() would also split at form feeds.
    before, after = (list(io.StringIO(text, newline="\n")) for text in (change.before or "", change.after))
    old = f"a/{name}" if change.before is not None else "/dev/null"
    lines = difflib.unified_diff(before, after, old, f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _as_json(offer: Offer, outcome: Outcome, change: _Change | None, *, applied: bool) -> dict[str, Any]:
    return {
        "action": offer.action.id,
        "title": offer.title,
        "text": outcome.document or None,
        "file": str(change.path) if change else None,
        "new": change is not None and change.before is None,
        "diff": _diff(change) if change else None,
        "applied": applied and change is not None,
        "note": _note(outcome, change),
        "usage": asdict(outcome.usage),
    }
