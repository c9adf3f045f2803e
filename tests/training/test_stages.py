"""The stages as commands: what they ask of `bench quality`, what a card says, and that they name what is wrong."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import quality
from bench.filling import humaneval
from bench.training import card, evaluate
from bench.training.__main__ import STAGES, main
from bench.training.corpus import build
from bench.training.licences import Licence
from bench.training.sources import Package

ROOT = Path(__file__).resolve().parents[2]
LOG = [
    {"step": step, "tokens": step * 1000, "seconds": step * 2.0, "loss": 5 - step / 10, "tokens_per_s": 500 + step}
    | {"share_of_matrix_rate": 0.4, "lr": 0.001}
    for step in range(1, 11)
]
PACKED = {"counts": {"samples: value": 30, "samples: none": 10, "rows": 5}, "length": 2048, "epochs": 2}
MANIFEST = {
    "totals": {
        "train": {"files": 1200, "bytes": 9_000_000, "packages": 2},
        "held-out": {"files": 7, "bytes": 50_000, "packages": 1},
    },
    "left_out": {"near copy": 3, "copy": 4},
    "packages": [
        {"name": name, "version": "1.0", "licence": licence, "files": 9, "bytes": 4_000_000, "split": split}
        for name, licence, split in (("a", "MIT", "train"), ("b", "MIT", "train"), ("c", "ISC", "held-out"))
    ],
}
QUALITY = {
    "model": {"name": "m", "format": "qwen"},
    "summary": [
        {
            "set": "humaneval",
            "holes": 150,
            "treatments": {"shown": {"pass@1": {"percent": 41.3, "low": 33.3, "high": 49.1}, "shown": 90.0}},
        }
    ],
}


def a_card(about: dict[str, Any], **changes: Any) -> str:
    values: dict[str, Any] = {
        "title": "m.gguf",
        "about": about,
        "size": 42_000_000,
        "log": LOG,
        "manifest": MANIFEST,
        "packed": PACKED,
        "checks": [],
        "quality": [],
        "commands": [],
        "plot": "m.loss.svg",
    }
    return card.card(**values | changes)


def test_a_card_has_the_figures_of_its_files_and_no_others() -> None:
    text = a_card({"kind": "llama", "parameters": 39_900_000}, quality=[QUALITY], commands=["python -m x"])
    assert "39.9 million parameters" in text and "42.0 MB" in text
    assert "| humaneval | shown | 150 | 41.3% (33.3 to 49.1) |  |" in text
    assert "0.0 million tokens in 20 s, 507 tokens/s and 40%" in text and "Loss at the end 4.000." in text
    assert "none 25%, value 75%" in text
    assert "| MIT | 8.00 |" in text and "| c | 1.0 | ISC | 9 | yes |" in text
    assert "    python -m x" in text
    assert "Checked" not in text  # there are no such results
    bare = a_card({"kind": "gemma-adapter", "rank": 32})
    assert "rank 32" in bare and "Gemma Terms of Use" in bare and "## Quality" not in bare


def test_a_card_needs_a_training() -> None:
    with pytest.raises(ValueError, match="no step"):
        a_card({"kind": "llama"}, log=[])


def test_a_loss_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install --group starter-training")
    card.draw_loss([*LOG, {"tokens": 10_000, "held_out_loss": 4.5}], tmp_path / "loss.svg")
    assert (tmp_path / "loss.svg").stat().st_size > 1000


def test_bench_quality_takes_what_it_is_given() -> None:
    """The options are those of the bench, whose parser is asked."""
    options = argparse.Namespace(
        limit=20, threads=1, model=Path("m.gguf"), data=Path("d"), corpus=Path("c"), out=Path("o")
    )
    parser = argparse.ArgumentParser()
    quality.arguments(parser)
    parsed = []
    for command in evaluate.commands(options):
        assert command[:3] == ["-m", "bench", "quality"]
        parsed.append(parser.parse_args(command[3:]))
        assert (parsed[-1].limit, parsed[-1].threads, parsed[-1].model) == (20, 1, Path("m.gguf"))
    assert [(p.data, p.repo, p.set) for p in parsed] == [
        (Path("d"), None, [humaneval.NAME]),
        (None, Path("o/held-out"), None),
    ]
    assert len({p.out for p in parsed}) == 2


def test_held_out_files_are_files_again(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("def twice(value):\n    return value * 2  # held out for evaluation\n" * 3)
    package = Package("@scope/name", "1", "npm", Licence("MIT", "test", True), (("src/a.py", source),))
    build(tmp_path / "corpus", [package], [], 100, 0, workers=1)
    assert evaluate.write_files(tmp_path / "corpus", tmp_path / "files") == 1
    assert (tmp_path / "files/@scope_name/src/a.py").read_text() == source.read_text()


def test_all_stages_are_listed_without_torch() -> None:
    code = (
        "import sys; from bench.training.__main__ import main\n"
        "try: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("False\n")
    assert [stage for stage in STAGES if f"\n    {stage}" not in done.stdout] == []


def test_what_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.gguf").touch()
    assert main(["evaluate", "--model", str(tmp_path / "model.gguf"), "--out", str(tmp_path / "out")]) == 2
    assert "name --data, --corpus, or both" in capsys.readouterr().err
    (tmp_path / "list.json").write_text(json.dumps({"parts": [{"name": "x.part00", "bytes": 9}]}))
    assert main(["parts", "join", str(tmp_path / "list.json"), "--out", str(tmp_path / "x")]) == 2
    assert "x.part00 is missing" in capsys.readouterr().err
