"""Code actions on real functions: how many end in a valid edit, how many in a message, and none in a broken file."""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path

import anyio

from lsp_server import config
from lsp_server.cli import _factory
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import applied
from lsp_server.core.languages import find_language
from lsp_server.core.outline import broken_at, definitions
from lsp_server.engine.client import EngineClient
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import Offer, subject_at
from lsp_server.features.actions.runner import ActionRunner, new_tests


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with source files")
    parser.add_argument("--language", default="Python", help="of the files (default: Python)")
    parser.add_argument("--actions", nargs="+", default=["simplify", "doc", "tests"], help="which actions")
    parser.add_argument("--functions", type=int, default=20, help="how many functions (default: 20)")
    parser.add_argument("--chat-model", default="", help="a GGUF file (default: the starter's chat model)")
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> int:
    """Prints a table. Returns 1 if any edit would have broken a file."""
    chosen = _functions(options)
    counts = anyio.run(_run_all, options, chosen)
    print(f"\n{options.language}, {len(chosen)} functions")
    for action in options.actions:
        row = counts[action]
        print(f"{action:10} edited {row['edited']:3}  message {row['message']:3}  broken {row['broken']:3}")
    return int(any(row["broken"] for row in counts.values()))


def _functions(options: argparse.Namespace) -> list[tuple[Path, bytes, int]]:
    """Functions of 3 to 40 lines: their file, its text and an offset in them."""
    found: list[tuple[Path, bytes, int]] = []
    for folder in options.data:
        for path in sorted(folder.rglob("*")):
            language = find_language("", path.name)
            if language.name != options.language or not path.is_file() or path.stat().st_size > 100_000:
                continue
            source = path.read_bytes()
            if broken_at(language, source):
                continue
            found += [
                (path, source, one.start)
                for one in definitions(language, source)
                if one.kind == "function" and 3 <= source[one.start : one.end].count(b"\n") <= 40
            ]
    random.Random(options.seed).shuffle(found)
    return found[: options.functions]


async def _run_all(options: argparse.Namespace, chosen: list[tuple[Path, bytes, int]]) -> dict[str, Counter[str]]:
    settings, _ = config.merge([config.Source("the command line", {"chat_model": options.chat_model})])
    actions, _ = catalogue({})
    counts: dict[str, Counter[str]] = {action: Counter() for action in options.actions}
    runner: ActionRunner | None = None
    engine = EngineClient(_factory("llama"), lambda role, state: runner.model_changed() if runner else None)
    runner = ActionRunner(engine, settings.action_options)
    engine.start()
    try:
        for path, source, offset in chosen:
            document = DocumentSnapshot.of(path.as_uri(), source, path=path.name)
            subject = subject_at(document, offset, offset)
            if subject is None or subject.definition is None:
                continue
            for name in options.actions:
                began = time.monotonic()
                offer = Offer(actions[name], subject, name)
                kind, words = await _one(runner, document, offer, path, options.data)
                counts[name][kind] += 1
                print(
                    f"{time.monotonic() - began:6.1f} s  {name:9} {path.name}:{subject.definition.name}: {kind} {words}"
                )
    finally:
        await engine.stop()
    return counts


async def _one(
    runner: ActionRunner, document: DocumentSnapshot, offer: Offer, path: Path, folders: list[Path]
) -> tuple[str, str]:
    language = find_language("", path.name)
    try:
        outcome = await runner.run(document, offer, lambda _: None, path=path, roots=tuple(folders))
    except ActionFailedError as error:
        return "message", str(error)
    if outcome.tests is not None:
        assert offer.subject.definition is not None
        found = new_tests(document, offer, outcome.answer, outcome.tests, "")
        broken = bool(found.problem) or bool(broken_at(language, found.text.encode()))
        return ("broken" if broken else "edited"), ", ".join(found.names)
    after = applied(document.source, outcome.edits)
    return ("broken" if broken_at(language, after) else "edited"), outcome.note
