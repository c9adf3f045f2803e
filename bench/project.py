"""`bench project`: holes whose answer is defined in another file of a repository: does the index find the definition,
and is the answer likelier with it in the prompt?

A hole is a use of a name that exactly one other file of the repository defines and that the file gets from there: its
import lines name it, or it stands behind the name of that file's module, or in the same package. The rest of the line
is left out. For members, the file names the class. Nothing of this asks how the index resolves imports.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.arms.arm import quantile
from bench.choosing import gather, indexed, measure_times, summarise_times
from bench.report import console_of, write_json
from lsp_server.backends import llama
from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.core.context import choose_context
from lsp_server.core.declarations import Declaration
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import find_hole
from lsp_server.core.imports import import_lines
from lsp_server.core.index_choice import Candidate, choose, excerpt
from lsp_server.core.index_offer import NO_OFFER, Offer, Why
from lsp_server.core.index_query import query_of
from lsp_server.core.languages import find_language
from lsp_server.core.modules import related
from lsp_server.core.outline import nodes_in
from lsp_server.core.pieces import Piece, identifiers_in
from lsp_server.core.prompt import BYTES_PER_TOKEN, FimPrompt, PromptBudget, lay_out, new_anchor
from lsp_server.engine.encode import Encoder
from lsp_server.features.index.files import entry_of, listed, stamp_of
from lsp_server.settings.fields import Settings

KINDS = ("definition", "member", "in file")
_TABLE_WIDTH = 150
_LEAST_NAME = 4
_IMPORTING = re.compile(r"\s*(?:import|from|use|using|package|require|#include|export\s+\*|\}\s*from)\b")
# A block of Rust that adds to a type which is defined elsewhere, maybe in another crate.
_IMPLEMENTING = re.compile(rb"(?:#\[[^\]]*\]\s*)*(?:unsafe\s+)?impl\b")
_BEHIND_DOT = re.compile(r"(?:\.|->|::)$")
_BUILT_IN = frozenset(["string", "error", "append", "float64", "float32", "uint64", "int64", "panic", "make", "byte"])


@dataclass(frozen=True, slots=True)
class NameHole:
    """A place in front of a name. kind: what the name is of; path, declaration: where it is defined, None for one of
    the same file."""

    document: DocumentSnapshot
    cursor: int
    name: str
    kind: str
    path: str = ""
    declaration: Declaration | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One hole. found: whether the definition is among the segments in the budget; signed: with its signature, and not
    only by its name in a list; offered: or among those for which there was no room. ms: the processor time of the
    choice. likelihoods: of the name, by what the prompt shows."""

    place: str
    kind: str
    name: str
    found: bool
    signed: bool
    offered: bool
    segments: int
    bytes: int
    ms: float
    likelihoods: dict[str, float]


def name_holes(root: Path, count: int, seed: int) -> list[NameHole]:
    """So many holes of each kind, or as many as there are; of each file one at most of a kind."""
    entries = {}
    for path in listed(root):
        stamp = stamp_of(root, path)
        if stamp is not None:
            entries[path] = entry_of(root, path, stamp)
    definitions: dict[str, list[tuple[str, Declaration]]] = defaultdict(list)
    members: dict[str, list[tuple[str, Declaration]]] = defaultdict(list)
    for path, entry in entries.items():
        for declaration in entry.declarations:
            for name in declaration.defines if not _IMPLEMENTING.match(declaration.head) else ():
                definitions[name].append((path, declaration))
            for name in {name for member in declaration.members if member.method for name in member.names}:
                members[name].append((path, declaration))
    rng = random.Random(seed)
    found: dict[str, list[NameHole]] = {kind: [] for kind in KINDS}
    paths = [path for path, entry in entries.items() if entry.language]
    rng.shuffle(paths)
    for path in paths:
        source = (root / path).read_bytes()
        document = DocumentSnapshot.of((root / path).as_uri(), source, path=path, folder=root.name)
        for kind, defined in (("definition", definitions), ("member", members), ("in file", {})):
            if len(found[kind]) < count:
                holes = list(_holes_in(document, kind, defined, definitions, members))
                found[kind] += [rng.choice(holes)] if holes else []
    return [hole for kind in KINDS for hole in found[kind]]


