"""`fimble report`: the data for a bug report, as Markdown or JSON, without code and paths.

It opens no socket, writes nothing, and sends nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lsp_server.commands.output import tell

_PACKAGES = ("llama-cpp-python", "pygls", "lsprotocol", "tree-sitter", "msgspec", "anyio", "numpy")
# Text settings whose values are public names, not the user's own words.
_NAMES = ("flash_attention", "disabled_languages", "fim_format")


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble report`."""
    parser = commands.add_parser(
        "report",
        parents=[common],
        help="what a report of a bug needs, without code and paths",
        description="Prints versions, the machine, settings, and what the last server counted and which errors it had. "
        "There is no code in it and no path; read it before you send it.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    found = collected()
    tell(json.dumps(found, indent=2, ensure_ascii=False) if options.json else "\n".join(_markdown(found)))
    return 0


def collected() -> dict[str, Any]:
    """All data, as JSON."""
    from lsp_server.commands import doctor
    from lsp_server.settings import sources
    from lsp_server.settings.last_run import without_paths

    loaded = sources.collect([Path.cwd()])
    settings = loaded.settings
    known = [
        *settings.files(),
        *map(str, sources.settings_files([Path.cwd()])),
        str(Path.cwd()),
        sys.prefix,
        sys.executable,
    ]
    return {
        "versions": _versions(),
        "checks": [
            {"topic": check.topic, "status": check.status, "text": without_paths(check.text, known)}
            for check in doctor.examine()
        ],
        "settings": _settings(settings),
        "problems": [without_paths(problem, known) for problem in loaded.problems],
        "lastRun": _last_run(),
    }


def _versions() -> dict[str, str]:
    from importlib import metadata

    from lsp_server import __version__

    found = {
        "fimble": __version__,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
    }
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "is missing"
    return found


def _settings(settings: Any) -> dict[str, Any]:
    """The settings that differ from the defaults. For texts, which may be paths or the user's own words, only that they
    are set."""
    import msgspec

    from lsp_server.settings.fields import Settings

    plain, usual = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    return {name: _without_text(name, value) for name, value in plain.items() if value != usual[name]}


def _without_text(name: str, value: Any) -> Any:
    if not isinstance(value, str | list | dict) or name in _NAMES:
        return value
    return "set" if isinstance(value, str) else f"{len(value)} set"


def _last_run() -> dict[str, Any] | None:
    from lsp_server.settings import last_run

    found = last_run.read()
    if found is None:
        return None
    found["state"] = "ended in order" if found.get("ended") is True else _state(found.pop("pid", 0))
    found.pop("pid", None)
    return found


def _state(pid: object) -> str:
    import psutil

    runs = isinstance(pid, int) and pid > 0 and psutil.pid_exists(pid)
    return "runs" if runs else "ended without a word: it crashed, or was ended by force"


def _markdown(found: Mapping[str, Any]) -> Iterable[str]:
    yield "## Versions\n"
    yield from _rows(found["versions"])
    yield "\n## Machine and set-up\n"
    for check in found["checks"]:
        yield f"- {check['status']}: {check['topic']}: {check['text']}"
    yield "\n## Settings that are not as they come\n"
    yield from _rows(found["settings"]) if found["settings"] else ["none"]
    for problem in found["problems"]:
        yield f"- wrong: {problem}"
    yield "\n## The server that wrote last\n"
    run = found["lastRun"]
    if run is None:
        yield "none has run yet, or it could write nothing"
        return
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(_number(run.get("started"))))
    yield f"fimble {run.get('version')}, started {started}; {run['state']}\n"
    counted, errors = run.get("counted"), run.get("errors")
    yield from _rows(counted if isinstance(counted, dict) else {})
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            raised = f" ({error['raised']} at {', '.join(error.get('at', []))})" if "raised" in error else ""
            times = f", {error.get('times')} times" if error.get("times", 1) != 1 else ""
            yield f"- {error.get('level')} of {error.get('from')}{times}: {error.get('text')}{raised}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 1 << 40 else 0.0


def _rows(values: Mapping[str, Any]) -> Iterable[str]:
    return (f"- {name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items())
