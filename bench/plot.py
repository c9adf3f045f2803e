"""Draws the figures of a bench as a picture, if matplotlib is installed; fimble itself does not need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def check(path: Path) -> None:
    """Raises ValueError if nothing can be drawn to `path`. Called before a long run."""
    if path.suffix not in (".png", ".svg"):
        raise ValueError(f"a plot is a .png or .svg file, not {path.name}")
    try:
        import_module("matplotlib")
    except ImportError:
        raise ValueError("--plot needs matplotlib, which is not installed: pip install matplotlib") from None


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws cumulative shares: of keys over prompt tokens for a count, or of suggestions over ms for typing."""
    import_module("matplotlib").use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    sessions: dict[str, Any] = result["keys"]
    figure, panels = pyplot.subplots(1, len(sessions), figsize=(4.5 * len(sessions), 3.6), sharey=True, squeeze=False)
    for panel, (session, keys) in zip(panels[0], sessions.items(), strict=True):
        if result["mode"] == "count":
            for order, rows in keys.items():
                _steps(panel, (evaluated for evaluated, answered, _ in rows if answered), order)
            panel.set_xlabel("prompt tokens before an answer")
        else:
            _steps(panel, (key["ms"] for key in keys if key["suggestion"]), "to the suggestion")
            _steps(panel, (key["gap_ms"] for key in keys if key["gap_ms"] < float("inf")), "to the next key")
            panel.set_xlabel("ms")
        panel.set_xscale("symlog", linthresh=1)
        panel.set_title(session, fontsize=9)
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("share")
    panels[0][-1].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def draw_shares(panels: dict[str, dict[str, Sequence[float]]], unit: str, path: Path, *, of: str = "the keys") -> None:
    """Draws cumulative shares of the values of each line, one panel beside the other. of: the things that have these
    values, for the axis."""
    import_module("matplotlib").use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.6), sharey=True, squeeze=False)
    for panel, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for label, values in lines.items():
            _steps(panel, values, label)
        panel.set_xlabel(unit)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_title(title, fontsize=9)
        panel.grid(alpha=0.3)
    axes[0][0].set_ylabel(f"share of {of}")
    axes[0][-1].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _steps(panel: Any, values: Iterable[float], label: str) -> None:
    ordered: Sequence[float] = sorted(values)
    shares = [(index + 1) / len(ordered) for index in range(len(ordered))]
    panel.step(ordered, shares, where="post", label=label)
