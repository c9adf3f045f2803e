"""What the tests in VS Code share: what the scripted model knows, and where the files are."""

from __future__ import annotations

import json
import random
import re
import shlex
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from tests.editors.support import SETTINGS, fetched_editor
from tests.editors.vscode import install
from tests.editors.vscode.editor import server_program

_Arguments = ParamSpec("_Arguments")
_MISSING = install.missing()
installed = pytest.mark.skipif(bool(_MISSING), reason=f"missing {_MISSING}: python -m tests.editors.install vscode")


def in_editor(test: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Marks a test that runs in VS Code."""
    return fetched_editor(installed(test))


# What the scripted model knows: at any place of it, it writes on.
KNOWN = "".join(
    f"def function_{index}(argument):\n    value = argument * {index} + other_{index}\n    return value\n\n\n"
    for index in range(40)
)


def _statements() -> str:
    """Statements, one a line or two, that have nothing in common: wherever they stop, only one thing follows."""
    letters = random.Random(12)

    def word() -> str:
        return "".join(letters.choice("abcdefghijklmnoprstu") for _ in range(6))

    return "".join(f"if {word()}({word()}):\n    {word()} = {word()}[{word()}] + {word()}\n" for _ in range(60))


STATEMENTS = _statements()
CLOSED = "rounded_total = round(largest_of_all / 7, 2).hex()\n"


def scripted_program(folder: Path) -> Path:
    """A `fimble` in the folder whose model knows KNOWN, CLOSED and STATEMENTS; most names in them are defined nowhere,
    which its user does not mind."""
    script = folder / "known.py"
    script.write_text(KNOWN + CLOSED + STATEMENTS)
    settings = folder / "config" / "fimble" / "fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)
    arguments = ("--backend", "scripted", "--model", str(script))
    return server_program(folder / "bin" / "fimble", *arguments, environment=_config(folder))


def slow_program(folder: Path, writing_seconds: float) -> Path:
    """What `scripted_program` has made in the folder, but each byte of a completion takes so long."""
    arguments = ("--backend", "scripted", "--model", str(folder / "known.py"))
    module = ("tests.editors.slow_server", "0", "0", str(writing_seconds))
    return server_program(folder / "slow" / "fimble", *arguments, environment=_config(folder), module=module)


def _config(folder: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(folder / "config")}


def overheard(program: Path, log: Path) -> Path:
    """A program beside `program` that does the same, and writes to `log` all that it says."""
    path = program.with_name(f"{program.name}-overheard")
    path.write_text(f'#!/bin/sh\n{shlex.quote(str(program))} "$@" | tee -a {shlex.quote(str(log))}\n')
    path.chmod(0o755)
    return path


def said(log: Path) -> list[dict[str, Any]]:
    """The messages of an overheard server, in order, without one that is not complete yet."""
    found = []
    for text in re.split(rb"Content-Length: \d+\r\n(?:[^\r\n]+\r\n)*\r\n", log.read_bytes() if log.exists() else b""):
        with suppress(ValueError):
            found.append(json.loads(text))
    return found


def next_edits(log: Path) -> list[dict[str, Any]]:
    """The next edits that an overheard server has sent, in order."""
    results = (each.get("result") for each in said(log))
    return [each["edits"][0] for each in results if isinstance(each, dict) and each.get("edits")]


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "work" / "file.py"


def python_extension(folder: Path) -> Path:
    """A stand-in for the Python extension: its API, for the program that the workspace's file `.selected` names."""
    main = """const vscode = require("vscode"); const fs = require("fs"); const path = require("path");
        exports.activate = () => ({ environments: {
            getActiveEnvironmentPath: resource => ({ path: path.join(resource?.fsPath ?? "/", ".selected") }),
            resolveEnvironment: async ({ path }) => fs.existsSync(path)
                ? { executable: { uri: vscode.Uri.file(fs.readFileSync(path, "utf8")) } } : undefined,
            onDidChangeActiveEnvironmentPath: new vscode.EventEmitter().event,
        } });"""
    manifest = {"name": "python", "publisher": "ms-python", "version": "1.0.0", "engines": {"vscode": "^1.91.0"}}
    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    identity = '<Identity Id="python" Version="1.0.0" Publisher="ms-python"/>'
    vsix_manifest = (
        '<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">'
        f"<Metadata>{identity}</Metadata></PackageManifest>"
    )
    target = folder / "python.vsix"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("extension.vsixmanifest", vsix_manifest)
        archive.writestr("extension/package.json", json.dumps({**manifest, "main": "./main.js"}))
        archive.writestr("extension/main.js", main)
    return target
