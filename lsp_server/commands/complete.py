"""`fimble complete`: one completion at one place of a file, through the same code as in an editor."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from lsp_server import config
from lsp_server.backends.base import BackendFactory, ModelInfo
from lsp_server.commands.place import CommandError, read_document, read_place
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.offers import Why, no_index
from lsp_server.engine.client import loaded
from lsp_server.features.budget import shows_index
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.project.lookup import Lookup
from lsp_server.features.reading import BufferReader

if TYPE_CHECKING:
    from rich.console import Console

    from lsp_server.core.pieces import Piece
    from lsp_server.core.prompt import Segment

_SHOWN_BYTES = 240


def complete(options: argparse.Namespace, factory: BackendFactory, overrides: Mapping[str, Any]) -> int:
    """Prints the completion at `options.place`. Raises CommandError for a place that is not there, ModelError for such
    a model."""
    path, line, column = parse_place(options.place)
    document, offset = read_place(path, line, 1 if column is None else column)
    if column is None:
        offset = document.line_end(line - 1)
    # What the user names counts as part of the workspace, wherever it lies.
    buffers = [replace(read_document(Path(name)), folder=Path.cwd().name) for name in options.open]
    settings, problems = config.load([Path.cwd()], [config.Source("the command line", dict(overrides))])
    if problems:
        raise CommandError("; ".join(problems))
    model, outcome, shown = anyio.run(_complete, factory, settings, document, offset, buffers)
    if options.json:
        print(json.dumps(_as_json(model, document, outcome, shown), indent=2))  # noqa: T201
        return 0
    from rich.console import Console

    console = Console(highlight=False, file=sys.stdout)
    _print_suggestion(console, document, offset, outcome)
    if options.explain:
        _print_explanation(console, model, document, outcome, shown)
    return 0


def parse_place(place: str) -> tuple[Path, int, int | None]:
    """`FILE:LINE[:COL]` in its parts, without a column None, which means the line's end. Raises CommandError."""
    match = re.fullmatch(r"(.+?):(\d{1,9})(?::(\d{1,9}))?", place)
    if match is None:
        raise CommandError(f"{place!r} is not of the form FILE:LINE[:COL]")
    return Path(match[1]), int(match[2]), int(match[3]) if match[3] else None


async def _complete(
    factory: BackendFactory,
    settings: config.Settings,
    document: DocumentSnapshot,
    offset: int,
    buffers: Sequence[DocumentSnapshot],
) -> tuple[ModelInfo, Outcome, Mapping[Piece, Why]]:
    async with loaded(factory, settings.model_spec()) as (engine, model):
        if engine.model.message:
            print(f"fimble: {engine.model.message}", file=sys.stderr)  # noqa: T201
        is_shown = shows_index(model, settings.inline_options())
        index = Lookup([Path.cwd()]).offer if is_shown else no_index
        completer = InlineCompleter(engine, settings.inline_options, buffers=lambda: buffers, index=index)
        await BufferReader(engine, settings.inline_options, lambda: buffers).read(document)
        outcome = await completer.complete(document, offset, Trigger.INVOKED)
        of_index = completer.prompts.why(document.uri)
        open_file = Why("part of an open file", 0.0)
        shown = {piece: of_index.get(piece, open_file) for piece in completer.context(document.uri).pieces}
        return model, outcome, shown


def _why(segment: Segment, shown: Mapping[Piece, Why]) -> Why | None:
    """Why a prompt shows a segment of another file; None for all others."""
    if segment.kind != "context":
        return None
    return next((why for piece, why in shown.items() if segment.text.endswith(piece.text + b"\n\n")), None)


def _as_json(
    model: ModelInfo, document: DocumentSnapshot, outcome: Outcome, shown: Mapping[Piece, Why]
) -> dict[str, Any]:
    """Columns in characters, lines and columns from 1, as on the command line."""
    suggestion = outcome.suggestion
    places = None
    if suggestion is not None:
        (first, start), (last, end) = (document.position(o, "utf-32") for o in (suggestion.start, suggestion.end))
        places = {"start": [first + 1, start + 1], "end": [last + 1, end + 1]}
    return {
        "text": suggestion.text if suggestion else None,
        "range": places,
        "reason": outcome.reason,
        "hole": outcome.hole.kind.value if outcome.hole else None,
        "written": outcome.written,
        "meanLogprob": outcome.logprob,
        "segments": [
            {
                "kind": segment.kind,
                "text": segment.text.decode("utf-8", "replace"),
                **({"reason": why.reason, "score": why.score} if (why := _why(segment, shown)) else {}),
            }
            for segment in (outcome.prompt.segments if outcome.prompt else ())
        ],
        "usage": asdict(outcome.usage),
        "totalMs": outcome.total_ms,
        "model": {"name": model.name, "path": model.path, "format": model.format.name, "licence": model.licence},
    }


def _print_suggestion(console: Console, document: DocumentSnapshot, offset: int, outcome: Outcome) -> None:
    from rich.text import Text

    line = document.line_at(offset)
    left = document.source[document.line_start(line) : offset].decode()
    right = document.source[offset : document.line_end(line)].decode()
    shown = Text(left)
    if outcome.suggestion is None:
        shown.append("▏" + right)
        console.print(shown)
        console.print(Text(f"nothing: {outcome.reason}", style="yellow"))
        return
    replaced = outcome.suggestion.end - outcome.suggestion.start
    shown.append(outcome.suggestion.text.replace("\r", ""), style="bold green")
    shown.append(document.source[offset + replaced : document.line_end(line)].decode())
    console.print(shown)


def _print_explanation(
    console: Console, model: ModelInfo, document: DocumentSnapshot, outcome: Outcome, shown: Mapping[Piece, Why]
) -> None:
    from rich.table import Table
    from rich.text import Text

    hole, prompt, usage = outcome.hole, outcome.prompt, outcome.usage
    if hole is None or prompt is None:
        return
    table = Table("segment", "bytes", "text", "why", title="prompt, most stable part first", title_justify="left")
    for segment in prompt.segments:
        text = segment.text.decode("utf-8", "replace")
        if len(text) > _SHOWN_BYTES:
            text = f"{text[: _SHOWN_BYTES // 2]}\n … \n{text[-_SHOWN_BYTES // 2 :]}"
        why = _why(segment, shown)
        reason = "" if why is None else why.reason + (f" ({why.score:g})" if why.score else "")
        table.add_row(segment.kind, str(len(segment.text)), Text(text), Text(reason))
    line, column = document.position(hole.anchor, "utf-32")
    facts = Table.grid(padding=(0, 2))
    rows = {
        "model": f"{model.name} ({model.architecture}, format {model.format.name}, on the {model.device})",
        "licence": model.licence or "not stated in the file",
        "hole": f"{hole.kind.value}, anchored at {line + 1}:{column + 1}",
        "written": repr(outcome.written),
        "tokens": f"{usage.prompt_tokens} in the prompt, {usage.reused_tokens} reused, "
        f"{usage.evaluated_tokens} evaluated, {usage.cut_tokens} cut; {usage.decoded_tokens} decoded",
        "time": f"{usage.prefill_ms:.0f} ms prefill, {usage.decode_ms:.0f} ms decode, {outcome.total_ms:.0f} ms in all",
        "mean logprob": f"{outcome.logprob:.2f}",
    }
    for name, value in rows.items():
        facts.add_row(name, Text(value))
    console.print()
    console.print(table)
    console.print(facts)
