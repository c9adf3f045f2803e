"""`card`: writes a model card and its loss curve. Every figure is from a file that a stage has written."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

_ABOUT = {
    "llama": (
        "A Llama of {parameters:.1f} million parameters, trained from scratch to complete code on a laptop's CPU, with"
        " fill-in-the-middle in Qwen's format."
    ),
    "gemma-adapter": (
        "A LoRA adapter (rank {rank}) that teaches Gemma 3 270M to fill in the middle. It was trained over the"
        " dequantised weights of the starter model's own file, and is for that file."
    ),
}
_LICENCES = {
    "llama": "Its weights come from the data below and nothing else.",
    "gemma-adapter": (
        "The adapter is a derivative of Gemma 3, so the [Gemma Terms of Use](https://ai.google.dev/gemma/terms) hold"
        " for it."
    ),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="log.jsonl of the training")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the GGUF file that ships")
    parser.add_argument("--manifest", type=Path, required=True, metavar="FILE", help="the corpus's manifest.json")
    parser.add_argument("--packed", type=Path, required=True, metavar="FILE", help="meta.json of the packed rows")
    parser.add_argument("--check", type=Path, action="append", default=[], metavar="FILE", help="results of `check`")
    parser.add_argument("--quality", type=Path, action="append", default=[], metavar="FILE", help="of `bench quality`")
    parser.add_argument("--command", action="append", default=[], help="a command that was run, as it was run")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the card, .md; the plot lies beside it"
    )


def run(options: argparse.Namespace) -> int:
    import torch

    state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    log = [json.loads(line) for line in options.log.read_text("utf-8").splitlines()]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    plot = options.out.with_suffix(".loss.svg")
    draw_loss(log, plot)
    text = card(
        title=options.model.name,
        about=state["about"],
        size=options.model.stat().st_size,
        log=log,
        manifest=json.loads(options.manifest.read_text("utf-8")),
        packed=json.loads(options.packed.read_text("utf-8")),
        checks=[json.loads(path.read_text("utf-8")) for path in options.check],
        quality=[json.loads(path.read_text("utf-8")) for path in options.quality],
        commands=options.command,
        plot=plot.name,
    )
    options.out.write_text(text, "utf-8")
    print(f"{options.out} and {plot.name}")
    return 0


def card(
    *,
    title: str,
    about: dict[str, Any],
    size: int,
    log: list[dict[str, Any]],
    manifest: dict[str, Any],
    packed: dict[str, Any],
    checks: list[dict[str, Any]],
    quality: list[dict[str, Any]],
    commands: list[str],
    plot: str,
) -> str:
    """The card as Markdown. Parts without results are left out."""
    kind = about["kind"]
    values = {"parameters": about.get("parameters", 0) / 1e6, "rank": about.get("rank", 0)}
    parts = [f"# {title}", _ABOUT[kind].format(**values), f"{size / 1e6:.1f} MB. {_LICENCES[kind]}"]
    if quality:
        parts += ["## Quality", *map(_quality, quality)]
    parts += ["## Training", _training(log, packed), f"![loss over tokens]({plot})"]
    parts += ["## Data", _data(manifest)]
    if checks:
        parts += ["## Checked against llama.cpp", *map(_check, checks)]
    if commands:
        parts += ["## Commands", "\n".join(f"    {command}" for command in commands)]
    return "\n\n".join(parts) + "\n"


def _quality(result: dict[str, Any]) -> str:
    lines = [f"`bench quality` with {result['model']['name']}, format {result['model']['format']}:", ""]
    lines += ["| holes | | number | pass@1 | exact |", "|---|---|--:|--:|--:|"]
    for summary in result["summary"]:
        for name, figures in summary["treatments"].items():
            cells = [_share(figures.get(measure)) for measure in ("pass@1", "exact")]
            lines.append(f"| {summary['set']} | {name} | {summary['holes']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _share(figure: dict[str, float] | None) -> str:
    return "" if figure is None else f"{figure['percent']:.1f}% ({figure['low']:.1f} to {figure['high']:.1f})"


def _training(log: list[dict[str, Any]], packed: dict[str, Any]) -> str:
    steps = [entry for entry in log if "loss" in entry]
    held = [entry for entry in log if "held_out_loss" in entry]
    if not steps:
        raise ValueError("the log has no step in it")
    last = steps[-1]
    speeds = sorted(entry["tokens_per_s"] for entry in steps[3:]) or [last["tokens_per_s"]]
    shares = sorted(entry["share_of_matrix_rate"] for entry in steps[3:]) or [last["share_of_matrix_rate"]]
    lines = [
        f"{last['tokens'] / 1e6:.1f} million tokens in {last['seconds']:.0f} s,"
        f" {speeds[len(speeds) // 2]:,} tokens/s and {shares[len(shares) // 2]:.0%} of the measured matrix"
        f" rate (medians). Loss at the end {last['loss']:.3f}"
        + (f", on held-out packages {held[-1]['held_out_loss']:.3f}." if held else ".")
    ]
    samples = {name: count for name, count in packed["counts"].items() if name.startswith("samples: ")}
    total = sum(samples.values())
    mix = ", ".join(f"{name[9:]} {count / total:.0%}" for name, count in sorted(samples.items()))
    lines.append(f"Rows of {packed['length']} tokens, {packed['epochs']} epochs with other holes each; holes: {mix}.")
    return "\n\n".join(lines)


def _data(manifest: dict[str, Any]) -> str:
    train, held = manifest["totals"]["train"], manifest["totals"]["held-out"]
    licences: Counter[str] = Counter()
    for row in manifest["packages"]:
        licences[row["licence"]] += row["bytes"]
    lines = [
        f"{train['files']:,} files ({train['bytes'] / 1e6:.1f} MB) of {train['packages']} packages under permissive"
        f" licences; {held['files']:,} files of {held['packages']} other packages are held out. Left out:"
        f" {', '.join(f'{reason} {count:,}' for reason, count in sorted(manifest['left_out'].items()))}.",
        "",
        "| licence | MB |",
        "|---|--:|",
        *(f"| {name} | {size / 1e6:.2f} |" for name, size in licences.most_common()),
        "",
        "| package | version | licence | files | held out |",
        "|---|---|---|--:|---|",
    ]
    for row in manifest["packages"]:
        held_out = "yes" if row["split"] == "held-out" else ""
        lines.append(f"| {row['name']} | {row['version']} | {row['licence']} | {row['files']} | {held_out} |")
    return "\n".join(lines)


def _check(result: dict[str, Any]) -> str:
    lines = []
    for name, label in (("f32", "in F32"), ("as it is", "as the file is")):
        found = result[name]
        lines.append(
            f"Logits of {result['model']} {label}, {result['length']} tokens of {result['text']}: largest difference"
            f" {found['largest_difference']:g}, mean {found['mean_difference']:g}, the same best token at"
            f" {found['same_best_token']:.1%} of the positions."
        )
    if tokens := result.get("tokens"):
        lines.append(
            f"Tokens of {tokens['files']} held-out files: {tokens['files_that_differ']} differ from llama.cpp's,"
            f" {tokens['files_not_given_back']} are not given back as they were."
        )
    return "\n\n".join(lines)


def draw_loss(log: list[dict[str, Any]], path: Path) -> None:
    """Draws the loss over the tokens."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for key, style in (("loss", "-"), ("held_out_loss", "o")):
        points = [(entry["tokens"] / 1e6, entry[key]) for entry in log if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key.replace("_", " "))
    axes.set_xlabel("million tokens")
    axes.set_ylabel("nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
