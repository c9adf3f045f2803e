"""Runs code actions on real functions. Counts valid edits and messages, and checks that no edit breaks a file."""

from __future__ import annotations

import argparse
import ast
import difflib
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.remembering import RememberingEngine
from bench.report import write_json
from lsp_server.cli import _factory
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import applied
from lsp_server.core.languages import LANGUAGES, Language, find_language
from lsp_server.core.outline import Definition, broken_at, definitions
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.features.actions.catalogue import Action, Target, catalogue
from lsp_server.features.actions.offers import Offer, problem_subject, subject_at
from lsp_server.features.actions.runner import ActionRunner, Outcome, new_tests
from lsp_server.features.actions.subject import Problem
from lsp_server.settings import sources

_LANGUAGES = ("Python", "TypeScript", "Go", "Rust", "Java")
_ACTIONS = ("doc", "fix", "simplify", "types", "errors", "tests")
_CHUNK_TOKENS = 128
_KINDS = ("edited", "message", "broken")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with source files")
    parser.add_argument(
        "--languages", nargs="+", type=_language, default=list(_LANGUAGES), metavar="LANGUAGE", help="of the files"
    )
    parser.add_argument("--actions", nargs="+", default=list(_ACTIONS), help="one a function, in turn")
    parser.add_argument("--functions", type=int, default=20, help="how many of each language (default: 20)")
    parser.add_argument("--lines", type=int, default=30, help="the longest function (default: 30 lines)")
    parser.add_argument("--tokens", type=int, default=320, help="the longest answer (default: 320 tokens)")
    parser.add_argument("--window", type=int, default=4096, help="the model's (default: 4096 tokens)")
    parser.add_argument("--threads", type=int, default=0, help="of the model (default: as many as pay)")
    parser.add_argument("--chat-model", default="", help="a GGUF file instead of the starter model")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="answers are kept there; a run goes on with them")
    parser.add_argument("--diffs", action="store_true", help="print what every edit changes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts and the messages")
    parser.add_argument("--seed", type=int, default=1)


