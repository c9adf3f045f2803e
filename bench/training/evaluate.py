"""`evaluate`: runs `python -m bench quality` with a model, and stores the results for the model card."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.training import corpus


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a GGUF file; an adapter is merged")
    parser.add_argument("--data", type=Path, metavar="DIR", help="HumanEval-Infilling and SAFIM")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="cut holes from its held-out packages")
    parser.add_argument("--limit", type=int, default=0, help="holes of each set (0: all)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="NAME.humaneval.json, NAME.held-out.json"
    )
    parser.add_argument("--threads", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    if options.corpus:
        write_files(options.corpus, options.out / "held-out")
    for command in commands(options):
        print("python", *command, flush=True)
        if code := subprocess.run([sys.executable, *command], check=False).returncode:
            return code
    return 0


def commands(options: argparse.Namespace) -> list[list[str]]:
    """The arguments of each run, after the name of Python. Raises ValueError if there are no holes."""
    shared = ["--model", str(options.model)]
    shared += ["--limit", str(options.limit)] if options.limit else []
    shared += ["--threads", str(options.threads)] if options.threads else []
    found = []
    if options.data:
        found.append(["--data", str(options.data), "--set", "humaneval", "--out", _result(options, "humaneval")])
    if options.corpus:
        found.append(["--repo", str(options.out / "held-out"), "--out", _result(options, "held-out")])
    if not found:
        raise ValueError("name --data, --corpus, or both")
    return [["-m", "bench", "quality", *where, *shared] for where in found]


def _result(options: argparse.Namespace, name: str) -> str:
    return str(options.out / f"{options.model.stem}.{name}.json")


def write_files(source: Path, folder: Path) -> int:
    """Writes the held-out files of a corpus as single files, in folders by package. Returns their number."""
    count = 0
    for file in corpus.read(source, "held-out"):
        path = folder / file.package.replace("/", "_") / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, "utf-8")
        count += 1
    return count
