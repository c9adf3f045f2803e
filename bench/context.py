"""`bench context`: fills the same holes with and without parts of other files in the prompt.

The holes are the ends of lines in the files of a folder. The files that a file imports, and a few more, count as open.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.progress import INTERRUPTED
from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.core.context import (
    MOST_BYTES,
    PieceIndex,
    choose_context,
    may_show,
    prompt_budget,
    read_pieces,
    wanted_names,
)
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.core.prompt import FimPrompt, lay_out, new_anchor
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Finished, Generate, Load
from lsp_server.engine.spawn import at_once
from lsp_server.settings.fields import Settings

_LINE_TOKENS = 40
_LEAST_FILE_BYTES = 600
_LEAST_REST = 4


@dataclass(frozen=True, slots=True)
class LineHole:
    """A line whose end is missing. document: the file without that end. expected: the missing text. buffers: the other
    files that count as open."""

    document: DocumentSnapshot
    cursor: int
    expected: str
    buffers: tuple[DocumentSnapshot, ...]


@dataclass(frozen=True, slots=True)
class LineScore:
    """The score of one hole with one budget. similarity: of the stripped lines, from 0 to 1 (`difflib`)."""

    place: str
    buffers_tokens: int
    expected: str
    written: str
    exact: bool
    similarity: float
    prompt_tokens: int
    context_bytes: int


def sources(folder: Path) -> list[DocumentSnapshot]:
    """The source files of a folder in a known language, as documents of one workspace, in the order of their paths."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder.parent).as_posix()
        if not path.is_file() or find_language("", name) is UNKNOWN or path.stat().st_size > MOST_BYTES:
            continue
        source = path.read_bytes()
        try:
            source.decode("utf-8")
        except UnicodeDecodeError:
            continue
        found.append(DocumentSnapshot.of(path.absolute().as_uri(), source, path=name, folder=folder.parent.name))
    return found


def line_holes(folder: Path, count: int, seed: int = 1, open_files: int = 8) -> list[LineHole]:
    """`count` holes in the files of `folder`, the same for the same seed. Each begins at a word or a bracket, in the
    first two thirds of a line that is neither an import nor a comment.

    Raises ValueError if the folder has fewer than two files to choose from.
    """
    rng = random.Random(seed)
    documents = sources(folder)
    large = [document for document in documents if len(document.source) >= _LEAST_FILE_BYTES]
    if len(documents) < 2 or not large:
        raise ValueError(f"{folder} has fewer than two source files")
    found: list[LineHole] = []
    for _ in range(100 * count):
        document = rng.choice(large)
        line = rng.randrange(document.line_count)
        text = document.line(line).decode()
        starts = [match.start() for match in re.finditer(r"(?<=[\s(\[.,=])\w|(?<=[(\[.])", text)]
        starts = [start for start in starts if start <= len(text) * 2 / 3 and len(text) - start >= _LEAST_REST]
        if not starts or not re.search(r"[=(\[]", text) or re.match(r"\s*(import|from|use|#|//|\*|\"|'|/\*)", text):
            continue
        start = rng.choice(starts)
        cursor = document.line_start(line) + len(text[:start].encode())
        cut = document.edited(cursor, document.line_end(line), b"")
        imported = wanted_names(cut, find_hole(cut, cursor)).imported
        others = [other for other in documents if may_show(other, cut)]
        rng.shuffle(others)
        others.sort(key=lambda other: Path(other.path).stem not in imported)
        found.append(LineHole(cut, cursor, text[start:], tuple(others[:open_files])))
        if len(found) == count:
            return found
    raise ValueError(f"{folder} has too few lines for {count} holes")


def prompt_with(hole: LineHole, form: FimFormat, tokens: int, buffers_tokens: int) -> FimPrompt:
    """The prompt for a user who pauses at the hole."""
    budget = prompt_budget(form, tokens, buffers_tokens)
    place: Hole = find_hole(hole.document, hole.cursor)
    for buffer in hole.buffers:
        read_pieces(buffer)
    context = choose_context(hole.document, place, PieceIndex().pieces(hole.buffers), budget.context)
    anchor = new_anchor(hole.document, place, form, budget.beside(context.size))
    return lay_out(hole.document, anchor, place.cursor, form, context)