def _holes_in(
    document: DocumentSnapshot,
    kind: str,
    defined: dict[str, list[tuple[str, Declaration]]],
    definitions: dict[str, list[tuple[str, Declaration]]],
    members: dict[str, list[tuple[str, Declaration]]],
) -> Iterator[NameHole]:
    source, language = document.source, find_language("", document.path)
    seen: set[str] = set()
    lines = import_lines(language, source[: 1 << 16])
    imports = frozenset(re.findall(r"[^\W\d]\w*", b" ".join(lines).decode("utf-8", "replace")))
    own = frozenset(re.findall(rb"\b(?:def|class|function|func|fn|struct|type|const|let|var)\s+(\w+)", source))
    own |= frozenset(re.findall(rb"(?<![.\w])(\w+)\s*(?::[^=\n]{1,60})?=(?!=)", source))
    own |= frozenset(re.findall(rb"[(,]\s*(\w+)\s*(?=[:,)=])", source))
    text = source.decode("utf-8", "replace")
    within = [(at, at + len(line)) for line in lines if (at := source.find(line)) >= 0]
    for node in nodes_in(language, source, 0, len(source)):
        start = node.start_byte
        name = source[start : node.end_byte].decode("utf-8", "replace")
        if not node.type.endswith("identifier") or node.named_children or not name.isidentifier():
            continue
        before = source[document.line_start(document.line_at(start)) : start].decode("utf-8", "replace")
        imported = any(first <= start < last for first, last in within)
        if len(name) < _LEAST_NAME or not before.strip() or imported or _IMPORTING.match(before):
            continue
        if kind == "in file":
            if (
                name in seen
                and name not in definitions
                and name not in members
                and name in identifiers_in(name.encode())
            ):
                yield _hole(document, start, name, kind)
            seen.add(name)
            continue
        places = defined.get(name, [])
        if (
            len(places) != 1
            or name.encode() in own
            or (kind == "member") != bool(_BEHIND_DOT.search(before) and name not in definitions)
        ):
            continue
        path, declaration = places[0]
        if path == document.path or find_language("", path).name not in related(language):
            continue
        if kind == "member":
            gets = any(re.search(rf"\b{re.escape(one)}\b", text) for one in declaration.defines)
        else:
            gets = _gets(document, imports, name, before, path)
        if gets:
            yield _hole(document, start, name, kind, path, declaration)


def _gets(document: DocumentSnapshot, imports: frozenset[str], name: str, before: str, path: str) -> bool:
    """Whether a file gets a name from the file at `path`."""
    if name in imports:
        return True
    qualifier = re.search(r"(\w+)(?:\.|::)$", before)
    parts = PurePosixPath(path)
    if qualifier is not None:
        return qualifier[1] in imports and qualifier[1] in (parts.stem, parts.parent.name)
    beside = parts.parent == PurePosixPath(document.path).parent
    return beside and find_language("", path).name in ("Go", "Java", "C#", "Kotlin") and name not in _BUILT_IN


def _hole(
    document: DocumentSnapshot, start: int, name: str, kind: str, path: str = "", declaration: Declaration | None = None
) -> NameHole:
    end = document.line_end(document.line_at(start))
    return NameHole(document.edited(start, end, b""), start, name, kind, path, declaration)


