"""The corpus: whose code is taken, what of it is left out, and that copies and benchmarks are found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bench.training import corpus, licences
from bench.training.corpus import build
from bench.training.dedup import Benchmarks, Fingerprint, Seen, fingerprint
from bench.training.filters import is_held_out, reason_against
from bench.training.licences import Licence, is_permissive, of_npm_package, of_text, of_words
from bench.training.sources import Package, npm_packages, standard_library

MIT = Licence("MIT", "test", True)
WORDS = [f"{kind}_{number}" for kind in ("count", "name", "total", "path") for number in range(60)]


def code(seed: int, lines: int = 60) -> str:
    draw = random.Random(seed)
    rows = [f"    {draw.choice(WORDS)} = {draw.choice(WORDS)}({draw.choice(WORDS)})" for _ in range(lines)]
    return f"def function_{seed}():\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("mit", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH GCC-exception-3.1", False),
        ("MPL-2.0", False),
        ("MIT MIT", False),
        ("MIT AND", False),
        ("", False),
    ],
)
def test_an_expression_is_read_with_its_operators(expression: str, permissive: bool) -> None:
    assert is_permissive(expression) is permissive


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("MIT License", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("GPLv3", ""),
        ("LGPL with the MIT License for examples", ""),
    ],
)
def test_a_licence_written_freely(words: str, name: str) -> None:
    assert of_words(words) == name


def test_a_licence_file_with_copyleft_in_it_is_not_permissive() -> None:
    mit = "Permission is hereby granted, free of charge, to any\nperson obtaining a copy of this software"
    assert of_text(mit) == "MIT"
    assert of_text(mit + "\n\nBundled: GNU General Public License") == ""
    assert of_text("All rights reserved.") == ""


class FakeDistribution:
    files = ()

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        self.metadata = self

    def get(self, key: str, default: str) -> object:
        return self.fields.get(key.replace("-", "_"), default)

    def get_all(self, key: str, default: list[str]) -> object:
        return self.fields.get(key, default)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT", "License": "GPL"}, ("MIT", True)),
        ({"Classifier": ["License :: OSI Approved :: BSD License"]}, ("BSD", True)),
        (
            {"Classifier": ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: GNU GPL v3"]},
            ("MIT License AND GNU GPL v3", False),
        ),
        ({"Classifier": ["License :: OSI Approved"], "License": "ISC"}, ("ISC", True)),
        ({"License": "Commercial"}, ("Commercial", False)),
        ({}, ("unknown", False)),
    ],
)
def test_a_distribution_says_its_licence(fields: dict[str, object], expected: tuple[str, bool]) -> None:
    found = licences.of_distribution(FakeDistribution(**fields))  # type: ignore[arg-type]
    assert (found.expression, found.permissive) == expected


def test_npm_packages_with_those_inside_them(tmp_path: Path) -> None:
    for folder, licence in (("a", "MIT"), ("a/node_modules/b", "GPL-3.0"), ("c", {"type": "ISC"})):
        root = tmp_path / folder
        root.mkdir(parents=True)
        (root / "package.json").write_text(json.dumps({"name": folder[-1], "version": "1", "license": licence}))
        for name in ("index.js", "index.d.ts", "readme.md"):
            (root / name).write_text("x")
    (tmp_path / "c/esm").mkdir()
    (tmp_path / "c/esm/package.json").write_text('{"type": "module"}')
    found = {package.name: package for package in npm_packages(tmp_path)}
    assert {name: package.licence.permissive for name, package in found.items()} == {"a": True, "b": False, "c": True}
    assert [name for name, _ in found["a"].files] == ["index.js"]
    assert of_npm_package(tmp_path / "c").expression == "ISC"


def test_the_standard_library_is_source_alone() -> None:
    names = [name for name, _ in standard_library().files]
    assert "json/decoder.py" in names
    assert not [name for name in names if "site-packages" in name or not name.endswith(".py")]


LONG = "def f(value):\n    return value + value  # and something else\n" * 4


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("a.py", LONG, ""),
        ("a.py", "x = 1\n", "small"),
        ("a.py", "# Generated by the protocol compiler. DO NOT EDIT!\n" + LONG, "generated"),
        ("a_pb2.py", LONG, "generated"),
        ("a.js", "var a=" + "f(b,c);" * 300, "minified"),
        ("a.min.js", LONG, "minified"),
        ("a.py", "TABLE = [\n" + "    1234, 5678, 9012, 3456,\n" * 40 + "]\n", "data"),
        ("a.py", LONG + "KEY = 'AKIA" + "ABCDEFGHIJKLMNOP'\n", "secret"),
        ("a.py", LONG + "-----BEGIN RSA PRIVATE" + " KEY-----\n", "secret"),
        ("a.py", LONG + "password = 'hunter2'\n", ""),
        ("a.py", LONG * 4000, "large"),
    ],
)
def test_what_is_left_out(path: str, text: str, reason: str) -> None:
    assert reason_against(path, text.encode()) == reason


def test_bytes_that_are_not_text_are_left_out() -> None:
    assert reason_against("a.py", LONG.encode() + b"\xff") == "not UTF-8"


def test_whole_packages_are_held_out_by_name() -> None:
    names = [f"package-{number}" for number in range(4000)]
    share = sum(is_held_out(name, 3) for name in names) / len(names)
    assert 0.02 < share < 0.04
    assert is_held_out("NumPy", 50) == is_held_out("numpy", 50)


def test_copies_and_near_copies_are_found_and_others_are_not() -> None:
    seen = Seen()
    first = code(1, lines=200)
    assert seen.copy_kind(fingerprint(first)) == ""
    assert seen.copy_kind(fingerprint(first.replace("    ", "\t"))) == "copy"
    edited = first.replace("function_1", "function_x") + "    return another_value\n"
    assert seen.copy_kind(fingerprint(edited)) == "near copy"
    assert [seen.copy_kind(fingerprint(code(seed, lines=200))) for seed in range(2, 12)] == [""] * 10


def test_signatures_estimate_the_similarity_of_sets() -> None:
    first = fingerprint(code(3, lines=400)).minima
    half = fingerprint(code(3, lines=200)).minima
    same = float((first == half).mean())
    assert 0.35 < same < 0.65  # half of the shingles are in both
    assert isinstance(fingerprint("x"), Fingerprint)


def test_a_run_of_ten_words_of_a_benchmark_is_found(tmp_path: Path) -> None:
    task = {
        "prompt": "def solve(values, limit):\n",
        "canonical_solution": "    return sum(v for v in values if v < limit)",
    }
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    benchmarks = Benchmarks(tmp_path)
    assert benchmarks.in_text("import os\n" + task["prompt"] + task["canonical_solution"])
    assert not benchmarks.in_text(code(5))
    assert not Benchmarks(None).in_text(task["prompt"] + task["canonical_solution"])


def test_a_corpus_with_its_manifest(tmp_path: Path) -> None:
    held = next(name for name in map("held{}".format, range(99)) if is_held_out(name, 20))
    kept = next(name for name in map("kept{}".format, range(99)) if not is_held_out(name, 20))
    packages = []
    for name, licence, seeds in (
        (kept, MIT, (1, 2)),
        (held, MIT, (1, 3)),
        ("gpl", Licence("GPL", "test", False), (4,)),
    ):
        files = []
        for seed in seeds:
            path = tmp_path / name / f"{seed}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(code(seed))
            files.append((f"{seed}.py", path))
        packages.append(Package(name, "1.0", "python", licence, tuple(files)))
    out = tmp_path / "corpus"
    manifest = build(out, packages, [], 20, 0, workers=1)
    # The copy is kept where it is held out.
    assert [file.path for file in corpus.read(out, "held-out")] == ["1.py", "3.py"]
    assert [(file.path, file.text, file.language) for file in corpus.read(out, "train")] == [
        ("2.py", code(2), "Python")
    ]
    assert manifest["left_out"] == {"copy": 1}
    assert [row["name"] for row in manifest["refused"]] == ["gpl"]
    assert {row["name"]: (row["licence"], row["split"], row["files"]) for row in manifest["packages"]} == {
        kept: ("MIT", "train", 1),
        held: ("MIT", "held-out", 2),
    }
    # Made elsewhere, it is taken over with what it says of itself.
    again = build(tmp_path / "again", packages[:1], [out], 20, 0, workers=1)
    assert again["totals"]["train"]["files"] == 1
    assert [row["version"] for row in again["packages"]] == ["1.0", "1.0"]
