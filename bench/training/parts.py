"""`parts`: splits a file into parts that are small enough for a transfer, and joins them again, checked by SHA-256."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True)
    to = commands.add_parser("split", help="write FILE.part00, FILE.part01, … and FILE.parts.json")
    to.add_argument("file", type=Path)
    to.add_argument("--out", type=Path, required=True, metavar="DIR")
    to.add_argument("--split-mb", type=float, default=15.0, help="the largest part, in MiB")
    to.add_argument("--first", type=int, default=0, help="the first part to write")
    to.add_argument("--count", type=int, default=0, help="how many parts to write (0: all)")
    back = commands.add_parser("join", help="join the parts that FILE.parts.json lists")
    back.add_argument("list", type=Path)
    back.add_argument("--out", type=Path, required=True, metavar="FILE")
    back.add_argument("--parts-in", type=Path, action="append", metavar="DIR", help="where parts lie (else beside it)")


def run(options: argparse.Namespace) -> int:
    if options.command == "split":
        written = split(options.file, options.out, int(options.split_mb * 2**20), options.first, options.count)
        print(f"{len(written)} parts of {options.file} in {options.out}")
        return 0
    join(options.list, options.out, options.parts_in or [options.list.parent])
    print(f"{options.out}: whole")
    return 0


def split(file: Path, out: Path, part_bytes: int, first: int = 0, count: int = 0) -> list[Path]:
    """Writes the parts `first` to `first + count` (all if 0) of `file`, and the list of all parts."""
    out.mkdir(parents=True, exist_ok=True)
    listed: list[dict[str, Any]] = []
    written = []
    whole = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(part_bytes):
            number = len(listed)
            whole.update(block)
            path = out / f"{file.name}.part{number:02}"
            listed.append({"name": path.name, "bytes": len(block), "sha256": hashlib.sha256(block).hexdigest()})
            if first <= number and (not count or number < first + count):
                path.write_bytes(block)
                written.append(path)
    fields = {"name": file.name, "sha256": whole.hexdigest(), "parts": listed}
    (out / f"{file.name}.parts.json").write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
    return written


def join(listing: Path, out: Path, folders: list[Path]) -> None:
    """Joins the parts that `listing` names; `out` is complete or missing. Raises ValueError if a part is wrong."""
    fields = json.loads(listing.read_text("utf-8"))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    with temporary.open("wb") as target:
        for part in fields["parts"]:
            path = next((folder / part["name"] for folder in folders if (folder / part["name"]).is_file()), None)
            if path is None:
                raise ValueError(f"{part['name']} is missing; it has {part['bytes']} bytes")
            block = path.read_bytes()
            if hashlib.sha256(block).hexdigest() != part["sha256"]:
                raise ValueError(f"{path} is damaged; fetch it again")
            target.write(block)
    temporary.replace(out)