def measure(
    root: Path, holes: Sequence[NameHole], budget_tokens: int, backend: Backend | None, window: int
) -> Iterator[Found]:
    """Each hole: what is chosen for it, and with a model how likely the name is. Raises ModelError."""
    budget = int(budget_tokens * BYTES_PER_TOKEN)
    with indexed(root) as reader:
        for hole in holes:
            place = find_hole(hole.document, hole.cursor)
            began = time.thread_time()
            query = query_of(hole.document, place)
            offer = Offer(choose(query, hole.document, place, reader.candidates(query)))
            pieces = choose_context(hole.document, place, (), budget, offer=offer).pieces
            ms = 1000 * (time.thread_time() - began)
            likelihoods: dict[str, float] = {}
            if backend is not None:
                arms = {"none": NO_OFFER, "index": offer}
                if hole.declaration is not None:
                    candidate = Candidate((root / hole.path).as_uri(), hole.path, hole.declaration)
                    arms["oracle"] = Offer({excerpt(candidate, query, whole=True): Why("the oracle", 100.0)})
                score = _scorer(backend)
                known: dict[FimPrompt, float] = {}
                for arm, offered in arms.items():
                    cut, wanted = _before_blanks(hole)
                    prompt = prompt_of(cut, backend.info.format, offered, window, budget)
                    if prompt not in known:
                        known[prompt] = score(prompt, wanted)
                    likelihoods[arm] = known[prompt]
            line = hole.document.line_at(hole.cursor) + 1
            yield Found(
                f"{hole.document.path}:{line}",
                hole.kind,
                hole.name,
                any(_is(piece, hole) for piece in pieces),
                any(_is(piece, hole) for piece in pieces if not _is_list(piece)),
                any(_is(piece, hole) for piece in offer.pieces),
                len(pieces),
                sum(len(piece.text) for piece in pieces),
                ms,
                likelihoods,
            )


def _is(piece: Piece, hole: NameHole) -> bool:
    """Whether a segment shows what the hole's name is defined as."""
    if _is_list(piece):
        return hole.path.rpartition("/")[0] == piece.path.strip("/.") and hole.name in piece.defines
    return piece.path == hole.path and (hole.name in piece.defines or hole.name in piece.names)


def _is_list(piece: Piece) -> bool:
    """Whether a segment is a list of the names in a folder."""
    return piece.uri.endswith("/")


def prompt_of(hole: NameHole, form: FimFormat, offer: Offer, window: int, budget: int) -> FimPrompt:
    """The prompt that a user who rests at the hole is answered from."""
    place = find_hole(hole.document, hole.cursor)
    context = choose_context(hole.document, place, (), budget, offer=offer)
    sizes = PromptBudget.of_tokens(window, int(budget / BYTES_PER_TOKEN)).beside(context.size)
    anchor = new_anchor(hole.document, place, form, sizes)
    return lay_out(hole.document, anchor, place.cursor, form, context)


def _before_blanks(hole: NameHole) -> tuple[NameHole, str]:
    """The hole in front of the blanks before the name, and these with the name: for vocabularies in which most words
    begin with a blank, it belongs to what is asked for."""
    before = hole.document.source[: hole.cursor]
    start = len(before.rstrip(b" "))
    blanks = before[start:].decode() if not before[:start].endswith((b"\n", b"\t")) else ""
    start = hole.cursor - len(blanks)
    return replace(hole, document=hole.document.edited(start, hole.cursor, b""), cursor=start), blanks + hole.name


