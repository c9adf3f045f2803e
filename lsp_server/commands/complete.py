"""`fimble complete`: one completion at one place of a file, with the same code as in an editor.

In an editor the first key is answered quickly, from a smaller prompt if needed. This command has no deadline, answers
from the full prompt, and shows what it is doing.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from lsp_server.backends.base import BackendFactory, ModelError, ModelInfo
from lsp_server.commands.place import CommandError, read_document, read_place
from lsp_server.commands.waiting import Waiting
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.index_offer import Why, no_index
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import loaded
from lsp_server.engine.request import PromptRead, TextDelta
from lsp_server.features.budget import shows_index
from lsp_server.features.index.lookup import Lookup
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.other_buffers import BufferReader
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.settings import sources
from lsp_server.settings.fields import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from lsp_server.core.pieces import Piece
    from lsp_server.core.prompt import Segment

_SHOWN_BYTES = 240
_OPEN_FILE = Why("part of an open file", 0.0)

# The phases of a call.
_LOADING, _READING, _WRITING = "loading the model", "reading the file", "writing"


@dataclass(slots=True)
class _Call:
    """A running call and its results. buffers: the files that count as open. shown: the parts of other files in its
    prompt, and why each is there. interrupted: the user stopped it, so the answer may be incomplete."""

    document: DocumentSnapshot
    offset: int
    options: InlineOptions
    buffers: Sequence[DocumentSnapshot]
    waiting: Waiting = field(default_factory=lambda: Waiting(sys.stderr))
    model: ModelInfo | None = None
    outcome: Outcome | None = None
    shown: Mapping[Piece, Why] = field(default_factory=dict)
    interrupted: bool = False


def complete(options: argparse.Namespace, factory: BackendFactory, overrides: Mapping[str, Any]) -> int:
    """Prints the completion at `options.place`. If interrupted, prints the text so far and raises KeyboardInterrupt.
    Raises CommandError for a place that does not exist, ModelError for a model that cannot be loaded."""
    path, line, column = parse_place(options.place)
    document, offset = read_place(path, line, 1 if column is None else column)
    if column is None:
        offset = document.line_end(line - 1)
    # Files named by the user count as part of the workspace, wherever they are.
    buffers = [replace(read_document(Path(name)), folder=Path.cwd().name) for name in options.open]
    settings, problems = sources.load([Path.cwd()], [sources.Source("the command line", dict(overrides))])
    if problems:
        raise CommandError("; ".join(problems))
    # Only the best candidate is printed.
    inline = replace(settings.inline_options(), deadline_ms=math.inf, quick=options.quick, candidates=1)
    call = _Call(document, offset, inline, buffers)
    try:
        anyio.run(_complete, call, factory, settings)
    except KeyboardInterrupt:
        call.interrupted = True
        _print(call, options)
        raise
    finally:
        call.waiting.clear()
    _print(call, options)
    return 0


def _print(call: _Call, options: argparse.Namespace) -> None:
    if call.model is None or call.outcome is None:
        return
    call.waiting.clear()
    if options.json:
        print(json.dumps(_as_json(call, call.model, call.outcome), indent=2))  # noqa: T201
        return
    from rich.console import Console

    console = Console(highlight=False, file=sys.stdout)
    _print_suggestion(console, call, call.outcome)
    if options.explain:
        _print_explanation(console, call, call.model, call.outcome)


def parse_place(place: str) -> tuple[Path, int, int | None]:
    """The parts of `FILE:LINE[:COL]`; the column is None if it is missing, which means the line's end. Raises
    CommandError."""
    match = re.fullmatch(r"(.+?):(\d{1,9})(?::(\d{1,9}))?", place)
    if match is None:
        raise CommandError(f"{place!r} is not of the form FILE:LINE[:COL]")
    return Path(match[1]), int(match[2]), int(match[3]) if match[3] else None


async def _complete(call: _Call, factory: BackendFactory, settings: Settings) -> None:
    failure: ModelError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.waiting.tick)
        try:
            await _answer(call, factory, settings)
        except ModelError as error:
            failure = error  # raised later, not inside an exception group
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _answer(call: _Call, factory: BackendFactory, settings: Settings) -> None:
    waiting, read = call.waiting, 0

    def load_changes(state: ModelState) -> None:
        if state.kind == "loading":
            waiting.at(_LOADING, state.progress)

    def works(event: PromptRead | TextDelta) -> None:
        nonlocal read
        read = read or event.id  # another id belongs to the full prompt, evaluated after a quick one
        if event.id == read and isinstance(event, PromptRead):
            waiting.at(_READING, event.tokens / event.prompt_tokens, f"{event.prompt_tokens} tokens of the prompt")
        elif isinstance(event, TextDelta):
            waiting.at(_WRITING, detail=f"{event.usage.decoded_tokens} tokens")

    waiting.at(_LOADING, 0.0)
    async with loaded(factory, settings.model_spec(), load_changes) as (engine, call.model):
        if engine.model.message:
            waiting.clear()
            print(f"fimble: {engine.model.message}", file=sys.stderr)  # noqa: T201
        waiting.at(_READING)
        engine.on_work = works
        index = Lookup([Path.cwd()]).offer if shows_index(call.model, call.options) else no_index
        completer = InlineCompleter(engine, lambda: call.options, buffers=lambda: call.buffers, index=index)
        try:
            await BufferReader(engine, lambda: call.options, lambda: call.buffers).read(call.document)
            call.outcome = await completer.complete(call.document, call.offset, Trigger.INVOKED)
        except anyio.get_cancelled_exc_class():
            call.outcome = await completer.so_far(call.document.uri)
            raise
        finally:
            of_index = completer.prompts.why(call.document.uri)
            shown = completer.prompts.context(call.document.uri).pieces
            call.shown = {piece: of_index.get(piece, _OPEN_FILE) for piece in shown}
            completer.close()


def _why(segment: Segment, shown: Mapping[Piece, Why]) -> Why | None:
    """Why a prompt contains this segment of another file; None for other segments."""
    if segment.kind != "context":
        return None
    return next((why for piece, why in shown.items() if segment.text.endswith(piece.text + b"\n\n")), None)


def _as_json(call: _Call, model: ModelInfo, outcome: Outcome) -> dict[str, Any]:
    """The answer as JSON. Columns are in characters; lines and columns start at 1, as on the command line."""
    suggestion, document, seconds = outcome.suggestion, call.document, call.waiting.seconds
    places = None
    if suggestion is not None:
        (first, start), (last, end) = (document.position(o, "utf-32") for o in (suggestion.start, suggestion.end))
        places = {"start": [first + 1, start + 1], "end": [last + 1, end + 1]}
    return {
        "text": suggestion.text if suggestion else None,
        "range": places,
        "reason": outcome.reason,
        "interrupted": call.interrupted,
        "hole": outcome.hole.kind.value if outcome.hole else None,
        "written": outcome.written,
        "meanLogprob": outcome.logprob,
        "segments": [
            {
                "kind": segment.kind,
                "text": segment.text.decode("utf-8", "replace"),
                **({"reason": why.reason, "score": why.score} if (why := _why(segment, call.shown)) else {}),
            }
            for segment in (outcome.prompt.segments if outcome.prompt else ())
        ],
        "usage": asdict(outcome.usage),
        "totalMs": outcome.total_ms,
        "loadMs": 1000 * seconds.get(_LOADING, 0.0),
        "model": {"name": model.name, "path": model.path, "format": model.format.name, "licence": model.licence},
    }


def _print_suggestion(console: Console, call: _Call, outcome: Outcome) -> None:
    from rich.text import Text

    document, offset = call.document, call.offset
    line = document.line_at(offset)
    left = document.source[document.line_start(line) : offset].decode()
    right = document.source[offset : document.line_end(line)].decode()
    shown = Text(left)
    if outcome.suggestion is None and call.interrupted:
        # The beginning of a text that cannot be fitted into the code yet.
        shown.append(outcome.written, style="bold green")
        console.print(shown)
        return
    if outcome.suggestion is None:
        shown.append("▏" + right)
        console.print(shown)
        console.print(Text(f"nothing: {outcome.reason}", style="yellow"))
        return
    replaced = outcome.suggestion.end - outcome.suggestion.start
    shown.append(outcome.suggestion.text.replace("\r", ""), style="bold green")
    shown.append(document.source[offset + replaced : document.line_end(line)].decode())
    console.print(shown)


def _print_explanation(console: Console, call: _Call, model: ModelInfo, outcome: Outcome) -> None:
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
        why = _why(segment, call.shown)
        reason = "" if why is None else why.reason + (f" ({why.score:g})" if why.score else "")
        table.add_row(segment.kind, str(len(segment.text)), Text(text), Text(reason))
    line, column = call.document.position(hole.anchor, "utf-32")
    times = _times(call, outcome)
    longest = max(times, key=times.__getitem__)
    facts = Table.grid(padding=(0, 2))
    rows = {
        "model": f"{model.name} ({model.architecture}, format {model.format.name}, on the {model.device})",
        "licence": model.licence or "not stated in the file",
        "hole": f"{hole.kind.value}, anchored at {line + 1}:{column + 1}",
        "written": repr(outcome.written),
        "tokens": f"{usage.prompt_tokens} in the prompt, {usage.reused_tokens} reused, "
        f"{usage.evaluated_tokens} evaluated, {usage.cut_tokens} cut; {usage.decoded_tokens} decoded",
        "answered from": "a quick prompt, since the full one takes long here" if usage.quick else "the full prompt",
        "time": ", ".join(f"{ms:.0f} ms {what}" for what, ms in times.items()),
        "most of it": f"{longest} ({times[longest] / max(1e-9, sum(times.values())):.0%})",
        "mean logprob": f"{outcome.logprob:.2f}",
    }
    for name, value in rows.items():
        facts.add_row(name, Text(value))
    console.print()
    console.print(table)
    console.print(facts)


def _times(call: _Call, outcome: Outcome) -> dict[str, float]:
    """The time of each phase in ms, in the order of the call."""
    usage, seconds = outcome.usage, call.waiting.seconds
    pace = f" ({1000 * usage.evaluated_tokens / usage.prefill_ms:.0f} tokens a second)" if usage.prefill_ms > 0 else ""
    times = {
        _LOADING: 1000 * seconds.get(_LOADING, 0.0),
        f"reading the prompt{pace}": usage.prefill_ms,
        _WRITING: usage.decode_ms,
        "all else": max(0.0, outcome.total_ms - usage.prefill_ms - usage.decode_ms),
    }
    return {what: ms for what, ms in times.items() if ms >= 0.5} or {"all": outcome.total_ms}
