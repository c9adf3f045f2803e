"""`fimble endpoints`: lists the servers in the user's settings, and checks whether they work."""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.commands.consent import DECIDING, decide, forget, print_decisions
from lsp_server.commands.costs import costs_today
from lsp_server.commands.output import console, tell
from lsp_server.commands.place import CommandError
from lsp_server.commands.terminal import harmless

if TYPE_CHECKING:
    from lsp_server.engine.api import Finished, Role, TextDelta
    from lsp_server.engine.client import EngineClient
    from lsp_server.engine.endpoint import Endpoint

# A hole that every code model can fill, with a prompt long enough to show whether the server reuses it.
_LINE = "def double_{number}(value):\n    return value * 2\n\n\n"
_BEFORE = "".join(_LINE.format(number=number) for number in range(24)) + "def triple(value):\n    "
_AFTER = "\n\n\nprint(triple(3))\n"
_MOST_TOKENS = 16
_IDLE = "not in `routing`, so nothing is asked of it"
_SECONDS = 120.0


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble endpoints`."""
    parser = commands.add_parser(
        "endpoints",
        parents=[common],
        help="list the servers of your own fimble.toml, check one, show what was asked, or allow one for a folder",
        description="Lists the servers that your own fimble.toml names, and what each answers. `fimble endpoints check "
        "NAME` asks one for a short text of fimble's own; nothing of yours is sent. `fimble endpoints log` shows the "
        "last requests: when, for what, how much and how long. No text of them is kept. `fimble endpoints allow NAME "
        "FOLDER` lets editors send code of a workspace to a server on another machine, `never` forbids it, and "
        "`forget` takes back what was said, so that the editor asks again.",
    )
    actions = ("list", "check", "log", *DECIDING)
    parser.add_argument("action", nargs="?", choices=actions, default="list")
    parser.add_argument("name", nargs="?", default="", help="which one (default: all)")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="with `allow` and `never`: the workspace (default: the current folder); with `forget`: only this one",
    )
    parser.add_argument(
        "--no-folder",
        action="store_true",
        help="with `allow` and `forget`: about files that are opened without a folder",
    )
    parser.add_argument("--json", action="store_true", help="with `log`: print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints a table, or the results of the checks. Returns 1 if a check fails. Raises CommandError."""
    from lsp_server.settings import sources
    from lsp_server.settings.endpoints import endpoints_of

    if options.folder is not None and options.action not in DECIDING:
        raise CommandError(f"`fimble endpoints {options.action}` takes no folder")
    if options.no_folder and (options.action not in ("allow", "forget") or options.folder is not None):
        raise CommandError("`--no-folder` is for `fimble endpoints allow NAME` and `forget NAME`, without a folder")
    if options.action == "log":
        return _log(options.name, as_json=options.json)
    if options.json:
        raise CommandError("`--json` is for `fimble endpoints log`")
    if options.action == "forget":
        return forget(options)
    settings, problems = sources.load([Path.cwd()])
    for problem in problems:
        tell(problem)
    found = endpoints_of(settings.endpoints)[0]
    if options.action == "list":
        return _list(found, settings)
    if options.action in DECIDING:
        return decide(options, found)
    if settings.offline:
        raise CommandError("the setting `offline` is true, so no endpoint is asked")
    if options.name and options.name not in found:
        known = ", ".join(found) or "none"
        raise CommandError(f"there is no endpoint {options.name!r}; your own fimble.toml has {known}")
    names = [options.name] if options.name else list(found)
    if not names:
        raise CommandError("your own fimble.toml names no endpoint; see docs/endpoints.md")
    import anyio

    return max(anyio.run(_check, name, found[name]) for name in names)


def _list(found: dict[str, Endpoint], settings: Any) -> int:
    from lsp_server.engine.api import JOBS

    if not found:
        tell("no endpoints; your own fimble.toml can name some (docs/endpoints.md)")
    places = settings.places()
    for name, endpoint in found.items():
        jobs = [job for job, role in JOBS.items() if name in places[role]]
        where = "this machine" if endpoint.is_here else "another machine"
        idle = "asked about a code action again when you say so" if endpoint.ask_again else _IDLE
        answers = f"answers {' and '.join(jobs)}" if jobs else idle
        if endpoint.daily_limit is not None:
            answers += f"; up to {endpoint.daily_limit:g} a day"
        tell(f"{name}: {endpoint.kind} at {endpoint.url} ({where}); {answers}")
        print_decisions(name, endpoint)
    return 0


def _log(name: str, *, as_json: bool) -> int:
    """Prints the last requests, also those to servers that fimble.toml no longer names."""
    import msgspec

    from lsp_server.endpoints.sent_log import last_sent
    from lsp_server.engine.endpoint import shown_cost

    found = [sent for sent in last_sent() if name in ("", sent.endpoint)]
    if as_json:
        tell(json.dumps(msgspec.to_builtins(found), indent=2))
        return 0
    if not found:
        tell(f"nothing was asked of {name or 'any endpoint'} yet")
        return 0
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("when", "endpoint", "job"):
        table.add_column(title)
    has_costs = any(sent.cost is not None for sent in found)
    for title in ("prompt tokens", "answer tokens", "first ms", "whole ms", *(("cost",) if has_costs else ())):
        table.add_column(title, justify="right")
    table.add_column("result")
    for sent in found:
        when = datetime.fromtimestamp(sent.at).astimezone().isoformat(" ", "seconds")[:19]
        times = _shown(sent.first_ms), _shown(sent.total_ms)
        counts: tuple[str, ...] = _shown(sent.prompt_tokens), str(sent.answer_tokens), *times
        if has_costs:
            counts = *counts, "" if sent.cost is None else shown_cost(sent.cost, estimated=sent.estimated)
        result = f"{sent.result}: {sent.problem}" if sent.problem else sent.result
        table.add_row(when, harmless(sent.endpoint), harmless(sent.job), *counts, harmless(result))
    console().print(table)
    if has_costs:
        for line in costs_today(name):
            tell(line)
    return 0


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


async def _check(name: str, endpoint: Endpoint) -> int:
    """Probes a server, and asks it twice for the same text. Returns 1 if something is wrong."""
    import anyio

    from lsp_server.backends.base import ModelSpec
    from lsp_server.endpoints.home import RemoteHome
    from lsp_server.engine.client import EngineClient

    changed = anyio.Event()

    def on_model(*_: Any) -> None:
        nonlocal changed
        changed.set()
        changed = anyio.Event()

    engine = EngineClient({"in-process": lambda: RemoteHome(name, endpoint)}, on_model)
    engine.start()
    try:
        with anyio.move_on_after(_SECONDS):
            began = time.monotonic()
            role: Role = "edit" if endpoint.edit_format or endpoint.is_for_edits else "completion"
            engine.load(ModelSpec(endpoint.url), role)
            while engine.models[role].kind == "loading":
                await changed.wait()
            info = engine.models[role].info
            if info is None:
                tell(f"{name}: {engine.models[role].message}")
                return 1
            form = info.edit_format or info.format.name
            tell(f"{name}: there, {1000 * (time.monotonic() - began):.0f} ms; {info.path}, format {form}")
            if endpoint.is_chat or role == "edit":
                return 0
            return await _ask_twice(engine, name)
        tell(f"{name}: no answer within {_SECONDS:.0f} s")
        return 1
    finally:
        await engine.stop()


async def _ask_twice(engine: EngineClient, name: str) -> int:
    """Asks for the same text twice: the second time, the server has the prompt in its cache."""
    answers: list[tuple[Finished, float]] = []
    for _ in range(2):
        answers.append(await _ask(engine))
        if message := answers[-1][0].message:
            tell(f"{name}: {message}")
            return 1
    (first, first_ms), (second, second_ms) = answers
    reused = first.usage.prompt_tokens - second.usage.prompt_tokens
    seen = f"; {reused} of {first.usage.prompt_tokens} tokens reused" if reused > 0 else ""
    tell(f"{name}: first text after {first_ms:.0f} ms, and after {second_ms:.0f} ms with a prompt that it knows{seen}")
    usage = second.usage
    if usage.decoded_tokens > 1 and usage.decode_ms > 0:
        tell(f"{name}: {1000 * (usage.decoded_tokens - 1) / usage.decode_ms:.0f} pieces of text a second")
    filled = second.text.strip().split("\n")[0][:60]
    works = filled.startswith("return") and "value" in filled
    hint = "" if works else ", so FIM does not seem to work; see `fim_format`"
    tell(f"{name}: it fills the hole with {filled!r}{hint}")
    return 0 if works else 1


async def _ask(engine: EngineClient) -> tuple[Finished, float]:
    """The answer for the hole, and the time until its first text, in ms."""
    import anyio

    from lsp_server.core.document import DocumentSnapshot
    from lsp_server.core.hole import find_hole, refined
    from lsp_server.core.prompt import PromptBudget, lay_out, new_anchor
    from lsp_server.core.stopping import stop_rule
    from lsp_server.engine.api import TextDelta as Delta

    info = engine.model.info
    assert info is not None
    document = DocumentSnapshot.of("file:///check.py", (_BEFORE + _AFTER).encode(), language_id="python")
    cursor = len(_BEFORE.encode())
    hole = refined(document, find_hole(document, cursor))
    anchor = new_anchor(document, hole, info.format, PromptBudget.of_tokens(info.context_tokens))
    prompt = lay_out(document, anchor, cursor, info.format)
    done, began = anyio.Event(), time.monotonic()
    ends: list[Finished] = []
    times: list[float] = []

    def take(event: TextDelta | Finished) -> None:
        if isinstance(event, Delta):
            times.append(1000 * (time.monotonic() - began))
        else:
            ends.append(event)
            done.set()

    engine.submit(prompt, stop_rule(document, hole, 1), _MOST_TOKENS, take)
    await done.wait()
    return ends[0], times[0] if times else 1000 * (time.monotonic() - began)
