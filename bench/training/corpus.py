"""`corpus`: collects permissively licensed source code on this machine, with a manifest of its origins.

The folder it writes holds `train-NNN.jsonl.xz` and `held-out-NNN.jsonl.xz`, one file of source a line (package,
path, language, text), and `manifest.json`, written last. Packages are processed in the order of their names, held-out
ones first, so that no training file is a copy of a held-out file.
"""

from __future__ import annotations

import argparse
import json
import lzma
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from bench.training.dedup import Benchmarks, Fingerprint, Seen, fingerprint
from bench.training.filters import is_held_out, reason_against
from bench.training.licences import Licence
from bench.training.sources import Package, installed_packages, npm_packages, standard_library
from lsp_server.core.languages import find_language

SHARD_BYTES = 16 << 20
_benchmarks = Benchmarks(None)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the corpus. path: relative to its package, as a model is shown it."""

    package: str
    path: str
    language: str
    text: str


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the corpus goes")
    parser.add_argument("--npm", type=Path, action="append", default=[], metavar="DIR", help="a folder of npm packages")
    parser.add_argument("--also", type=Path, action="append", default=[], metavar="DIR", help="a corpus made elsewhere")
    parser.add_argument("--no-installed", action="store_true", help="leave out this Python and its packages")
    parser.add_argument("--exclude-data", type=Path, metavar="DIR", help="benchmarks (.jsonl) that must not be in it")
    parser.add_argument("--held-out-percent", type=float, default=3.0, help="packages kept for evaluation")
    parser.add_argument(
        "--most-mb", type=float, default=0, help="at most so many MB of source, and a tenth of it held out (0: all)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(options: argparse.Namespace) -> int:
    out: Path = options.out
    if (out / "manifest.json").is_file():
        print(f"{out} is complete; remove its manifest.json to build it again")
        return 0
    global _benchmarks  # noqa: PLW0603 - the workers inherit it by forking
    _benchmarks = Benchmarks(options.exclude_data)
    packages: list[Package] = []
    if not options.no_installed:
        packages += [standard_library(), *installed_packages()]
    for folder in options.npm:
        packages += npm_packages(folder)
    manifest = build(out, packages, options.also, options.held_out_percent, options.most_mb, options.workers)
    for name in ("train", "held-out"):
        total = manifest["totals"][name]
        print(f"{name}: {total['files']} files, {total['bytes'] / 1e6:.1f} MB, of {total['packages']} packages")
    print(f"left out: {manifest['left_out']}; {len(manifest['refused'])} packages without a permissive licence")
    return 0


def build(
    out: Path, packages: list[Package], also: list[Path], held_out_percent: float, most_mb: float, workers: int
) -> dict[str, Any]:
    """Writes the corpus to `out` and returns its manifest."""
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    refused = [_row(package) for package in packages if not package.licence.permissive]
    seen, most = Seen(), most_mb * 1e6 or float("inf")
    room = {"held-out": most / 10, "train": most}
    with ExitStack() as stack:
        shards = {name: stack.enter_context(_Shards(out, name)) for name in ("train", "held-out")}
        pool = stack.enter_context(multiprocessing.get_context("fork").Pool(workers))
        work = _work(packages, also, held_out_percent, rows)
        for file, split, key, reason, print_of in pool.imap(_judge, work, chunksize=8):
            if room[split] < 0:
                if split == "train":
                    pool.terminate()
                    break
                continue
            reason = reason or seen.copy_kind(print_of)  # noqa: PLW2901
            if reason:
                left_out[reason] += 1
                continue
            size = len(file.text.encode())
            shards[split].write(file, size)
            rows[key]["files"] += 1
            rows[key]["bytes"] += size
            rows[key]["split"] = split
            room[split] -= size
    kept = [row for row in rows.values() if row["files"]]
    manifest = {
        "packages": sorted(kept, key=lambda row: (row["ecosystem"], row["name"].lower())),
        "refused": sorted(refused, key=lambda row: row["name"].lower()),
        "left_out": dict(left_out),
        "benchmark_runs": len(_benchmarks),
        "held_out_percent": held_out_percent,
        "totals": {
            name: {
                "packages": sum(row["split"] == name for row in kept),
                "files": sum(row["files"] for row in kept if row["split"] == name),
                "bytes": sum(row["bytes"] for row in kept if row["split"] == name),
            }
            for name in ("train", "held-out")
        },
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return manifest


def read(folder: Path, split: str) -> Iterator[SourceFile]:
    """The files of a corpus: split is `train` or `held-out`."""
    for path in shard_paths(folder, split):
        yield from read_shard(path)


def shard_paths(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob(f"{split}-*.jsonl.xz"))


def read_shard(path: Path) -> Iterator[SourceFile]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield SourceFile(**json.loads(line))


Work = tuple[SourceFile | Path, str, str, str]


def _work(packages: list[Package], also: list[Path], percent: float, rows: dict[str, dict[str, Any]]) -> Iterator[Work]:
    """All files to judge, with their split, the key of their row, and their shown path; fills in `rows`."""
    ordered = sorted(packages, key=lambda item: (not is_held_out(item.name, percent), item.name.lower()))
    manifests = [json.loads((folder / "manifest.json").read_text("utf-8")) for folder in also]
    for split in ("held-out", "train"):
        for folder, manifest in zip(also, manifests, strict=True):
            rows |= {f"{folder}:{row['name']}": row | {"files": 0, "bytes": 0} for row in manifest["packages"]}
            for file in read(folder, split):
                yield file, split, f"{folder}:{file.package}", file.path
        for package in ordered:
            if package.licence.permissive and (split == "held-out") == is_held_out(package.name, percent):
                key = f"{package.ecosystem}:{package.name} {package.version}"
                rows[key] = _row(package)
                for shown, path in package.files:
                    yield path, split, key, shown


def _judge(work: Work) -> tuple[SourceFile, str, str, str, Fingerprint]:
    """In a worker: reads a file. Returns the reason to leave it out, or its fingerprint."""
    source, split, key, shown = work
    nothing = Fingerprint(b"", fingerprint("").minima)
    if isinstance(source, SourceFile):
        file, reason = source, ""
    else:
        raw = source.read_bytes()
        reason = reason_against(shown, raw)
        package = key.partition(":")[2].rpartition(" ")[0]
        text = "" if reason else raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
        file = SourceFile(package, shown, find_language("", shown).name, text)
    if not reason and _benchmarks.in_text(file.text):
        reason = "benchmark"
    return file, split, key, reason, nothing if reason else fingerprint(file.text)


def _row(package: Package) -> dict[str, Any]:
    licence: Licence = package.licence
    return {
        "name": package.name,
        "version": package.version,
        "ecosystem": package.ecosystem,
        "licence": licence.expression,
        "licence_source": licence.source,
        "split": "",
        "files": 0,
        "bytes": 0,
    }


class _Shards:
    """Compressed files of about SHARD_BYTES of source each."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self._number, self._room = folder, name, 0, 0
        self._open: TextIO | None = None

    def __enter__(self) -> _Shards:
        for old in shard_paths(self._folder, self._name):
            old.unlink()
        return self

    def write(self, file: SourceFile, size: int) -> None:
        if self._open is None or self._room < 0:
            self.__exit__()
            path = self._folder / f"{self._name}-{self._number:03}.jsonl.xz"
            self._open = lzma.open(path, "wt", preset=2, encoding="utf-8")  # noqa: SIM115 - closed at the next shard
            self._number, self._room = self._number + 1, SHARD_BYTES
        fields = {"package": file.package, "path": file.path, "language": file.language, "text": file.text}
        self._open.write(json.dumps(fields, ensure_ascii=False) + "\n")
        self._room -= size

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
