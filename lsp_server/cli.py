"""The command line. It also creates the backend and the engine and connects them with the front ends."""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server import __version__
from lsp_server.commands import (
    cache,
    compare,
    doctor,
    endpoints,
    index,
    init,
    models,
    output,
    report,
    stats,
    status,
    trust,
)
from lsp_server.commands.terminal import escaping
from lsp_server.system import user_folders

if TYPE_CHECKING:
    from lsp_server.backends.base import Backend, BackendFactory, ModelSpec
    from lsp_server.endpoints.money import Spending
    from lsp_server.engine.api import HomeKind, RoutedEngine
    from lsp_server.engine.endpoint import Endpoint
    from lsp_server.engine.home import Home

USAGE_ERROR, INTERRUPTED = 2, 130


def run(arguments: Sequence[str]) -> int:
    """Runs one command. Returns its exit status; 2, with one line on stderr, for a mistake of the user."""
    output.accept_any_text()
    with escaping():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    problem = user_folders.ensure_home()
    given = _with_command(arguments)
    options = parser(given).parse_args(given)
    logging.basicConfig(
        level=getattr(logging, getattr(options, "log", "warning").upper()),
        format="fimble: %(message)s",
        stream=sys.stderr,
    )
    # pygls logs errors that the user already gets as the answer to the request, without a traceback.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    if problem:
        print(f"fimble: {problem}", file=sys.stderr)  # noqa: T201 - the command line's own output
    if options.command == "serve":
        return _serve(options)
    if options.command == "engine":
        from lsp_server.engine import child

        with suppress(OSError):  # the folder may be gone; then relative paths do not work
            os.chdir(options.folder)
        factory = _factory(options.backend)
        if options.listen is None:
            return child.serve(factory)
        return child.serve_shared(factory, options.listen, options.linger)
    try:
        return _command(options)
    except _mistakes() as error:
        print(f"fimble: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def _command(options: argparse.Namespace) -> int:
    if options.command == "models":
        bench = options.action == "bench"
        return models.run(options, _factory(options.backend if bench else ""), _overrides(options) if bench else {})
    if options.command == "doctor":
        return doctor.run(options)
    if options.command == "report":
        return report.run(options)
    if options.command == "init":
        return init.run(options)
    if options.command == "trust":
        return trust.run(options)
    if options.command == "index":
        return index.run(options)
    if options.command == "status":
        return status.run(options)
    if options.command == "stats":
        return stats.run(options)
    if options.command == "compare":
        return compare.run(options)
    if options.command == "cache":
        return cache.run(options)
    if options.command == "endpoints":
        return endpoints.run(options)
    if options.command == "action":
        from lsp_server.commands.action import act

        return act(options, _factory(options.backend), _overrides(options))
    from lsp_server.commands.complete import complete

    return complete(options, _factory(options.backend), _overrides(options))


def _mistakes() -> tuple[type[Exception], ...]:
    """The exceptions for a mistake of the user; imported only when a command has failed."""
    from lsp_server.backends.base import ModelError
    from lsp_server.commands.place import CommandError

    return ModelError, CommandError


def _with_command(arguments: Sequence[str]) -> list[str]:
    """The arguments with a command. Without one it is `serve`, or help if stdin is a terminal."""
    if arguments and (not arguments[0].startswith("-") or arguments[0] in ("-h", "--help", "--version")):
        return list(arguments)
    return ["--help"] if sys.stdin is not None and sys.stdin.isatty() else ["serve", *arguments]


def _actions() -> str:
    """The built-in code actions, a line each."""
    from lsp_server.features.actions.catalogue import BUILT_IN

    lines = []
    for action in BUILT_IN:
        languages = f" ({', '.join(sorted(action.languages))})" if action.languages else ""
        lines.append(f"  {action.id:18}{action.title.replace('{target}', 'the code')}{languages}")
    return "actions:\n" + "\n".join(lines)


def parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command line. arguments: those to be parsed, so that slow parts of the help are only made if
    needed."""
    parser = argparse.ArgumentParser(
        prog="fimble",
        description="A language server that completes code with a GGUF model in its own process.",
    )
    parser.add_argument("--version", action="version", version=f"fimble {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    logged = argparse.ArgumentParser(add_help=False)
    logged.add_argument(
        "--log",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="how much to tell on stderr",
    )
    common = argparse.ArgumentParser(add_help=False, parents=[logged])
    common.add_argument("--model", metavar="FILE.gguf", help="the model (default: the setting, else the starter model)")
    common.add_argument(
        "--backend",
        choices=("llama", "scripted"),
        default="llama",
        help="scripted needs no model and answers nonsense, always the same: for tests",
    )
    serve = commands.add_parser(
        "serve",
        parents=[common],
        help="serve an editor over stdin and stdout (the default without a terminal)",
    )
    serve.add_argument(
        "--engine",
        choices=("in-process", "process", "shared"),
        help="where the model lives (default: the setting `engine`)",
    )
    serve.add_argument(
        "--http",
        nargs="?",
        const="127.0.0.1:8012",
        metavar="ADDRESS:PORT",
        help="serve editors over HTTP instead, at an address of this machine (default: 127.0.0.1:8012)",
    )
    serve.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="has the token that HTTP clients must send (default: one is made and kept)",
    )
    serve.add_argument(
        "--metrics", action="store_true", help="with --http: answer /metrics for Prometheus, with prometheus-client"
    )
    serve.add_argument("--stdio", action="store_true", help="accepted because some editors always pass it")
    engine = commands.add_parser("engine", parents=[common])  # started by a server, not by users
    engine.add_argument("--folder", type=Path, required=True)
    engine.add_argument("--listen", type=Path)
    engine.add_argument("--linger", type=float, default=0.0)
    complete = commands.add_parser(
        "complete", parents=[common], help="complete at one place of a file, without an editor"
    )
    complete.add_argument("place", metavar="FILE:LINE[:COL]", help="from 1, in characters; a line alone means its end")
    complete.add_argument(
        "--open", action="append", default=[], metavar="FILE", help="another file that counts as open; can be repeated"
    )
    complete.add_argument(
        "--quick", action="store_true", help="from a smaller prompt, as an editor's first key gets it"
    )
    complete.add_argument("--explain", action="store_true", help="show the hole, the prompt and what took the time")
    complete.add_argument("--json", action="store_true", help="print JSON")
    action = commands.add_parser(
        "action",
        parents=[common],
        help="carry out a code action at one place of a file",
        description="Carries out a code action at one place of a file.",
        epilog=_actions() if arguments[:1] == ["action"] else "",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action.add_argument("action", metavar="ACTION", help="one of those below, or one of your settings")
    action.add_argument("place", metavar="FILE:LINE[:COL][-LINE]", help="from 1; a line alone means what begins on it")
    action.add_argument("--chat-model", metavar="FILE.gguf", help="the model (default: the setting, else the starter)")
    action.add_argument("--instruction", default="", metavar="TEXT", help="what to do, for `edit`")
    action.add_argument("--problem", default="", metavar="MESSAGE", help="what is wrong, for `fix`")
    action.add_argument("--apply", action="store_true", help="write the change instead of only printing it")
    action.add_argument("--json", action="store_true", help="print JSON")
    models.add_arguments(commands, logged, common)
    doctor.add_arguments(commands, logged)
    report.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    init.add_arguments(commands, argparse.ArgumentParser(add_help=False))  # needs none of the common options
    trust.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    index.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    status.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    stats.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    compare.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    cache.add_arguments(commands, argparse.ArgumentParser(add_help=False))
    endpoints.add_arguments(commands, logged)
    return parser


def _factory(backend: str) -> BackendFactory:
    """A function that loads models with this backend. It imports the backend at its first call, on the loader's
    thread."""

    def load(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        if backend == "scripted":
            from lsp_server.backends.scripted import ScriptedBackend

            return ScriptedBackend(spec, progress)
        from lsp_server.backends import llama

        return llama.load(spec, progress)

    return load


def _engine(options: argparse.Namespace) -> RoutedEngine:
    """The engine of a server: its own models, and the user's endpoints."""
    from lsp_server.engine.client import EngineClient
    from lsp_server.engine.switch import Switch

    ids = itertools.count(1)

    @functools.cache  # one for all endpoints
    def spending() -> Spending:
        from lsp_server.endpoints.money import Spending

        return Spending()

    def remote(name: str, endpoint: Endpoint) -> EngineClient:
        from lsp_server.endpoints.home import RemoteHome
        from lsp_server.endpoints.sent_log import SentLog

        log = SentLog(spending=spending())
        return EngineClient({"in-process": lambda: RemoteHome(name, endpoint, log=log)}, ids=ids)

    return Switch(EngineClient(_homes(options), ids=ids), remote)


def _homes(options: argparse.Namespace) -> dict[HomeKind, Callable[[], Home]]:
    """For each kind of home, a function that makes it."""
    from lsp_server.engine.home import ThreadHome
    from lsp_server.engine.process import ProcessHome
    from lsp_server.engine.shared import SharedHome
    from lsp_server.system.user_sockets import is_possible

    command = ["engine", "--backend", options.backend, "--log", options.log]
    return {
        "in-process": lambda: ThreadHome(_factory(options.backend)),
        "process": lambda: ProcessHome(command),
        "shared": lambda: SharedHome(command) if is_possible() else ProcessHome(command),
    }


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.model is None else {"model": str(user_folders.expanded(options.model).absolute())}


def _serve(options: argparse.Namespace) -> int:
    """Serves over stdout's original descriptor. Other output to stdout (from a native library, a stray print) goes to
    stderr, so that the protocol stays clean."""
    # A parsing thread gives the interpreter's lock to the event loop after this time, plus its running step; Python's
    # default is 5 ms.
    sys.setswitchinterval(0.001)
    if options.metrics and options.http is None:
        print("fimble: `--metrics` is for `fimble serve --http`", file=sys.stderr)  # noqa: T201
        return USAGE_ERROR
    overrides = {**_overrides(options), **({"engine": options.engine} if options.engine else {})}
    if options.http is not None:
        from lsp_server.http.serve import serve_http

        where = options.http, options.token_file
        return serve_http(_engine(options), overrides, *where, tells_metrics=options.metrics)
    protocol_out = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    import anyio

    from lsp_server.features.background import PARSING
    from lsp_server.lsp.server import FimbleServer

    async def main() -> int:
        return await FimbleServer(_engine(options), overrides).serve(0, protocol_out)

    try:
        status = anyio.run(main)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if any(thread.name.startswith(("AnyIO worker thread", PARSING)) for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(status)  # a normal exit would wait for threads, for example of a formatter
    return status
