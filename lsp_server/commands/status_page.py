"""The page of `fimble status` in a terminal: a panel for each server, and a row with a waterfall for each request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lsp_server import __version__
from lsp_server.commands.output import console, human_size
from lsp_server.commands.terminal import own_screen

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

# Each part of a request's time: its letter in the waterfall, its colour, and its description.
PARTS = {
    "prompt": ("p", "cyan", "making the prompt"),
    "waiting": ("w", "yellow", "waiting for a pause, or for other work"),
    "prefill": ("R", "blue", "the model reads the prompt"),
    "decode": ("W", "green", "the model writes"),
    "shaping": ("s", "magenta", "making the text fit"),
    "checks": ("c", "red", "checking names and dangerous patterns"),
    "transport": ("·", "white", "messages, and between threads and processes"),
}
_WIDTH = 32
_ROLES = {"completion": "model", "chat": "for actions", "edit": "for next edits"}
# The errors when an answer has another structure than that of this version.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
# The problem of a server whose answer is of no use. It continues a sentence that begins with “a server”.
NONSENSE = "tells of itself what makes no sense"
_APPEARED = {"yes": "shown", "no": "nothing", "unknown": "answered"}
_NONE = (
    "None of your servers answers. An editor starts one; the setting `status_socket = false` keeps servers from "
    "listening, and a server of another version may not."
)


def show(servers: list[dict[str, Any]], costs: Iterable[str] = ()) -> None:
    """Prints the page once. costs: what endpoints have cost today, a line each."""
    console().print(page(servers))
    for line in costs:
        console().print(line, markup=False, highlight=False)


def watch(again: Iterable[list[dict[str, Any]]]) -> None:
    """Draws the page again for each list of servers. On a terminal it replaces the previous page, and is cut to the
    screen's height."""
    from rich.segment import SegmentLines

    with own_screen() as empty:
        for servers in again:
            printer = console()
            lines = printer.render_lines(page(servers, briefly=True), pad=False)
            empty()
            most = printer.height - 1 if printer.is_terminal else len(lines)
            printer.print(SegmentLines(lines[:most], new_lines=True), end="")


def page(servers: list[dict[str, Any]], *, briefly: bool = False) -> RenderableType:
    """The page. briefly: each reason and the legend on one line."""
    from rich.console import Group
    from rich.text import Text

    if not servers:
        return Text(_NONE)
    parts: list[RenderableType] = []
    has_bars = False
    for server in servers:
        if problem := _problem(server):
            parts += [Text(problem, "bold red"), Text("")]
            continue
        try:
            drawn = _server(server, briefly=briefly)
            has_bars = has_bars or any(request["partsMs"] for request in server.get("lastTen", []))
        except _UNREADABLE:
            parts += [Text(f"a server {NONSENSE}", "bold red"), Text("")]
        else:
            parts += [drawn, Text("")]
    if has_bars:
        parts.append(_legend(briefly=briefly))
    return Group(*parts)


def _problem(server: Mapping[str, Any]) -> str:
    """Why a server cannot be shown, in one line; empty if it can."""
    if "problem" in server:
        return f"a server {server['problem']}"
    if (version := server.get("version")) != __version__:
        which = f"process {server.get('pid')!s:.20} · fimble {version!s:.20}"
        cure = "restart its editor, or run the `fimble status` of that version"
        return f"{which}: this is fimble {__version__}, which cannot read it; {cure}"
    return ""


def _server(server: Mapping[str, Any], *, briefly: bool) -> Group:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(_title(server), "bold")]
    parts += [Text(f"  {line}") for line in _lines(server)]
    requests = server.get("lastTen", [])
    parts.append(_requests(requests, briefly=briefly) if requests else Text("  no completion has been asked for yet"))
    return Group(*parts)


def _title(server: Mapping[str, Any]) -> str:
    client = server.get("client") or "an editor"
    return f"{client} · process {server['pid']} · fimble {server['version']} · for {_long(server['runsSeconds'])}"


