"""The layers: imports point one way. Reads the syntax trees of all of lsp_server."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lsp_server"
MOST_LINES = 400

# What a module may import of ours: it, and what lies in it. The first entry that names the importer counts.
# commands and http are front ends next to lsp. core and system lie below all others.
ALLOWED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("core", ("core",)),
    ("system", ("system",)),
    ("children", ("children", "system")),
    ("stats", ("core", "stats", "system")),
    ("engine.endpoint", ()),
    ("settings.endpoints", ("engine.endpoint",)),
    ("settings.fields", ("features", "engine.api", "engine.endpoint", "settings", "backends.base", "system")),
    ("settings.sources", ("features", "settings", "backends.base", "system")),
    ("settings", ("settings", "models.installed", "backends.base", "system")),
    ("endpoints.money", ("system",)),
    ("endpoints.sent_log", ("endpoints.money", "system")),
    ("endpoints", ("core", "endpoints", "engine.endpoint", "engine.home", "engine.request", "backends.base")),
    ("engine.process", ("engine", "children")),
    ("engine", ("core", "engine", "backends.base", "system")),
    ("backends.base", ("core",)),
    ("backends.llama", ("core", "backends", "models", "system")),
    ("backends.llama_library", ("backends.base", "backends.calibration", "system")),
    ("backends.measuring", ("backends",)),
    ("backends.llama_states", ("backends.base", "models")),
    ("backends.devices", ("backends", "models")),
    ("backends.weights_files", ("backends.base", "models")),
    ("backends.requantise", ("backends", "models")),
    ("backends.adapters", ("backends", "models")),
    ("backends.calibration", ("core", "children", "backends.base", "system")),
    ("backends", ("core", "backends.base")),
    ("models.probe", ("core", "models", "backends")),
    ("models", ("core", "models", "children", "backends.base", "system")),
    ("features.first_suggestions", ("features.outcome", "backends.base", "system")),
    ("features", ("core", "engine.api", "features", "children", "backends.base", "system")),
    ("lsp.protocol", ("core", "lsp.clients", "lsp.convert")),
    ("lsp.malformed", ()),
    (
        "lsp.session",
        ("core", "settings", "lsp.clients", "lsp.convert", "lsp.malformed", "lsp.protocol", "lsp.transport"),
    ),
    ("status", ("core", "engine.api", "features", "status", "settings", "system")),
    ("lsp", ("core", "engine.api", "features", "status", "lsp", "settings", "stats", "backends.base")),
    ("http.token", ("system",)),
    ("http", ("core", "engine.api", "features", "http", "settings", "status")),
    (
        "commands.complete",
        ("core", "engine", "features", "settings", "backends.base", "commands.place", "commands.waiting"),
    ),
    ("commands.waiting", ()),
    ("commands.endpoints", ("core", "engine", "endpoints", "settings", "backends.base", "commands")),
    ("commands.action", ("core", "engine", "features", "settings", "backends.base", "commands.place", "system")),
    ("commands.index", ("core", "features", "settings", "commands")),
    ("commands.place", ("core",)),
    ("commands.status", ("commands", "backends.base", "system")),
    ("commands.terminal", ("core",)),
    ("commands.costs", ("commands.terminal", "endpoints.money", "engine.endpoint")),
    ("commands.consent", ("commands", "engine.endpoint", "settings", "system")),
    (
        "commands.doctor",
        ("commands", "models", "settings", "backends", "features.first_suggestions", "system"),
    ),
    ("commands", ("commands", "models", "settings", "stats", "backends", "system")),
    ("cli", ("",)),
    ("__main__", ("cli",)),
    ("", ()),
)

# Who alone may import what is not ours.
RESERVED = {
    "pygls": ("lsp",),
    "lsprotocol": ("lsp",),
    "llama_cpp": ("backends.llama_library", "backends.devices"),
    "httpx2": ("endpoints",),
    "h11": ("http.wire",),
    "prometheus_client": ("http.metrics",),
    "rich": ("commands",),
    "huggingface_hub": ("models.hub",),
    "filelock": ("models.pull",),
    "sqlite3": ("stats.store", "features.index.store", "features.index.reader"),
    "tomlkit": ("settings.editing",),
    "tree_sitter": (
        "core.parsing",
        "core.syntax",
        "core.pieces",
        "core.imports",
        "core.outline",
        "core.doc_comments",
        "core.idioms",
        "core.declarations",
        "core.names.class_facts",
        "core.names.class_members",
        "core.next_edits",
        "core.danger",
    ),
    "pyflakes": ("core.names.undefined",),
    "jinja2": ("features.actions.rendering",),
}

# What the pure part may not import: it has no clock, no threads, no event loop and no I/O.
IMPURE = {"anyio", "asyncio", "io", "logging", "multiprocessing", "os", "queue", "socket", "subprocess", "sys"}
IMPURE |= {"llama_cpp", "pygls", "threading", "time"}
# Of the counts, those parts that only count and reckon are pure, too.
PURE = (
    "core",
    "stats.counts",
    "stats.kept",
    "stats.tracker",
    "stats.calculations",
    "stats.report",
    "stats.weekly",
    "stats.comparing",
)


def within(module: str, package: str) -> bool:
    """Whether `module` is `package` or lies in it. All modules lie in the empty one."""
    return not package or module == package or module.startswith(package + ".")


def modules() -> dict[str, str]:
    """The source of every module of ours, by its name without the package's."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return found


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All nodes of a module, which comes first."""
    return tuple(ast.walk(ast.parse(source)))


def imports(name: str, source: str, known: set[str]) -> Iterator[str]:
    """The full names of all that a module imports, wherever the import stands.

    Of `from a import b`, it is a.b where that is one of our modules, else a.
    """
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which hides its arrow"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix(f"{PACKAGE}.") in known else str(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                yield str(first.value)


def wrong_arrows(name: str, source: str, known: set[str]) -> list[str]:
    """What a module imports and may not, as `importer -> imported`."""
    allowed = next(targets for importer, targets in ALLOWED if within(name, importer))
    wrong = []
    for target in imports(name, source, known):
        if within(target, PACKAGE):
            inner = target.removeprefix(PACKAGE).removeprefix(".")
            good = not inner or any(within(inner, package) for package in allowed)
        else:
            owners = next((owners for package, owners in RESERVED.items() if within(target, package)), ("",))
            good = any(within(name, owner) for owner in owners)
            if any(within(name, package) for package in PURE):
                good = good and target.partition(".")[0] not in IMPURE
        if not good:
            wrong.append(f"{name} -> {target}")
    return wrong


def circles(sources: dict[str, str]) -> list[tuple[str, ...]]:
    """The circles of imports: groups of modules, each of which imports all others of its group, directly or by way of
    others. Imports count wherever they stand, those for types alone, too."""
    known = set(sources)
    found = {name: {to.removeprefix(f"{PACKAGE}.") for to in imports(name, sources[name], known)} for name in sources}

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            new = (found[waiting.pop()] & known) - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in sources}
    groups = {tuple(sorted(each for each in reach[name] if name in reach[each])) for name in sources}
    return sorted(group for group in groups if group)


MODULES = modules()


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    assert wrong_arrows(name, MODULES[name], set(MODULES)) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core.prompt", "import asyncio"),
        ("core.prompt", "import os.path"),
        ("core.prompt", "from time import monotonic"),
        ("core.prompt", "import anyio.abc"),
        ("core.prompt", "from lsp_server.engine.request import Priority"),
        ("core.prompt", "def late():\n    from lsp_server.backends import base"),
        ("core.prompt", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lsp_server.lsp import convert"),
        ("core.prompt", "import importlib\nimportlib.import_module('lsp_server.engine.core')"),
        ("core.prompt", "import tree_sitter"),
        ("engine.core", "from lsp_server.backends.scripted import ScriptedBackend"),
        ("engine.core", "from lsp_server.backends import llama"),
        ("engine.core", "import lsp_server.features.inline"),
        ("engine.core", "from lsp_server.settings.sources import Settings"),
        ("backends.scripted", "from lsp_server.models import starter"),
        ("backends.scripted", "from lsp_server.models import gguf"),
        ("models.gguf", "from lsp_server.backends import llama"),
        ("models.gguf", "from lsp_server.settings.sources import Settings"),
        ("models.gguf", "import llama_cpp"),
        ("engine.core", "from lsp_server.models import gguf"),
        ("backends.scripted", "from lsp_server.engine.request import Usage"),
        ("models.starter", "import llama_cpp"),
        ("backends.base", "from lsp_server.backends.llama import load"),
        ("features.inline", "from lsp_server.lsp.convert import to_range"),
        ("features.inline", "from lsprotocol import types"),
        ("features.inline", "from lsp_server.backends import scripted"),
        ("features.inline", "from lsp_server.settings import sources"),
        ("features.inline", "from lsp_server.engine.client import EngineClient"),
        ("lsp.server", "from lsp_server.engine.request import Generate"),
        ("lsp.server", "from lsp_server.backends.llama import load"),
        ("lsp.server", "from lsp_server import cli"),
        ("lsp.session", "from lsp_server.lsp.counting import Counting"),
        ("lsp.session", "from lsp_server.features.inline import InlineCompleter"),
        ("lsp.protocol", "from lsp_server.lsp.session import Session"),
        ("lsp.server", "import rich.console"),
        ("lsp.server", "import llama_cpp.llama_cpp as api"),
        ("commands.complete", "from lsp_server.lsp import convert"),
        ("commands.complete", "import pygls"),
        ("commands.models", "from lsp_server.engine.client import EngineClient"),
        ("commands.models", "import huggingface_hub"),
        ("models.hub", "from lsp_server.commands import models"),
        ("cli", "import pygls"),
        ("settings.sources", "from lsp_server.lsp import server"),
        ("stats.tracker", "import time"),
        ("stats.report", "import sqlite3"),
        ("", "from lsp_server.core import text"),
    ],
)
def test_a_wrong_arrow_is_found(name: str, source: str) -> None:
    assert len(wrong_arrows(name, source, set(MODULES))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core.prompt", "from lsp_server.core import text\nimport re"),
        ("core.syntax", "import tree_sitter"),
        ("core.pieces", "from tree_sitter import Node"),
        ("engine.core", "import time\nfrom lsp_server.backends.base import Backend"),
        ("engine.core", "from lsp_server.backends import base"),
        ("backends.llama", "from lsp_server.backends import llama_library\nfrom lsp_server.models import gguf"),
        ("backends.llama_library", "import llama_cpp.llama_cpp"),
        ("features.inline", "from lsp_server.engine.api import Engine"),
        (
            "lsp.server",
            "from lsp_server import __version__\nfrom lsp_server.settings import sources\nimport pygls.lsp.server",
        ),
        ("cli", "from lsp_server.backends.scripted import ScriptedBackend"),
    ],
)
def test_a_right_arrow_passes(name: str, source: str) -> None:
    assert wrong_arrows(name, source, set(MODULES)) == []


def test_no_imports_go_in_a_circle() -> None:
    assert circles(MODULES) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "import lsp_server.b", "b": "import lsp_server.c", "c": "import os"}, []),
        ({"a": "import lsp_server.b", "b": "import lsp_server.c", "c": "from lsp_server import a"}, [("a", "b", "c")]),
        ({"a": "import lsp_server.b", "b": "if TYPE_CHECKING:\n    from lsp_server.a import A"}, [("a", "b")]),
        ({"a": "def late():\n    import lsp_server.b", "b": "from lsp_server.a import A", "c": ""}, [("a", "b")]),
        ({"a": "from lsp_server.a import A", "b": "from lsp_server.a import A"}, [("a",)]),
        (
            {
                "a": "import lsp_server.b",
                "b": "import lsp_server.a, lsp_server.c",
                "c": "from lsp_server import d",
                "d": "from lsp_server.c import C",
            },
            [("a", "b"), ("c", "d")],
        ),
    ],
)
def test_a_circle_is_found(sources: dict[str, str], expected: list[tuple[str, ...]]) -> None:
    assert circles(sources) == expected


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_for_and_is_not_long(name: str) -> None:
    module, *others = nodes(MODULES[name])
    assert isinstance(module, ast.Module)
    if MODULES[name].strip():
        assert ast.get_docstring(module), "no docstring"
    has_code = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in others)
    assert len(MODULES[name].splitlines()) <= MOST_LINES or not has_code, "too long; only tables may be longer"


def test_all_modules_were_read() -> None:
    assert {"core.text", "engine.core", "backends.llama", "features.inline", "lsp.server", "cli", ""} <= set(MODULES)


def test_what_a_server_imports_before_it_serves() -> None:
    """An editor waits for these imports: nothing heavy, and nothing that only the command line needs."""
    heavy = ["rich", "llama_cpp", "numpy", "tree_sitter", "pyflakes"]
    heavy += ["lsp_server.commands.complete", "lsp_server.backends.llama"]
    heavy += [
        "lsp_server.core.names.python_parts",
        "lsp_server.core.names.python_types",
        "lsp_server.core.names.class_members",
    ]  # for names, from the first key on
    code = f"import sys, lsp_server.lsp.server\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