@dataclass(frozen=True, slots=True)
class Task:
    """One action on one function. offset: where the function begins."""

    language: Language
    path: Path
    source: bytes
    offset: int
    action: Action


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a task. kind: edited, message or broken. words: the message, or the note shown with the edit.
    before, after: the text before and after the edit."""

    kind: str
    words: str
    before: bytes = b""
    after: bytes = b""


def _language(name: str) -> str:
    """The name of a language as fimble spells it. Raises ArgumentTypeError."""
    for language in LANGUAGES:
        if language.name.lower() == name.lower():
            return language.name
    raise argparse.ArgumentTypeError(f"there is no language called {name!r}")


def run(options: argparse.Namespace) -> int:
    """Prints a table. Returns 1 if any edit would have broken a file."""
    console = Console(highlight=False)
    tasks = list(drawn_tasks(options))
    counts: dict[str, Counter[str]] = {name: Counter() for name in options.languages}
    by_action: dict[str, Counter[str]] = {name: Counter() for name in options.actions}
    said: Counter[str] = Counter()
    result: dict[str, Any] = {"machine": machine.facts(), "seed": options.seed, "tokens": options.tokens}

    def note(task: Task, found: Result) -> None:
        counts[task.language.name][found.kind] += 1
        by_action[task.action.id][found.kind] += 1
        if found.kind == "message":
            said[found.words] += 1

    asked = anyio.run(_run_all, options, tasks, console, note)
    for title, rows in (("language", counts), ("action", by_action)):
        table = Table(title, *_KINDS)
        for name, row in rows.items():
            table.add_row(name, *(str(row[kind]) for kind in _KINDS))
        console.print(table)
    console.print(f"{sum(map(Counter.total, counts.values()))} actions, {asked} answers written in this run")
    result |= {"languages": counts, "actions": by_action, "messages": dict(said.most_common())}
    write_json(options.json, result, indent=1)
    return int(any(row["broken"] for row in counts.values()))


def drawn_tasks(options: argparse.Namespace) -> Iterator[Task]:
    """The tasks, with the languages in turn, so that an interrupted run has some of each."""
    known, _ = catalogue({})
    each = [list(_tasks_of(name, options, [known[action] for action in options.actions])) for name in options.languages]
    for turn in range(options.functions):
        yield from (tasks[turn] for tasks in each if turn < len(tasks))


def _tasks_of(name: str, options: argparse.Namespace, actions: Sequence[Action]) -> Iterator[Task]:
    """The tasks of one language: each function with the next action that supports the language."""
    language = find_language(name.lower())
    speaking = [action for action in actions if not action.languages or name in action.languages]
    found = _functions(options.data, language, options.lines)
    random.Random(options.seed).shuffle(found)
    for number, (path, source, offset) in enumerate(found[: options.functions]):
        yield Task(language, path, source, offset, speaking[number % len(speaking)])


def _functions(folders: Sequence[Path], language: Language, most_lines: int) -> list[tuple[Path, bytes, int]]:
    """Functions of three lines or more: the file, its text and the offset of the function."""
    found: list[tuple[Path, bytes, int]] = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        if find_language("", path.name).name != language.name or not path.is_file() or path.stat().st_size > 100_000:
            continue
        source = path.read_bytes()
        if broken_at(language, source):
            continue
        found += [
            (path, source, one.start)
            for one in definitions(language, source)
            if one.kind == "function" and 2 <= source[one.start : one.end].count(b"\n") < most_lines
        ]
    return found


async def _run_all(options: argparse.Namespace, tasks: Sequence[Task], console: Console, note: Any) -> int:
    given = {
        "chat_model": options.chat_model,
        "chat_context_tokens": options.window,
        "threads": options.threads,
    }
    settings, _ = sources.merge([sources.Source("the command line", given)])
    runner: ActionRunner | None = None
    engine = RememberingEngine(
        _factory("llama"),
        lambda role, state: runner.model_changed() if runner else None,
        options.answers,
        options.tokens,
    )
    chosen = settings.action_options()
    long_steps = replace(chosen, model=replace(chosen.model, chunk_tokens=_CHUNK_TOKENS))
    runner = ActionRunner(engine, lambda: long_steps)
    engine.start()
    try:
        for number, task in enumerate(tasks, 1):
            document = DocumentSnapshot.of(task.path.as_uri(), task.source, path=task.path.name)
            offer = _offer(document, task)
            if offer is None or offer.subject.definition is None:
                continue
            began = time.monotonic()
            found = await _one(runner, document, offer, task, options.data)
            note(task, found)
            seconds = time.monotonic() - began
            what = f"{task.action.id} {task.path.name}:{offer.subject.definition.name}"
            console.print(Text(f"{number:4} {seconds:6.1f} s  {what}: {found.kind} {found.words}"))
            if options.diffs and found.kind != "message":
                console.print(Text(_diff(found, task.path.name)))
        return engine.asked
    finally:
        await engine.stop()


def _offer(document: DocumentSnapshot, task: Task) -> Offer | None:
    subject = subject_at(document, task.offset, task.offset)
    if subject is None or subject.definition is None:
        return None
    if Target.DIAGNOSTIC in task.action.targets and len(task.action.targets) == 1:
        subject = problem_subject(document, [_made_up(document, subject.definition)])
    return Offer(task.action, subject, task.action.id)


def _made_up(document: DocumentSnapshot, definition: Definition) -> Problem:
    """An invented diagnostic, as a checker could report it, about the first use of the first parameter."""
    body = document.source[definition.header_end : definition.end]
    name = next((each for each in definition.parameters if each.isidentifier() and each not in ("self", "cls")), "")
    start = definition.header_end + max(0, body.find(name.encode())) if name else definition.header_end
    return Problem(start, start + len(name), f"`{name or 'the result'}` may be empty here", "checker")


async def _one(
    runner: ActionRunner, document: DocumentSnapshot, offer: Offer, task: Task, folders: Sequence[Path]
) -> Result:
    try:
        outcome = await runner.run(document, offer, lambda _: None, path=task.path, roots=tuple(folders))
    except ActionFailedError as error:
        return Result("message", str(error))
    before, after, words = _delivered(document, offer, outcome)
    return Result("broken" if _is_broken(task.language, after) else "edited", words, before, after)


def _delivered(document: DocumentSnapshot, offer: Offer, outcome: Outcome) -> tuple[bytes, bytes, str]:
    """The text before and after, and the note for the user."""
    if outcome.tests is None:
        return document.source, applied(document.source, outcome.edits), outcome.note
    # Tests would be added to an existing test file; here that file is ignored.
    found = new_tests(document, offer, outcome.answer, outcome.tests, "")
    return b"" if outcome.tests.file.suffix != ".rs" else document.source, found.text.encode(), ", ".join(found.names)


def _is_broken(language: Language, source: bytes) -> bool:
    if not source.strip() or broken_at(language, source):
        return True
    if language.name == "Python":
        try:
            ast.parse(source)
        except (SyntaxError, ValueError):
            return True
    return False


def _diff(found: Result, name: str) -> str:
    before, after = (text.decode("utf-8", "replace").splitlines() for text in (found.before, found.after))
    return "\n".join(difflib.unified_diff(before, after, name, name, lineterm="", n=2))
