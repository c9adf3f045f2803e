"""`bench session`: types one line of a real file, key by key, and shows the suggestions and their costs."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import anyio
from rich.console import Console
from rich.text import Text

from bench.sessions.editor import Editor, ServerError, Shown, editor

# A line of fimble's own source, in the middle of a class, so that text stands above and below it.
_FILE = Path(__file__).parents[1] / "lsp_server" / "core" / "document.py"
_LINE = "return bisect_right(self.starts, offset) - 1"
_WIDTH = 84


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, default=_FILE, help="the file to edit; it is not written to")
    parser.add_argument("--line", default=_LINE, help="the text of the line that is removed and typed again")
    parser.add_argument("--keys", type=int, default=24, help="how many characters of it to type (default: 24)")
    parser.add_argument("--model", help="a GGUF file instead of the starter model")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    try:
        anyio.run(_session, options, console)
    except (ServerError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    return 0


async def _session(options: argparse.Namespace, console: Console) -> None:
    source = options.file.read_text("utf-8")
    found = source.find(options.line)
    if found < 0:
        raise ValueError(f"{options.file} has no line with {options.line!r}")
    line_end = source.find("\n", found)
    text = source[:found] + source[line_end:]
    async with editor(["--model", options.model] if options.model else []) as buffer:
        with console.status("loading the model …"):
            model = await buffer.ready()
        console.print(Text.assemble((model["name"], "bold"), f" on the {model['device']}, format {model['format']}"))
        if model["licence"]:
            console.print(Text(f"licence: {model['licence']}", style="dim"))
        console.print(f"initialize was answered after {1000 * buffer.initialize_seconds:.0f} ms\n")
        buffer.open(options.file.absolute().as_uri(), "python", text, found)
        console.print(Text(f"{'evaluated':>9} {'decoded':>7} {'ms':>7}  what the editor shows", style="dim"))
        with console.status("reading the file for the first time …"):
            cold = await buffer.suggestion()
        _print(console, buffer, cold)
        keys = [await _key(console, buffer, character) for character in options.line[: options.keys]]
        if keys[-1].text:
            buffer.type(keys[-1].text)
            console.print(Text(f"{'':>26} accepted; then a new line", style="dim"))
        buffer.type("\n" + " " * 4)
        _print(console, buffer, await buffer.suggestion())
    _print_summary(console, cold, keys)


async def _key(console: Console, buffer: Editor, character: str) -> Shown:
    buffer.type(character)
    shown = await buffer.suggestion()
    _print(console, buffer, shown)
    return shown


def _print(console: Console, buffer: Editor, shown: Shown) -> None:
    cost = shown.cost
    start = buffer.text.rfind("\n", 0, buffer.cursor) + 1
    line = buffer.text[start : buffer.cursor]
    first, *more = shown.text.split("\n")
    ghost = first + (f"  (+{len(more)} lines)" if more else "")
    console.print(
        Text.assemble(
            f"{cost['evaluatedTokens']:>9} {cost['decodedTokens']:>7} {1000 * shown.seconds:>7.0f}  ",
            line.lstrip(),
            (ghost or f"   ({cost['reason']})", "bold green" if ghost else "yellow"),
        ),
        overflow="ellipsis",
        no_wrap=True,
        width=26 + _WIDTH,
    )


def _print_summary(console: Console, cold: Shown, keys: list[Shown]) -> None:
    evaluated = statistics.median(key.cost["evaluatedTokens"] for key in keys)
    times = [1000 * key.seconds for key in keys]
    prompt = statistics.median(key.cost["prefillMs"] for key in keys)
    console.print(
        f"\n{len(keys)} keys: median {evaluated:g} prompt tokens evaluated per key "
        f"({prompt:.0f} ms), of {cold.cost['promptTokens']} in the prompt; "
        f"{statistics.median(times):.0f} ms to the whole suggestion."
    )
    console.print(
        f"The first request evaluated {cold.cost['evaluatedTokens']} tokens in {cold.cost['prefillMs'] / 1000:.1f} s."
    )
