"""`bench quality`: fills holes and scores the suggestions; holes with tests, or cut from your own files."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
from rich.console import Console
from rich.text import Text

import lsp_server
from bench import machine
from bench.filling import holes, humaneval, quality_tables, safim, sandbox
from bench.filling import scores as scoring
from bench.filling.completers import GOLD, OTHER_PROMPTS, Completer, Fimble, Gold, History, Replay
from bench.filling.scores import Completion, score
from bench.filling.store import Store
from bench.filling.tasks import Task, chosen, closed, mid_word
from bench.progress import INTERRUPTED, progress_bar
from bench.report import console_of
from lsp_server.backends.base import Backend, BackendFactory, ModelError, ModelSpec
from lsp_server.core.languages import LANGUAGES
from lsp_server.engine.client import loaded
from lsp_server.settings.fields import Settings

SETS = (humaneval.NAME, "safim-block", "safim-control", holes.NAME)
_TABLE_WIDTH = 140


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder with HumanEval-Infilling and SAFIM")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="a folder whose source files holes are cut from")
    parser.add_argument("--set", action="append", choices=SETS, help="default: all that --data and --repo give")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--limit", type=int, metavar="N", help="holes of each set, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument("--language", action="append", metavar="NAME", help="with --repo: only these languages")
    parser.add_argument("--out", type=Path, metavar="FILE", help="results as JSON; FILE.holes.jsonl lets a run go on")
    parser.add_argument("--fresh", action="store_true", help="start over instead of going on with --out")
    parser.add_argument(
        "--replay",
        action="store_true",
        help="shape and score the outputs that the model wrote for --out anew, without the model",
    )
    parser.add_argument("--max-tokens", type=int, default=Settings().max_tokens, help="default: as the server")
    parser.add_argument("--threads", type=int, default=0, help="of the model; 1 is fastest on a busy machine")
    parser.add_argument("--gold", action="store_true", help="score the authors' own answers: all must pass")
    parser.add_argument(
        "--mid-word",
        action="store_true",
        help="type each line's beginning, up to the middle of a word; with and without token healing",
    )
    parser.add_argument(
        "--closed",
        action="store_true",
        help="type each line's beginning, up to behind a bracket that an editor closes; with and without replacing it",
    )
    parser.add_argument(
        "--prompt",
        action="append",
        choices=OTHER_PROMPTS,
        default=[],
        help="also ask a model of Qwen's with another prompt: that of the simplest plug-in, or that with one change",
    )
    parser.add_argument(
        "--quick",
        type=float,
        default=0,
        metavar="RATE",
        help="also ask with the quick prompt of a new place, as a machine that evaluates RATE tokens a second makes it",
    )
    parser.add_argument("--no-suffix", action="store_true", help="also ask without the text after the hole")
    parser.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="WHERE",
        help="also ask where the anchor is not fresh: rested, above=LINES (typed since), below=LINES (frozen there)",
    )


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    try:
        tasks = load_tasks(options)
        histories = [History.parse(text) for text in options.anchor]
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        result = anyio.run(_measure, options, tasks, histories, console)
    except (ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        console.print("interrupted" + ("; the same command goes on from here" if options.out else ""))
        return INTERRUPTED
    for summary in result["summary"]:
        console.print(quality_tables.figures_table(summary))
        if summary["groups"]:
            console.print(quality_tables.groups_table(summary))
        if summary["comparisons"]:
            console.print(quality_tables.comparisons_table(summary))
        if summary["confidence"]:
            console.print(quality_tables.confidence_table(summary))
    if options.out is not None:
        options.out.write_text(json.dumps({"machine": found, **result}, indent=1) + "\n", "utf-8")
    return _report_gold(result, console) if options.gold else 0


def load_tasks(options: argparse.Namespace) -> list[Task]:
    """The holes of the options, set by set. Raises ValueError, OSError."""
    if options.data is None and options.repo is None:
        raise ValueError("give --data DIR, --repo DIR, or both")
    if options.limit is not None and options.limit < 1:
        raise ValueError("--limit is at least 1")
    given = [*(SETS[:3] if options.data else ()), *((holes.NAME,) if options.repo else ())]
    if options.replay and (options.gold or options.mid_word or options.no_suffix or options.anchor or options.quick):
        raise ValueError(
            "--replay has one output of each hole: leave out --gold, --mid-word, --no-suffix, --anchor and --quick"
        )
    if options.closed and options.mid_word:
        raise ValueError("--closed and --mid-word type different beginnings: give one of them")
    names = options.set or given
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"--set {missing[0]} needs {'--repo' if missing[0] == holes.NAME else '--data'} DIR")
    return [task for name in dict.fromkeys(names) for task in _chosen(name, options)]


def _chosen(name: str, options: argparse.Namespace) -> list[Task]:
    found = _load(name, options)
    if options.mid_word:
        found = mid_word(found, options.seed)
    if options.closed:
        found = closed(found, options.seed)
    # A folder's files come in random order; only as many as needed are read.
    tasks = list(
        islice(found, options.limit) if name == holes.NAME else chosen(list(found), options.limit, options.seed)
    )
    if not tasks:
        raise ValueError(f"there are no holes in {options.repo if name == holes.NAME else name}")
    return tasks


def _load(name: str, options: argparse.Namespace) -> Iterable[Task]:
    if name == humaneval.NAME:
        return humaneval.load(options.data)
    if name == holes.NAME:
        known = {language.name for language in LANGUAGES}
        if unknown := [language for language in options.language or () if language not in known]:
            raise ValueError(f"there is no language {unknown[0]}; there are {', '.join(sorted(known))}")
        return holes.load(options.repo, options.seed, options.language)
    return safim.load(options.data, name.removeprefix("safim-"))


def model_factory() -> BackendFactory:
    """A function that loads the model. It imports llama.cpp when it is called."""

    def load(spec: ModelSpec, progress: Any) -> Backend:
        from lsp_server.backends import llama

        return llama.load(spec, progress)

    return load


async def _measure(
    options: argparse.Namespace, tasks: Sequence[Task], histories: Sequence[History], console: Console
) -> dict[str, Any]:
    # Calibration chooses the fastest settings of a machine, but the generated text must not depend on the machine.
    settings = Settings(
        model=str(options.model or ""), max_tokens=options.max_tokens, threads=options.threads, calibrate=False
    )
    async with AsyncExitStack() as stack:
        completers: list[Completer] = [Gold()]
        model: dict[str, Any] = {"name": GOLD}
        if options.replay:
            outputs = Store.held(_beside(options, "outputs"))
            model, known = outputs.run["model"], len(tasks)
            tasks = [task for task in tasks if (task.set, task.id) in outputs.records]
            if len(tasks) < known:
                console.print(Text(f"there are outputs for {len(tasks)} of {known} holes", style="yellow"))
            completers = [Replay(outputs, settings.max_lines)]
        elif not options.gold:
            with console.status("loading the model …"):
                engine, info = await stack.enter_async_context(loaded(model_factory(), settings.model_spec()))
            model = {"name": info.name, "file": Path(info.path).name, "bytes": info.bytes, "format": info.format.name}
            console.print(Text(f"{info.name}, format {info.format.name}, on the {info.device}", style="dim"))
            inline = settings.inline_options()
            asked_with = {"model": model, "max_tokens": options.max_tokens, "mid_word": options.mid_word}
            if options.closed:
                asked_with["closed"] = True
            outputs = Store(_beside(options, "outputs"), asked_with, fresh=options.fresh)
            completers = [
                Fimble(
                    engine,
                    inline,
                    outputs=outputs,
                    unhealed=options.mid_word,
                    no_suffix=options.no_suffix,
                    prompts=options.prompt,
                    quick_rate=options.quick,
                )
            ]
            completers += [Fimble(engine, inline, history=history) for history in histories]
        key = {
            "model": model,
            "code": _code(),
            "seed": options.seed,
            "max_tokens": options.max_tokens,
            "mid_word": options.mid_word,
            "closed": options.closed,
            "no_suffix": options.no_suffix,
            "prompt": options.prompt,
            "quick": options.quick,
            "anchor": options.anchor,
        }
        store = Store(_beside(options, "holes"), key, fresh=options.fresh or options.replay)
        await evaluate(tasks, completers, store, console, _scored(options))
    wanted = [store.records[task.set, task.id] for task in tasks]
    return {**key, "summary": quality_tables.summarise(wanted)}


def _scored(options: argparse.Namespace) -> Store:
    """The scores of completions from earlier runs, so that a replay runs only the tests of new completions."""
    path, scorer = _beside(options, "scores"), {"scorer": _code(sandbox, scoring)}
    try:
        return Store(path, scorer, fresh=options.fresh)
    except ValueError:  # the scores have another format
        return Store(path, scorer, fresh=True)


def _beside(options: argparse.Namespace, what: str) -> Path | None:
    """The path of a further file beside --out that is written during a run."""
    return options.out.with_suffix(f".{what}.jsonl") if options.out else None


async def evaluate(
    tasks: Sequence[Task],
    completers: Sequence[Completer],
    store: Store,
    console: Console,
    known: Store | None = None,
) -> None:
    """Fills the holes without results in `store` with every completer, and scores them at the same time. known: the
    known scores of completions; new ones are added.

    Raises the errors of completers; the results so far are in the store.
    """
    known = known or Store(None, {})
    todo = [task for task in tasks if (task.set, task.id) not in store.records]
    workers = anyio.CapacityLimiter(machine.facts()["cores"])
    # How many holes the model may be ahead of the tests.
    ahead = anyio.Semaphore(2 * int(workers.total_tokens))
    failure: Exception | None = None
    with progress_bar(console) as progress:
        bar = progress.add_task("holes", total=len(tasks), completed=len(tasks) - len(todo))

        async def finish(task: Task, completions: dict[str, Any], facts: dict[str, Any]) -> None:
            ids = {name: _score_id(task, completion) for name, completion in completions.items()}
            new = {ids[name]: one for name, one in completions.items() if (task.set, ids[name]) not in known.records}
            try:
                found = await anyio.to_thread.run_sync(_scores, task, new, limiter=workers)
            finally:
                ahead.release()
            for id, one in found.items():
                known.add({"set": task.set, "id": id, "score": one})
            scores = {name: known.records[task.set, id]["score"] for name, id in ids.items()}
            store.add({"set": task.set, "id": task.id, "group": task.group, "scores": scores, **facts})
            progress.update(bar, advance=1, description=task.set)

        async with anyio.create_task_group() as group:
            for task in todo:
                await ahead.acquire()
                completions: dict[str, Any] = {}
                facts: dict[str, Any] = {}
                try:
                    for completer in completers:
                        answer = await completer.complete(task)
                        completions |= answer.completions
                        facts = {**answer.facts, **facts}
                except Exception as error:
                    # Raised after the group: inside it, the error would be wrapped, and would cancel running scores.
                    failure = error
                    break
                group.start_soon(finish, task, completions, facts)
    if failure is not None:
        raise failure


def _scores(task: Task, completions: dict[str, Completion]) -> dict[str, dict[str, Any]]:
    """The scores of completions by their names."""
    return {name: score(task, completion).as_dict() for name, completion in completions.items()}


def _score_id(task: Task, completion: Completion) -> str:
    """The identifier of a completion of a task."""
    text = json.dumps([completion.text, completion.start, completion.end])
    return f"{task.id} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _code(*modules: ModuleType) -> str:
    """A digest of fimble's own source, or of these modules: results of different code must not be mixed in one run."""
    digest = hashlib.sha256()
    root = Path(lsp_server.__file__).parent
    paths = [Path(str(module.__file__)) for module in modules] or sorted(root.rglob("*.py"))
    for path in paths:
        digest.update(path.name.encode() if modules else path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _report_gold(result: dict[str, Any], console: Console) -> int:
    """Returns 1 if a scorer did not accept one of the authors' answers."""
    perfect = True
    for summary in result["summary"]:
        figures = summary["treatments"][GOLD]
        solved = [figures[measure]["percent"] for measure in ("pass@1", "exact") if measure in figures]
        perfect = perfect and min(solved) == 100
    console.print("every answer passes" if perfect else Text("not every answer passes", style="red"))
    return 0 if perfect else 1