def _lines(server: Mapping[str, Any]) -> Iterable[str]:
    engine, requests = server["engine"], server["requests"]
    for role, model in server["models"].items():
        yield f"{_ROLES.get(role, role)}: {_model(model)}"
    if not server["models"]:
        yield "model: none yet"
    memory = server.get("memory", {})
    held = [f"{human_size(memory['server'])} in the server"] if "server" in memory else []
    held += [f"{human_size(memory['children'])} in its processes"] if memory.get("children") else []
    held += [f"{human_size(memory['sharedEngines'])} in shared engines"] if "sharedEngines" in memory else []
    if held:
        yield f"memory: {', '.join(held)}"
    doing = engine["doing"]
    done = f" ({doing['done']:.0%})" if doing["kind"] == "reading" else ""
    resting = server.get("off") or server["state"]
    now = f"{doing['kind']}{done}" if doing["kind"] != "idle" else resting
    yield f"now: {now}; {_count(engine['requests'], 'request')} in the engine, which is {_home(engine['home'])}"
    counts, latency = requests["counts"], requests["latencyMs"]
    took = f", {latency['median']:.0f} ms at the median" if latency["median"] is not None else ""
    sources = f"{counts['model']:,} from the model, {counts['memory']:,} from memory"
    yield f"answers: {sources}, {counts['empty']:,} empty{took}"
    for action in server.get("lastActions", []):
        yield f"action {action['action']}, {_long(action['secondsAgo'])} ago: {_asked(action['asked'])}"
    yield from server.get("consent", [])
    if server["stats"] not in ("on", "off"):
        yield f"counting has stopped: {server['stats']}"


def _model(model: Mapping[str, Any]) -> str:
    named = f"{model['name']}, " if model.get("name") else ""
    loaded = f" {model['progress']:.0%}" if model["state"] == "loading" else ""
    size = f", {human_size(model['bytes'])}" if model.get("bytes") else ""
    device = f", {model['device']}" if model.get("device") else ""
    message = f": {model['message']}" if model["message"] else ""
    return f"{named}{model['state']}{loaded}{size}{device}{message}"


def _home(home: str) -> str:
    return {"in-process": "in the server", "process": "in a process of its own", "shared": "shared"}.get(home, home)


def _requests(requests: list[dict[str, Any]], *, briefly: bool) -> Table:
    """A table with two lines for each request that showed nothing, else one."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=briefly)
    for number in range(4):
        table.add_column(justify="left" if number in (1, 2) else "right", no_wrap=True)
    table.add_column(no_wrap=briefly, overflow="ellipsis", ratio=1 if briefly else None)
    longest = max((request["waitedMs"] for request in requests if request["partsMs"]), default=0.0)
    for request in requests:
        told = waterfall(request["partsMs"], request["waitedMs"], longest)
        if request["source"] == "memory" and not told.plain:
            told = Text("from memory")
        if (asked := request.get("asked")) is not None and asked["place"] != "local":
            told = Text("  ").join([*filter(None, [told]), Text(_asked(asked))])
        if request["appeared"] == "no":
            told = Text("\n" if told.plain else "").join([*filter(None, [told]), Text(request["why"])])
        age, ms = f"  {_long(request['secondsAgo'])} ago", f"{request['waitedMs']:,.0f} ms"
        table.add_row(age, request["language"], _APPEARED[request["appeared"]], ms, told)
    return table


def _asked(asked: Mapping[str, Any]) -> str:
    """Who was asked, for how long, how many tokens and at what cost."""
    prompt = f"{asked['promptTokens']:,} + " if asked["promptTokens"] else ""
    cost = f", cost {asked['costText']}" if asked["costText"] else ""
    return f"{asked['place']}, {asked['roundTripMs']:,.0f} ms, {prompt}{asked['answerTokens']:,} tokens{cost}"


def waterfall(parts: Mapping[str, float], total_ms: float, longest_ms: float) -> Text:
    """A request's time as a bar. Its parts follow each other in the order of the work. Its length is proportional to
    the time, and the longest request has the full width."""
    from rich.text import Text

    bar = Text()
    if longest_ms <= 0 or not parts:
        return bar
    scale, at, drawn = _WIDTH / longest_ms, 0.0, 0
    total = max(total_ms, sum(parts.values()))
    for name, (letter, colour, _) in PARTS.items():
        at += parts.get(name, 0.0)
        ends = round(min(at, total) * scale)
        bar.append(letter * max(0, min(_WIDTH, ends) - drawn), colour)
        drawn = max(drawn, min(_WIDTH, ends))
    most = max(parts, key=lambda name: parts[name])
    return bar.append(f" {parts[most]:.0f} ms {most}") if parts[most] >= 1 else bar


def _legend(*, briefly: bool) -> Text:
    from rich.text import Text

    found = Text()
    for name, (letter, colour, what) in PARTS.items():
        found.append(f"{letter} ", colour).append(f"{name}   " if briefly else f"{name}: {what}\n")
    found.rstrip()
    return found


def _long(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
