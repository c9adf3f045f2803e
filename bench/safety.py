"""`bench safety`: suggestions at places that lead to weaknesses, with and without the check; and false alarms."""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.report import write_json
from lsp_server.backends import llama
from lsp_server.backends.base import ModelError
from lsp_server.core.danger.check import check, check_range
from lsp_server.core.danger.finding import Finding
from lsp_server.core.danger.search import LANGUAGES
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.shape import Suggestion
from lsp_server.engine.client import EngineClient, loaded
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.settings.fields import Settings

FOLDER = Path(__file__).parent / "safety_prompts"
_HEAD = re.compile(r"^=== (\w+)\n", re.MULTILINE)
_PATIENT_MS = 600_000
_MOST_FILE_BYTES = 200_000
_BANDIT_SECONDS = 60
# bandit's tests of asserts and imports, which are left out: these alone are no weaknesses.
_NO_WEAKNESSES = ("B101", "B403", "B404")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A place that leads to a weakness. language: an LSP identifier."""

    language: str
    weakness: str
    number: int
    before: str
    after: str

    def document(self) -> tuple[DocumentSnapshot, int]:
        source = (self.before + self.after).encode()
        uri = f"file:///places/{self.number}"  # the class in the name could make it a file of secrets
        return DocumentSnapshot.of(uri, source, language_id=self.language, version=1), len(self.before.encode())


@dataclass(frozen=True, slots=True)
class Shown:
    """The shown text of one place: without the check, and with it. findings: our findings in both. judged: bandit's
    findings in both; None without bandit."""

    prompt: Prompt
    without: str
    filtered: str
    findings: tuple[str, ...]
    left: tuple[str, ...]
    reason: str
    judged: tuple[int, int] | None = None


def prompts(folder: Path = FOLDER, languages: Sequence[str] = ()) -> list[Prompt]:
    """The places of all classes, by language."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        if languages and path.stem not in languages:
            continue
        text = path.read_text("utf-8")
        heads = [*_HEAD.finditer(text)]
        numbers: Counter[str] = Counter()
        for head, end in zip(heads, [*(each.start() for each in heads[1:]), len(text)], strict=True):
            before, _, after = text[head.end() : end].partition("$0")
            numbers[head[1]] += 1
            found.append(Prompt(path.stem, head[1], numbers[head[1]], before, after))
    return found


# The model ------------------------------------------------------------------------------------------------------


async def shown_of(engine: EngineClient, options: InlineOptions, prompt: Prompt, bandit: Path | None = None) -> Shown:
    """The text of the model at a place, and the part that the check allows."""
    completer = InlineCompleter(engine, lambda: options)
    document, offset = prompt.document()
    try:
        without = (await completer.complete(document, offset, warns=True)).suggestion
        answer = await completer.complete(document, offset)
    finally:
        completer.close()
    both = without, answer.suggestion
    findings, left = (_findings(document, one) for one in both)
    judged = None
    if bandit is not None and prompt.language == "python":
        judged = judged_by(bandit, document, without), judged_by(bandit, document, answer.suggestion)
    texts = [one.text if one else "" for one in both]
    return Shown(prompt, texts[0], texts[1], findings, left, answer.reason, judged)


def _findings(document: DocumentSnapshot, suggestion: Suggestion | None) -> tuple[str, ...]:
    return tuple(each.id for each in check(document, suggestion).findings) if suggestion is not None else ()


def judged_by(bandit: Path, document: DocumentSnapshot, suggestion: Suggestion | None) -> int:
    """How many issues bandit finds in the lines of a suggestion that it does not find without the suggestion."""
    if suggestion is None:
        return 0
    after = document.edited(suggestion.start, suggestion.end, suggestion.text.encode())
    first = after.line_at(suggestion.start) + 1
    last = after.line_at(suggestion.start + len(suggestion.text.encode())) + 1
    known = Counter(id for id, line in _issues(bandit, document) if line <= first)
    found = Counter(id for id, line in _issues(bandit, after) if first <= line <= last)
    return (found - known).total()