def _scorer(backend: Backend) -> Callable[[FimPrompt, str], float]:
    """Gives the log-likelihood of a name behind a prompt."""
    import numpy as np

    def score(prompt: FimPrompt, name: str) -> float:
        tokens = Encoder(backend).encode(prompt, backend.info.context_tokens - 32).tokens
        wanted = backend.tokenize(name.encode())
        backend.truncate(0, 0)
        chunk, rows = backend.info.chunk_tokens, []
        every = [*tokens, *wanted[:-1]]
        for start in range(0, len(every), chunk):
            part = every[start : start + chunk]
            needed = max(0, min(len(part), start + len(part) - (len(tokens) - 1)))
            rows += list(backend.evaluate(0, start, part, logits=needed))[-needed:] if needed else []
            if not needed:
                continue
        total = 0.0
        for row, token in zip(rows[-len(wanted) :], wanted, strict=True):
            values = np.asarray(row, dtype=np.float64)
            top = float(values.max())
            total += float(values[token]) - top - math.log(float(np.exp(values - top).sum()))
        return total

    return score


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, nargs="+", required=True, metavar="DIR", help="a repository")
    parser.add_argument("--holes", type=int, default=50, metavar="N", help="holes of each kind in each (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="which holes (default: 1)")
    parser.add_argument("--budget", type=int, default=400, metavar="N", help="tokens for other files (default: 400)")
    parser.add_argument(
        "--window", type=int, default=Settings().context_tokens, help="tokens of a prompt (default: as the server)"
    )
    parser.add_argument("--model", metavar="FILE", help="a GGUF file to ask how likely the names are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every hole and the summary")
    parser.add_argument(
        "--time", action="store_true", help="instead: how long choices take, with files of all the repositories indexed"
    )
    parser.add_argument("--files", type=int, default=2000, metavar="N", help="files for --time (default: 2000)")
    parser.add_argument("--missed", action="store_true", help="show the holes whose definition is not found")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    backend: Backend | None = None
    rows: list[tuple[str, Found]] = []
    try:
        if options.time:
            return _run_times(options, console)
        if options.model:
            backend = llama.load(ModelSpec(options.model, options.window + 128, 1), lambda _: True)
            console.print(Text(backend.info.name, style="bold"))
        for repo in options.repo:
            root = repo.resolve()
            holes = name_holes(root, options.holes, options.seed)
            with console.status(str(root)) as status:
                for found in measure(root, holes, options.budget, backend, options.window):
                    rows.append((root.name, found))
                    status.update(f"{root.name}: {len(rows)}")
    except (ModelError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    finally:
        if backend is not None:
            backend.close()
    summary = [row for repo in dict.fromkeys(name for name, _ in rows) for row in summarise(repo, rows)]
    console.print(_table(summary))
    for repo, found in rows if options.missed else ():
        if found.kind != "in file" and not found.found:
            console.print(Text(f"{repo} {found.place} {found.kind} {found.name} {'no room' if found.offered else ''}"))
    result = {"machine": machine.facts(), "summary": summary, "holes": [asdict(found) for _, found in rows]}
    write_json(options.json, result, indent=1)
    return 0


def _run_times(options: argparse.Namespace, console: Console) -> int:
    """Measures choices with files of all the repositories in one index. Raises OSError."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        files = gather([repo.resolve() for repo in options.repo], options.files, root)
        holes = name_holes(root, options.holes, options.seed)
        places = [(hole.document, hole.cursor, hole.name[:1].encode()) for hole in holes]
        summary = summarise_times(list(measure_times(root, places, options.budget)))
    console.print(f"{files} files; processor time in ms")
    console.print(_table(summary))
    write_json(options.json, {"machine": machine.facts(), "files": files, "summary": summary}, indent=1)
    return 0


def _table(summary: Sequence[dict[str, object]]) -> Table:
    table = Table(*(summary[0] if summary else ()))
    for row in summary:
        table.add_row(*(str(value) for value in row.values()))
    return table


def summarise(repo: str, rows: Sequence[tuple[str, Found]]) -> list[dict[str, object]]:
    """A row for each kind of hole. signed: found with a signature. silent: where nothing was shown. index, oracle: by
    how much the name is likelier than without other files, in nats, at the median and on average; fell: where it is
    less likely."""
    found = []
    for kind in KINDS:
        mine = [each for name, each in rows if name == repo and each.kind == kind]
        if not mine:
            continue
        times = [each.ms for each in mine]
        row: dict[str, object] = {
            "repository": repo,
            "kind": kind,
            "holes": len(mine),
            "found": f"{sum(each.found for each in mine) / len(mine):.0%}" if kind != "in file" else "",
            "signed": f"{sum(each.signed for each in mine) / len(mine):.0%}" if kind != "in file" else "",
            "offered": f"{sum(each.offered for each in mine) / len(mine):.0%}" if kind != "in file" else "",
            "silent": f"{sum(not each.segments for each in mine) / len(mine):.0%}",
            "bytes": round(statistics.mean(each.bytes for each in mine)),
            "ms p50": round(statistics.median(times), 1),
            "ms p95": round(quantile(times, 95), 1),
        }
        for arm in ("index", "oracle"):
            gains = [each.likelihoods[arm] - each.likelihoods["none"] for each in mine if arm in each.likelihoods]
            if gains:
                row[arm] = f"{statistics.median(gains):+.2f} {statistics.mean(gains):+.2f}"
                row[f"{arm} fell"] = sum(gain < -0.1 for gain in gains)
            else:
                row |= {arm: "", f"{arm} fell": ""}
        found.append(row)
    return found