def measure(
    holes: Sequence[LineHole], budgets: Sequence[int], spec: ModelSpec, loaded: Callable[[str], None] = lambda _: None
) -> Iterator[LineScore]:
    """The score of each hole with each budget, hole by hole. Raises ModelError."""
    finished: list[Finished] = []

    def posted(event: Event) -> None:
        if isinstance(event, Finished):
            finished.append(event)

    backend = llama.load(spec, lambda _: True)
    engine = EngineCore(lambda spec, progress: backend, posted, spawn=at_once)
    engine.send(Load(spec))
    engine.receive()
    loaded(backend.info.name)
    for number, hole in enumerate(holes):
        answers: dict[FimPrompt, Finished] = {}  # a file that needs no other file has the same prompt with every budget
        for budget in budgets:
            prompt = prompt_with(hole, backend.info.format, backend.info.context_tokens, budget)
            rule = stop_rule(hole.document, find_hole(hole.document, hole.cursor), 1)
            if prompt not in answers:
                engine.send(Generate(number, prompt, rule, _LINE_TOKENS))
                engine.receive()
                while not finished:
                    engine.step()
                answers[prompt] = finished.pop()
            done = answers[prompt]
            if done.message:
                raise ModelError(done.message)
            written, expected = done.text.partition("\n")[0].strip(), hole.expected.strip()
            line = hole.document.line_at(hole.cursor) + 1
            yield LineScore(
                f"{hole.document.path}:{line}",
                budget,
                expected,
                written,
                written == expected,
                difflib.SequenceMatcher(None, written, expected, autojunk=False).ratio(),
                done.usage.prompt_tokens,
                len(prompt.text("context")),
            )
    backend.close()


def arguments(parser: argparse.ArgumentParser) -> None:
    defaults = Settings()
    parser.add_argument("folder", type=Path, nargs="+", metavar="DIR", help="a package or the sources of a project")
    parser.add_argument("--holes", type=int, default=50, metavar="N", help="holes in each folder (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="which holes (default: 1)")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[0, 384], metavar="N", help="tokens for other files (default: 0 384)"
    )
    parser.add_argument("--window", type=int, default=defaults.context_tokens, help="default: as the server")
    parser.add_argument("--model", default="", metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--format", metavar="NAME", help="a format instead of the model's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every hole and the summary")
    parser.add_argument("--summary-only", action="store_true", help="leave the holes out of --json")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    spec = ModelSpec(options.model, options.window, 1, fim_format=options.format)
    scores: list[LineScore] = []
    try:
        in_folders = [line_holes(folder, options.holes, options.seed) for folder in options.folder]
        holes = [hole for row in zip(*in_folders, strict=True) for hole in row]
        with console.status("loading the model …") as status:
            for score in measure(holes, options.tokens, spec, lambda name: console.print(Text(name, style="bold"))):
                scores.append(score)
                status.update(f"{len(scores)} of {len(holes) * len(options.tokens)}")
    except KeyboardInterrupt:
        del scores[len(scores) - len(scores) % len(options.tokens) :]
        if not scores:
            return INTERRUPTED
    except (ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    table = Table("tokens for other files", "holes", "exact", "similarity", "better", "worse", "prompt tokens")
    for row in (summary := summarise(scores)):
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        result: dict[str, object] = {"machine": machine.facts(), "summary": summary}
        if not options.summary_only:
            result["holes"] = [asdict(score) for score in scores]
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


def summarise(scores: Sequence[LineScore]) -> list[dict[str, float]]:
    """One row per budget. better, worse: how many holes have a higher or lower similarity than with the first
    budget."""
    budgets = list(dict.fromkeys(score.buffers_tokens for score in scores))
    base = [score for score in scores if score.buffers_tokens == budgets[0]]
    rows = []
    for budget in budgets:
        mine = [score for score in scores if score.buffers_tokens == budget]
        pairs = list(zip(base, mine, strict=True))
        rows.append(
            {
                "buffers_tokens": budget,
                "holes": len(mine),
                "exact": round(sum(score.exact for score in mine) / len(mine), 3),
                "similarity": round(sum(score.similarity for score in mine) / len(mine), 3),
                "better": sum(b.similarity > a.similarity for a, b in pairs),
                "worse": sum(b.similarity < a.similarity for a, b in pairs),
                "prompt_tokens": round(sum(score.prompt_tokens for score in mine) / len(mine)),
            }
        )
    return rows
