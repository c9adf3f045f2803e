"""`fimble models optimize`: makes, measures and shows a copy of a model that is faster on this machine's CPU."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.backends.base import BackendFactory, ModelError
from lsp_server.commands import faster_copy
from lsp_server.commands.faster_copy import Arm, Plan
from lsp_server.commands.named import use
from lsp_server.commands.output import console, human_size, tell

if TYPE_CHECKING:
    from lsp_server.models.compare import Agreement, Ratio, Speed

HELP = "make a copy of a model that is faster on this machine's CPU, and show what that changes"
_DESCRIPTION = """\
Makes a copy of a model that is faster on this machine's CPU: its vocabulary cut to the scripts that you write in, and
its weights in a quantisation that is faster here (Q8_0, Q4_0). Shows how much faster it is and how often it writes the
same, and uses it only if you say so. The copy lies with the other models; `fimble models rm` removes it."""

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `fimble models optimize`, except the model's name."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--scripts",
        default="latin",
        metavar="LIST",
        help="what you write in: ascii, latin (with accents and symbols), or more, such as latin,cyrillic; text in "
        "others still works, in bytes; all cuts nothing (default: latin)",
    )
    parser.add_argument(
        "--type",
        choices=(faster_copy.AUTO, faster_copy.KEEP, "Q8_0", "Q4_0"),
        default=faster_copy.AUTO,
        help="auto takes Q8_0, which is larger, if that is 10%% faster here, and Q4_0 if that is 10%% faster again and "
        "leaves 97%% of the next tokens as they are; keep takes neither; Q8_0 and Q4_0 are taken in any case "
        "(default: auto)",
    )
    parser.add_argument("--use", "--yes", action="store_true", help="use the copy at once, without asking")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, factory: BackendFactory) -> int:
    """Makes, measures and keeps a copy. Raises ModelError, one line, also if there is nothing to gain."""
    from lsp_server.models import lock, writing_scripts

    folder = lock.models_folder()
    try:
        with _Stop() as stop:
            plan = faster_copy.plan(options.name, writing_scripts.parse(options.scripts), options.type, stop)
            folder.mkdir(parents=True, exist_ok=True)
            faster_copy.remove_left_overs(folder)
            with tempfile.TemporaryDirectory(dir=folder, prefix="optimize-", suffix=".tmp") as place:
                arms = faster_copy.make(plan, Path(place), _progress, stop)
                speeds, agreements = faster_copy.measure(arms, factory, _progress, stop, stop.check)
                forced = options.type not in (faster_copy.AUTO, faster_copy.KEEP)
                chosen = faster_copy.choose(arms, speeds, agreements, forced=forced)
                target = faster_copy.put(plan, arms[chosen], folder, stop) if chosen else None
    except KeyboardInterrupt:
        print("fimble: stopped; nothing was changed", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except OSError as error:
        raise ModelError(f"no copy can be written to {folder}: {error.strerror or error}; nothing was kept") from None
    if options.json:
        found = _as_json(plan, arms, speeds, agreements, chosen, target)
        tell(json.dumps(found, indent=2))
    else:
        _print(plan, arms, speeds, agreements, chosen)
    if target is None:
        raise ModelError(
            f"nothing to gain: no copy of {plan.source.name} is faster here and still writes much the same"
        )
    return _offer(options, target)


def _offer(options: argparse.Namespace, target: Path) -> int:
    if options.use:
        if not options.json:
            return use(str(target))
        return _quietly(lambda: use(str(target)))
    if options.json:
        return 0
    tell(f"{target} ({human_size(target.stat().st_size)})")
    asked = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if asked and input("Use it for completions from now on? [y/N] ").strip().lower() in ("y", "yes"):
        return use(str(target))
    tell(f"to complete code with it: fimble models use {target.name}")
    tell(f"to remove it: fimble models rm {target.name}")
    return 0


def _quietly(action: Callable[[], int]) -> int:
    """Runs the action without its output, which would follow the JSON."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        return action()


class _Stop:
    """Ctrl-C and termination signals as a flag that is checked often, because an exception would be lost in a callback
    of llama.cpp."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows does not have all of them
            if number is not None:
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # An error after a signal means that the work was given up because of it.
        if self._asked and kind is not None and not issubclass(kind, KeyboardInterrupt):
            raise KeyboardInterrupt

    def __call__(self, _: float) -> bool:
        """A progress callback: False to give up."""
        return not self._asked

    def check(self) -> None:
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, *_: object) -> None:
        self._asked = True


# Output ----------------------------------------------------------------------------------------------------


def _progress(line: str) -> None:
    print(f"{line} …", file=sys.stderr, flush=True)  # noqa: T201


def _print(
    plan: Plan, arms: Sequence[Arm], speeds: Sequence[Speed], agreements: Sequence[Agreement], chosen: int
) -> None:
    from rich.table import Column, Table

    for note in plan.notes:
        tell(note)
    tell(f"{plan.source.name} and what can be made of it:")
    table = Table(Column("", min_width=16), "size", "prompt", "decoding", "same lines", "not ASCII", "same tokens")
    for index, (arm, speed, same) in enumerate(zip(arms, speeds, agreements, strict=True)):
        if index == 0:
            shown = [f"{speed.prefill_tokens_s:.0f} tokens/s", f"{speed.decode_tokens_s:.0f} tokens/s", "", "", ""]
        else:
            shown = [
                _times(speed.prefill),
                _times(speed.decode),
                f"{same.same_lines} of {same.lines}",
                f"{same.same_other_lines} of {same.other_lines}",
                f"{100 * same.same_tokens / max(1, same.tokens):.1f}%",
            ]
        table.add_row(arm.name, human_size(arm.bytes), *shown)
    console().print(table)
    if any(ratio.rough for speed in speeds for ratio in (speed.prefill, speed.decode)):
        tell("the times are rough: something else kept the machine busy; run it again when it is at rest")
    for arm, speed, same in zip(arms, speeds, agreements, strict=True):
        if arm.type and arm is not arms[chosen]:
            other = 100 * (1 - same.same_tokens / max(1, same.tokens))
            tell(
                f"left out: {arm.name}, {speed.gain:.2f} times as fast as the file, writes another next token at "
                f"{other:.0f}% of the places; --type {arm.type} keeps it all the same"
            )
    if chosen:
        tell(f"kept: {arms[chosen].name}")


def _times(ratio: Ratio) -> str:
    return f"{ratio.all:.2f}× ({ratio.low:.2f} to {ratio.high:.2f})"


def _as_json(
    plan: Plan,
    arms: Sequence[Arm],
    speeds: Sequence[Speed],
    agreements: Sequence[Agreement],
    chosen: int,
    target: Path | None,
) -> dict[str, Any]:
    entries = zip(arms, speeds, agreements, strict=True)
    return {
        "source": str(plan.source),
        "sha256": plan.sha256,
        "vocabulary": {"tokens": plan.trim.count, "kept": len(plan.trim.kept)} if plan.trim else None,
        "notes": list(plan.notes),
        "arms": [
            {"name": arm.name, "bytes": arm.bytes, **dataclasses.asdict(speed), **dataclasses.asdict(same)}
            for arm, speed, same in entries
        ],
        "chosen": arms[chosen].name,
        "copy": str(target) if target else None,
    }
