"""A copy of a model that is faster on this machine's CPU: plans it, makes it, measures it and keeps it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server.backends.base import BackendFactory, ModelError, ModelSpec
from lsp_server.commands.named import resolve
from lsp_server.system.user_folders import expanded

if TYPE_CHECKING:
    from lsp_server.models.compare import Agreement, Speed
    from lsp_server.models.gguf import Header
    from lsp_server.models.trim import Trim

Progress = Callable[[float], bool]

CHANGES_KEY, VERSION_KEY = "fimble.changes", "fimble.version"
AUTO, KEEP = "auto", "keep"

_PROMPTS = 72
_CONTEXT_TOKENS = 512
# A smaller vocabulary saves memory, so the copy need not be faster; it only must not be slower, with some tolerance.
# Another quantisation must be faster. In Q4_0 it must write nearly the same, too: the copy of Qwen2.5-Coder 0.5B agrees
# in 86% of the tokens, and passes the tests of 14 of 100 holes fewer. In Q8_0 values lose next to nothing: what that
# copy writes otherwise is as good (bench/README.md).
_CUT_GAIN, _TYPE_GAIN = 0.98, 1.1
_TYPE_AGREES = {"Q8_0": 0.9, "Q4_0": 0.97}
_LARGEST_SHARE = 0.95  # the vocabulary is cut only if less than this share of it stays
_SPARE_BYTES = 64 << 20
_LEFT_OVER_S = 86_400


@dataclass(frozen=True, slots=True)
class Arm:
    """A model to measure. type: the quantisation, if it is another than the original's. gain, agrees: to be chosen, it
    must be this many times as fast as the best before it, and write this share of next tokens like the original."""

    name: str
    path: Path
    bytes: int
    type: str = ""
    gain: float = 1.0
    agrees: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The possible changes of a model. trim: None if the vocabulary stays. types: the quantisations to try. notes: why
    a change is left out."""

    source: Path
    header: Header
    sha256: str
    licence: str
    trim: Trim | None
    types: tuple[str, ...]
    notes: tuple[str, ...]


# Planning ------------------------------------------------------------------------------------------------


def plan(name: str, wanted: Sequence[str], type: str, progress: Progress) -> Plan:
    """The possible changes of the model with this name; empty: the completion model. wanted: the scripts to keep. type:
    AUTO, KEEP or one of `requantise.TYPES`. Raises ModelError, also if no change is possible."""
    from lsp_server.backends import requantise
    from lsp_server.models import admission, ledger, lock, starter, trim, writing_scripts
    from lsp_server.settings import sources

    settings, _ = sources.load([Path.cwd()])
    file = resolve(name) if name else settings.model
    path = expanded(file) if file else starter.model_file(progress)
    headers = admission.admit(path, progress, gpu_layers=0)
    header, notes = headers[0], []
    if len(headers) > 1:
        raise ModelError(f"{path} is one of {len(headers)} parts; join them with llama.cpp's llama-gguf-split --merge")
    if header.text(CHANGES_KEY):
        raise ModelError(f"{path.name} is a copy already, made of {header.text(requantise.SOURCE_KEY)}; optimize that")
    cut = None
    if tuple(wanted) != (writing_scripts.ALL,):
        try:
            cut = trim.plan(header, wanted)
        except trim.UncutError as error:
            notes.append(f"the vocabulary stays: {error}")
    if cut is not None and cut.share > _LARGEST_SHARE:
        notes.append(f"the vocabulary stays: {100 * cut.share:.0f}% of it is {and_list(wanted)}")
        cut = None
    tried = () if type == KEEP else tuple(requantise.TYPES) if type == AUTO else (type,)
    types = tuple(name for name in tried if requantise.can_be_faster(header, name))
    if tried and not types:
        notes.append(f"the quantisation stays: {' or '.join(tried)} cannot be faster here than what it has")
    if cut is None and not types:
        raise ModelError(f"nothing to gain with {path.name}: {'; '.join(notes) or 'you ask for no change'}")
    pin = lock.pin_of(path)
    licence = pin.licence if pin else header.text("general.license") if file else starter.pin().licence
    return Plan(path, header, ledger.sha256(path, progress), licence, cut, types, tuple(notes))


