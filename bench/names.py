"""`bench names`: cuts names from the files of a folder. Counts right names, and shown names that do not exist."""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.filling import holes
from bench.filling.completers import Fimble
from bench.filling.outputs import Place, answered
from bench.filling.tasks import Task
from bench.progress import INTERRUPTED
from bench.quality import model_factory
from lsp_server.backends.base import ModelError
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.names.allowed import Members
from lsp_server.core.names.class_kinds import CLASS_KINDS
from lsp_server.core.names.keyword_arguments import Argument, known_arguments
from lsp_server.core.names.python_names import is_opaque
from lsp_server.core.names.python_trees import parsed
from lsp_server.core.names.receivers import members_at
from lsp_server.core.names.undefined import without_undefined
from lsp_server.core.parsing import parser_of
from lsp_server.core.shape import Suggestion
from lsp_server.engine.client import loaded
from lsp_server.features.python_modules import PythonModules
from lsp_server.settings.fields import Settings

KINDS = ("self", "member", "import", "keyword", "bare")
# After `this.`, in languages other than Python.
THIS = "this"
# The arms: without the check and the limit of names, with one of them, and with both.
ARMS = ("nothing", "check", "limit", "both")
_MOST_PER_FILE = 4
# Repeated, because modules import others.
_MOST_READINGS = 8
_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class NamePlace:
    """A place where a name was cut out, with the rest of its line. whole: the author's file; the name is at `start:end`
    of it. known: the names that the limit allows there; None without a limit. members: all limits of the place."""

    task: Task
    kind: str
    whole: str
    start: int
    end: int
    known: frozenset[str] | None
    members: Members | None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one arm at a place. exists: whether the shown name exists; None if that is unknown. removed: the
    undefined name for which text was withheld. right: whether the model's text began with the author's name."""

    id: str
    kind: str
    arm: str
    name: str
    reference: str
    limited: bool
    exists: bool | None
    removed: str
    right: bool
    shown: str


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, metavar="DIR", required=True, help="a folder with the files")
    parser.add_argument(
        "--kind", action="append", choices=(*KINDS, THIS), help="default: all of Python; `this` is of other languages"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="places of each kind (default: 20)")
    parser.add_argument("--limited", action="store_true", help="only places where names are limited")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--threads", type=int, default=0, help="of the model; 1 is fastest on a busy machine")
    parser.add_argument("--context-tokens", type=int, default=1024, help="the window of a prompt (default: 1024)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="all results as JSON")
    parser.add_argument(
        "--false-alarms",
        action="store_true",
        help="without a model: of --limit holes as of `bench quality`, where the check cuts the author's own text; and "
        "of all keyword arguments, which it takes for none that there are",
    )
    parser.add_argument(
        "--limits-only",
        action="store_true",
        help="without a model: at how many places of each kind names are limited, and the author's is not among them",
    )


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    places: list[NamePlace] = []
    results: list[Result] = []
    status = 0
    try:
        if options.false_alarms:
            return report_false_alarms(options.repo, options.limit, options.seed, console)
        places = drawn(options.repo, options.kind or KINDS, options.limit, options.seed, limited=options.limited)
        if not places:
            raise ValueError(f"there are no names of these kinds in {options.repo}")
        console.print(limits_table(places))
        if options.limits_only:
            return 0
        console.print(Text(machine.describe(machine.facts()), style="dim"))
        anyio.run(_measure, options, places, results, console)
    except (ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        console.print(f"interrupted after {len(results) // len(ARMS)} of {len(places)} places")
        status = INTERRUPTED
    console.print(results_table(results))
    for result in results:
        if result.removed and result.arm == "both":
            verdict = "the author's" if result.right else f"the author has {result.reference}"
            console.print(f"not shown for `{result.removed}`: {result.id} ({verdict})", markup=False)
    if options.out is not None:
        options.out.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", "utf-8")
    return status


def drawn(folder: Path, kinds: Sequence[str], limit: int, seed: int, *, limited: bool = False) -> list[NamePlace]:
    """`limit` places of each kind, from files in random order, at most four of a kind from one file. limited: only
    places where names are limited."""
    modules = PythonModules(lambda: [folder])
    takes = {*(["Python"] if set(kinds) - {THIS} else []), *(CLASS_KINDS if THIS in kinds else [])}
    files = [path for path in holes.source_files(folder) if find_language("", path.name).name in takes]
    random.Random(seed).shuffle(files)
    found: dict[str, list[NamePlace]] = {kind: [] for kind in kinds}
    for path in files:
        if all(len(places) >= limit for places in found.values()):
            break
        name = path.relative_to(folder).as_posix()
        try:
            every = list((cut if path.suffix == ".py" else cut_classes)(path.read_bytes().decode("utf-8"), name))
        except ValueError:
            continue  # not UTF-8
        for kind, places in found.items():
            mine = [place for place in every if place[0] == kind]
            random.Random(f"{seed} {name} {kind}").shuffle(mine)
            made = (
                place
                for place in (_place(*each, folder, modules) for each in mine)
                if not limited or place.known is not None
            )
            found[kind] = [*places, *islice(made, min(_MOST_PER_FILE, limit - len(places)))]
    return [place for places in found.values() for place in places]


def cut(source: str, path: str) -> Iterator[tuple[str, str, str, int, int]]:
    """The places of one file: kind, text and path of the file, and the start and end of the name, in characters."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    lines = source.split("\n")

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def place(kind: str, start: int, name: str) -> Iterator[tuple[str, str, str, int, int]]:
        if source.startswith(name, start) and len(name) > 1:
            yield kind, source, path, start, start + len(name)

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.end_lineno:
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            end = offset(node.end_lineno, node.end_col_offset or 0)
            yield from place("self" if of_self else "member", end - len(node.attr), node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield from place("bare", offset(node.lineno, node.col_offset), node.id)
        elif isinstance(node, ast.alias) and node.lineno and "." not in node.name:
            yield from place("import", offset(node.lineno, node.col_offset), node.name)
        elif isinstance(node, ast.keyword) and node.arg:
            yield from place("keyword", offset(node.lineno, node.col_offset), node.arg)


def cut_classes(source: str, path: str) -> Iterator[tuple[str, str, str, int, int]]:
    """The places of one file after `this.` or a similar receiver, except assignments to the name; as from `cut`."""
    language = find_language("", path)
    parser = parser_of(language)
    receiver = CLASS_KINDS[language.name].receiver.encode()
    encoded = source.encode()
    stack = [] if parser is None else [parser.parse(encoded).root_node]
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        name = next(filter(None, map(node.child_by_field_name, ("property", "name", "field"))), None)
        of = node.child_by_field_name("object")
        if name is None or of is None or name.child_count or encoded[of.start_byte : of.end_byte] != receiver:
            continue
        around = node.parent
        target = around.child_by_field_name("left") if around is not None and "assignment" in around.type else None
        text = encoded[name.start_byte : name.end_byte].decode()
        if len(text) > 1 and (target is None or target.id != node.id or (around and "augmented" in around.type)):
            start = len(encoded[: name.start_byte].decode())
            yield THIS, source, path, start, start + len(text)


def members_of(document: DocumentSnapshot, cursor: int, modules: PythonModules) -> Members | None:
    """The limits of a place, after the imported modules of its file were read."""
    found = members_at(document, cursor, modules)
    for _ in range(_MOST_READINGS):
        if not modules.wants():
            break
        modules.read()
        found = members_at(document, cursor, modules)
    return found


def _place(kind: str, source: str, path: str, start: int, end: int, folder: Path, modules: PythonModules) -> NamePlace:
    line_end = source.find("\n", end)
    line_end = len(source) if line_end < 0 else line_end
    line, column = source.count("\n", 0, start) + 1, start - source.rfind("\n", 0, start)
    task = Task(
        id=f"{path}:{line}:{column} {kind}",
        set="names",
        path=path,
        before=source[:start],
        after=source[line_end:],
        reference=source[start:end],
        single_line=True,
        group=kind,
    )
    document = replace(task.document(), uri=(folder / path).absolute().as_uri())
    members = members_of(document, task.cursor, modules)
    known = members.known("") if members is not None else None
    return NamePlace(task, kind, source, start, end, known, members)


async def _measure(
    options: argparse.Namespace, places: Sequence[NamePlace], results: list[Result], console: Console
) -> None:
    """Adds the results of each place to `results`."""
    settings = Settings(
        model=str(options.model or ""),
        threads=options.threads,
        context_tokens=options.context_tokens,
        calibrate=False,
    )
    async with AsyncExitStack() as stack:
        with console.status("loading the model …"):
            engine, info = await stack.enter_async_context(loaded(model_factory(), settings.model_spec()))
        console.print(Text(f"{info.name}, format {info.format.name}, on the {info.device}", style="dim"))
        fimble = Fimble(engine, settings.inline_options())
        with console.status("") as status:
            for number, place in enumerate(places):
                status.update(f"{number} of {len(places)}")
                results += await _results(fimble, place, settings)


async def _results(fimble: Fimble, named: NamePlace, settings: Settings) -> list[Result]:
    """The results of all arms at a place. The model generates once without a limit, and once with it if the place has
    one."""
    place = Place.of(named.task, settings.max_lines)
    prompt = fimble.prompt(place.document, place.hole)
    free = await fimble.decode(prompt, _has_line, place.rule.opening)
    limited = free
    if named.members is not None:
        limited = await fimble.decode(prompt, _has_line, place.rule.opening, named.members)
    found = []
    for arm in ARMS:
        output, checks = limited if arm in ("limit", "both") else free, arm in ("check", "both")
        answer = await answered(output, replace(place), checks_names=checks)
        shown = answer.suggestion.text if answer.suggestion is not None else ""
        match, wrote = _NAME.match(shown), _NAME.match(output.text)
        name = match[0] if match is not None else ""
        removed = answer.undefined if not shown else ""
        right = wrote is not None and wrote[0] == named.task.reference
        exists = _exists(named, name) if name else None
        limits = named.known is not None
        found.append(
            Result(named.task.id, named.kind, arm, name, named.task.reference, limits, exists, removed, right, shown)
        )
    return found


def _has_line(text: str) -> bool:
    """Whether the text has more than its first line, which contains the name."""
    return "\n" in text.strip()


def _exists(place: NamePlace, name: str) -> bool | None:
    """Whether a name exists at a place; None if that is unknown."""
    if place.kind == "bare" and name == place.task.reference:
        return True
    if place.kind == "bare":
        # The whole file, with the shown name in place of the author's.
        whole = replace(place.task, before=place.whole[: place.start], after=place.whole[place.end :]).document()
        cursor = len(place.whole[: place.start].encode())
        return not without_undefined(Suggestion(name, cursor, cursor), whole).undefined
    return None if place.known is None else name in place.known or name == place.task.reference


def report_false_alarms(folder: Path, limit: int, seed: int, console: Console) -> int:
    """Checks the authors' own texts and all their keyword arguments, and lists those that would be cut."""
    count, cut_texts = 0, []
    for task in islice(holes.load(folder, seed, ["Python"]), limit):
        count += 1
        found = without_undefined(Suggestion(task.reference, task.cursor, task.cursor), task.document())
        if found.undefined:
            cut_texts.append(f"{task.id}: {found.undefined}")
    console.print(f"of {count} texts of the authors {len(cut_texts)} would be cut ({_percent(len(cut_texts), count)}%)")
    arguments = list(keyword_arguments(folder))
    wrong = [f"{path}:{each.at[0]}: {each.name} of {each.function}" for path, each in arguments if not each.exists]
    share = f"{len(wrong)} would be cut ({_percent(len(wrong), len(arguments))}%)"
    console.print(f"of {len(arguments)} keyword arguments where the parameters are known {share}")
    for text in (*cut_texts, *wrong):
        console.print(text, markup=False)
    return 0


def keyword_arguments(folder: Path) -> Iterator[tuple[str, Argument]]:
    """The keyword arguments in a folder's Python files whose functions are known, each with the path of its file."""
    for path in holes.source_files(folder):
        source = path.read_bytes().decode("utf-8", "replace") if path.suffix == ".py" else ""
        tree = parsed(source) if not is_opaque(source) else None
        if tree is not None:
            name, end = path.relative_to(folder).as_posix(), (source.count("\n") + 2, 0)
            yield from ((name, each) for each in known_arguments(tree, name, (1, 0), end))


def limits_table(places: Sequence[NamePlace]) -> Table:
    """At how many places names are limited, and at how many of these wrongly."""
    table = Table(title="places where names are limited")
    for column in ("kind", "places", "limited", "the author's name is not among them"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in dict.fromkeys(place.kind for place in places):
        mine = [place for place in places if place.kind == kind]
        limited = [place for place in mine if place.known is not None]
        wrong = [place for place in limited if place.known is not None and place.task.reference not in place.known]
        table.add_row(kind, str(len(mine)), str(len(limited)), f"{len(wrong)} ({_percent(len(wrong), len(limited))}%)")
        for place in wrong[:10]:
            table.add_row("", "", "", f"{place.task.id}: {place.task.reference}")
    return table


def results_table(results: Sequence[Result]) -> Table:
    """The results by kind and arm. invented: the shown names that do not exist, among those for which that is known."""
    table = Table(title="names: percent")
    for column in ("kind", "with", "places", "exact", "invented", "of", "silent"):
        table.add_column(column, justify="left" if column in ("kind", "with") else "right")
    for kind in dict.fromkeys(result.kind for result in results):
        for arm in ARMS:
            mine = [result for result in results if result.kind == kind and result.arm == arm]
            table.add_row(kind, arm, *summary(mine))
    return table


def summary(results: Sequence[Result]) -> tuple[str, ...]:
    """The cells of a row: places, exact, invented, number of shown names, silent."""
    told = [result for result in results if result.exists is not None]
    exact = sum(result.name == result.reference for result in results)
    invented, silent = sum(not result.exists for result in told), sum(not result.name for result in results)
    count = len(results)
    return str(count), _percent(exact, count), _percent(invented, len(told)), str(len(told)), _percent(silent, count)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