def _issues(bandit: Path, document: DocumentSnapshot) -> list[tuple[str, int]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.py"
        path.write_bytes(document.source)
        command = [str(bandit), "-f", "json", "-q", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BANDIT_SECONDS)
    results = json.loads(done.stdout or "{}").get("results", [])
    return [(each["test_id"], each["line_number"]) for each in results if each["test_id"] not in _NO_WEAKNESSES]


async def _run_model(options: argparse.Namespace, console: Console) -> list[Shown]:
    asked = prompts(languages=options.language)
    kept: Counter[tuple[str, str]] = Counter()
    some = []
    for prompt in asked:
        kept[prompt.language, prompt.weakness] += 1
        if kept[prompt.language, prompt.weakness] <= options.per_class:
            some.append(prompt)
    settings = Settings(model=str(options.model or ""), threads=options.threads, calibrate=False)
    inline = InlineOptions(
        answer_ms=_PATIENT_MS,
        deadline_ms=_PATIENT_MS,
        cold_ms=_PATIENT_MS,
        candidates=1,
        debounce=False,
        prepare_next=False,
        max_tokens=settings.max_tokens,
        max_lines=settings.max_lines,
    )
    found = []
    async with loaded(llama.load, settings.model_spec()) as (engine, info):
        console.print(f"{info.name}, {len(some)} places")
        for prompt in some:
            shown = await shown_of(engine, inline, prompt, options.bandit)
            found.append(shown)
            if options.show:
                marks = ",".join(shown.findings) or "-"
                console.print(f"{prompt.language} {prompt.weakness} {prompt.number}: {marks}", markup=False)
                console.print(f"    {shown.without!r}\n    {shown.filtered!r}", markup=False)
    return found


def model_table(found: Iterable[Shown]) -> Table:
    """By language and class: the places, and the shown texts and findings without and with the check."""
    table = Table("language", "weakness", "places", "shown", "with a finding", "shown, filtered", "with a finding ")
    rows: dict[tuple[str, str], list[Shown]] = {}
    for each in found:
        rows.setdefault((each.prompt.language, each.prompt.weakness), []).append(each)
        rows.setdefault((each.prompt.language, "all"), []).append(each)
    for (language, weakness), some in sorted(rows.items()):
        figures = len(some), *(sum(map(bool, column)) for column in zip(*map(_figures, some), strict=True))
        table.add_row(language, weakness, *map(str, figures))
    return table


def _figures(shown: Shown) -> tuple[object, ...]:
    return shown.without, shown.findings, shown.filtered, shown.left


# False alarms ---------------------------------------------------------------------------------------------------


def code_files(folders: Iterable[Path]) -> Iterator[tuple[Path, DocumentSnapshot]]:
    """The files in languages with rules, except tests and generated files."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix().lower()
            if "test" in name or ".min." in name or find_language("", path.name).name not in LANGUAGES:
                continue
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_FILE_BYTES:
                continue
            source = path.read_bytes()
            if source.decode("utf-8", "ignore").encode() == source:
                yield path, DocumentSnapshot.of(path.as_uri(), source, path=path.name)


def alarms_in(document: DocumentSnapshot) -> tuple[Finding, ...]:
    """The findings of the rules in a whole file."""
    return check_range(document, 0, len(document.source)).findings


def alarm_of_suggestion(document: DocumentSnapshot, chance: random.Random) -> tuple[Finding, ...] | None:
    """The findings in some lines of a file if exactly these are suggested there; None if no lines can be drawn."""
    if document.line_count < 12:
        return None
    first = chance.randrange(document.line_count - 8)
    start = document.line_start(first)
    end = document.line_end(first + chance.randrange(1, 7))
    text = document.source[start:end].decode("utf-8", "replace")
    if not text.strip():
        return None
    indent = len(text) - len(text.lstrip())
    shorter = document.edited(start + indent, end, b"")
    return check(shorter, Suggestion(text[indent:], start + indent, start + indent)).findings


def _run_code(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    lines = files = 0
    counts: Counter[str] = Counter()
    drawn: list[DocumentSnapshot] = []
    for path, document in code_files(options.code):
        files += 1
        lines += document.line_count
        if options.suggestions:
            drawn.append(document)
        for each in alarms_in(document):
            counts[each.id] += 1
            if options.show:
                code = document.source[each.start : each.end].decode("utf-8", "replace").split("\n")[0][:100]
                console.print(f"{path}:{document.line_at(each.start) + 1}: {each.id}: {code}", markup=False)
        if lines >= options.lines:
            break
    total = counts.total()
    rate = f"1 in {lines // total}" if total else "none"
    console.print(f"{total} findings in {lines} lines of {files} files ({rate}): {dict(counts)}", markup=False)
    result: dict[str, Any] = {"lines": lines, "files": files, "findings": dict(counts)}
    if options.suggestions and drawn:
        chance = random.Random(options.seed)
        tried = held = 0
        while tried < options.suggestions:
            found = alarm_of_suggestion(chance.choice(drawn), chance)
            if found is not None:
                tried += 1
                held += bool(found)
        console.print(f"{held} of {tried} suggestions cut from these files are held back ({held / tried:.2%})")
        result["suggestions"] = {"tried": tried, "held": held}
    return result


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--threads", type=int, default=0, help="of the model; 1 is fastest on a busy machine")
    parser.add_argument("--language", action="append", default=[], help="only these: python, javascript, go, c")
    parser.add_argument("--per-class", type=int, default=5, metavar="N", help="places of each class and language")
    parser.add_argument("--bandit", type=Path, metavar="FILE", help="a bandit that judges what is shown in Python")
    parser.add_argument("--code", type=Path, nargs="+", default=[], metavar="DIR", help="count false alarms instead")
    parser.add_argument("--lines", type=int, default=1_000_000, help="with --code: stop after so many")
    parser.add_argument("--suggestions", type=int, default=0, metavar="N", help="with --code: also as suggestions")
    parser.add_argument("--seed", type=int, default=0, help="of the suggestions that are drawn")
    parser.add_argument("--show", action="store_true", help="every finding, or every suggestion")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False, soft_wrap=True)
    if options.code:
        write_json(options.json, {"machine": machine.facts(), "code": _run_code(options, console)}, indent=1)
        return 0
    try:
        found = anyio.run(_run_model, options, console)
    except (ModelError, OSError) as error:
        console.print(f"bench: {error}", markup=False)
        return 2
    console.print(model_table(found))
    judged = [each.judged for each in found if each.judged is not None]
    if judged:
        without, filtered = (sum(bool(pair[side]) for pair in judged) for side in (0, 1))
        console.print(f"bandit finds something in {without} of {len(judged)} without the filter, in {filtered} with it")
    write_json(options.json, {"machine": machine.facts(), "places": [asdict(each) for each in found]}, indent=1)
    return 0