def make(plan: Plan, place: Path, tell: Callable[[str], None], progress: Progress) -> list[Arm]:
    """Writes all copies to measure into a folder. The first arm is the original. Raises OSError, and ModelError if
    there is no room or `progress` returns False."""
    from lsp_server.backends import requantise
    from lsp_server.models import gguf_writer

    header = plan.header
    arms = [Arm("as it is", plan.source, header.file_bytes)]
    cut_bytes = gguf_writer.written_bytes(header, plan.trim.changes, plan.trim.rows) if plan.trim else 0
    less = header.file_bytes - cut_bytes if plan.trim else 0
    needed = cut_bytes + sum(requantise.copy_bytes(header, type) - less for type in plan.types)
    free = shutil.disk_usage(place).free
    if needed + _SPARE_BYTES > free:
        raise ModelError(
            f"the copies of {plan.source.name} need {needed >> 20} MB in {place.parent}, where {free >> 20} MB are free"
        )
    if plan.trim is not None:
        scripts = and_list(plan.trim.scripts)
        tell(f"cutting the vocabulary to {scripts}: {len(plan.trim.kept)} of {plan.trim.count} tokens")
        path = place / "cut.tmp"
        entries = {key: gguf_writer.text_value(text) for key, text in _provenance(plan, cut=True).items()}
        gguf_writer.write(header, path, {**plan.trim.changes, **entries}, plan.trim.rows, progress)
        arms.append(Arm(f"{scripts} vocabulary", path, path.stat().st_size, gain=_CUT_GAIN))
    first = arms[-1]
    for type in plan.types:
        tell(f"writing {header.quantisation} as {type}")
        path = place / f"{type}.tmp"
        entries_ = _provenance(plan, cut=plan.trim is not None, type=type)
        requantise.quantise_in_child(first.path, path, entries_, type, progress)
        name = f"{first.name}, {type}" if plan.trim else type
        arms.append(Arm(name, path, path.stat().st_size, type, _TYPE_GAIN, _TYPE_AGREES[type]))
    return arms


def _provenance(plan: Plan, *, cut: bool = False, type: str = "") -> dict[str, str]:
    """The metadata that say how a copy was made."""
    from lsp_server import __version__
    from lsp_server.backends.requantise import SHA256_KEY, SOURCE_KEY

    changes = []
    if cut and plan.trim is not None:
        changes.append(f"{','.join(plan.trim.scripts)} vocabulary ({len(plan.trim.kept)} of {plan.trim.count} tokens)")
    if type:
        changes.append(f"{type} (was {plan.header.quantisation})")
    made = {SOURCE_KEY: plan.source.name, SHA256_KEY: plan.sha256}
    return {**made, CHANGES_KEY: ", ".join(changes), VERSION_KEY: __version__}


# Measuring ------------------------------------------------------------------------------------------------


def measure(
    arms: Sequence[Arm],
    factory: BackendFactory,
    tell: Callable[[str], None],
    progress: Progress,
    check: Callable[[], None],
) -> tuple[list[Speed], list[Agreement]]:
    """The speed of all arms on the CPU, and their agreement with the first. check: may raise, to stop."""
    from lsp_server.models import compare, samples
    from lsp_server.settings import sources

    settings, _ = sources.load([Path.cwd()])
    set_up = settings.model_spec()
    specs = [
        ModelSpec(str(arm.path), _CONTEXT_TOKENS, 1, set_up.threads, 0, flash_attention=set_up.flash_attention)
        for arm in arms
    ]
    models = compare.Arms(factory, specs, progress)
    try:
        tell("timing them in turns")
        speeds = compare.speeds(models, check)
        tell("comparing what they write")
        return speeds, compare.agreements(models, samples.prompts(_PROMPTS), check)
    finally:
        models.close()


def choose(
    arms: Sequence[Arm], speeds: Sequence[Speed], agreements: Sequence[Agreement], *, forced: bool = False
) -> int:
    """The index of the arm to keep: the last that is good enough compared with the best before it; 0 for none. forced:
    the last."""
    best = 0
    for index in range(1, len(arms)):
        arm, same = arms[index], agreements[index]
        faster = speeds[index].gain >= arm.gain * speeds[best].gain
        if (faster and same.same_tokens >= arm.agrees * same.tokens) or (forced and index == len(arms) - 1):
            best = index
    return best


# Keeping --------------------------------------------------------------------------------------------------


def _name(plan: Plan, arm: Arm) -> str:
    """A file name that says what was changed, so that a new copy does not replace a different one that is in use."""
    scripts = ["+".join(plan.trim.scripts)] if plan.trim is not None else []
    type = [f"to-{arm.type}"] if arm.type else []
    return ".".join([plan.source.name.removesuffix(".gguf"), *scripts, *type, "gguf"])


def put(plan: Plan, arm: Arm, folder: Path, progress: Progress) -> Path:
    """Moves a copy to its name in a folder, and pins it. Raises ModelError if another file has that name."""
    from lsp_server.models import gguf, ledger, lock

    target = folder / _name(plan, arm)
    if target.exists():
        try:
            ours = bool(gguf.read_header(target).text(CHANGES_KEY))
        except ModelError:
            ours = False
        if not ours:
            raise ModelError(f"{target} is not a copy that fimble made; move it away first")
    changes = gguf.read_header(arm.path).text(CHANGES_KEY)
    digest = ledger.hash_file(arm.path, arm.bytes, progress)
    arm.path.chmod(0o644)
    arm.path.replace(target)
    lock.add(lock.Pin(target.name, arm.bytes, digest, f"made of {plan.source.name}: {changes}", plan.licence))
    return target


def remove_left_overs(folder: Path) -> None:
    """Removes the files of earlier runs that were killed."""
    for old in folder.glob("optimize-*.tmp"):
        if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
            shutil.rmtree(old, ignore_errors=True)


def and_list(names: Sequence[str]) -> str:
    """The names as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
