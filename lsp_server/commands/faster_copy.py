"""A copy of a model that is faster on this machine's CPU: what can be done, doing it, measuring it, and keeping it."""

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
# A smaller vocabulary saves memory, and so need not be faster, only not slower, which takes some tolerance. Another
# quantisation has to be faster, and to write nearly the same: the copy of Qwen2.5-Coder 0.5B as Q4_0 agrees in 86% of
# the tokens, and passes the tests of 14 of 100 holes less (bench/README.md).
_CUT_GAIN, _TYPE_GAIN, _TYPE_AGREES = 0.98, 1.1, 0.97
_LARGEST_SHARE = 0.95  # of a vocabulary that is worth cutting
_SPARE_BYTES = 64 << 20
_LEFT_OVER_S = 86_400


@dataclass(frozen=True, slots=True)
class Arm:
    """A model that is measured. gain, agrees: how many times as fast as the one before, and which share of the next
    tokens the same, it has to be to be chosen."""

    name: str
    path: Path
    bytes: int
    gain: float = 1.0
    agrees: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be changed. trim: None if the vocabulary stays. requantise: whether Q4_0 is to be tried. notes: why
    something is not."""

    source: Path
    header: Header
    sha256: str
    licence: str
    trim: Trim | None
    requantise: bool
    notes: tuple[str, ...]


# What can be done ----------------------------------------------------------------------------------------


def plan(name: str, wanted: Sequence[str], type: str, progress: Progress) -> Plan:
    """What can be changed in the model that a name means, the one that completes code if it is empty. wanted: the
    scripts to keep; type: AUTO, KEEP or Q4_0. Raises ModelError, also if nothing can be."""
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
    faster = type != KEEP and requantise.can_be_faster(header)
    if type != KEEP and not faster:
        notes.append(f"the quantisation stays: {requantise.TYPE} cannot be faster here than what it has")
    if cut is None and not faster:
        raise ModelError(f"nothing to gain with {path.name}: {'; '.join(notes) or 'you ask for no change'}")
    pin = lock.pin_of(path)
    licence = pin.licence if pin else header.text("general.license") if file else starter.pin().licence
    return Plan(path, header, ledger.sha256(path, progress), licence, cut, faster, tuple(notes))


def make(plan: Plan, place: Path, tell: Callable[[str], None], progress: Progress) -> list[Arm]:
    """Writes all copies that are to be measured to a folder, the model as it is being the first. Raises OSError, and
    ModelError if there is no room or `progress` says to give up."""
    from lsp_server.backends import requantise
    from lsp_server.models import gguf_writer

    header = plan.header
    arms = [Arm("as it is", plan.source, header.file_bytes)]
    cut_bytes = gguf_writer.written_bytes(header, plan.trim.changes, plan.trim.rows) if plan.trim else 0
    repacked_bytes = (cut_bytes or header.file_bytes) if plan.requantise else 0
    free = shutil.disk_usage(place).free
    if cut_bytes + repacked_bytes + _SPARE_BYTES > free:
        raise ModelError(
            f"the copies of {plan.source.name} need {(cut_bytes + repacked_bytes) >> 20} MB in {place.parent}, "
            f"where {free >> 20} MB are free"
        )
    if plan.trim is not None:
        scripts = and_list(plan.trim.scripts)
        tell(f"cutting the vocabulary to {scripts}: {len(plan.trim.kept)} of {plan.trim.count} tokens")
        path = place / "cut.tmp"
        entries = {key: gguf_writer.text_value(text) for key, text in _provenance(plan, cut=True).items()}
        gguf_writer.write(header, path, {**plan.trim.changes, **entries}, plan.trim.rows, progress)
        arms.append(Arm(f"{scripts} vocabulary", path, path.stat().st_size, _CUT_GAIN))
    if plan.requantise:
        tell(f"repacking {header.quantisation} as {requantise.TYPE}")
        path = place / "repacked.tmp"
        entries_ = _provenance(plan, cut=plan.trim is not None, repacked=True)
        requantise.quantise_in_child(arms[-1].path, path, entries_, progress)
        name = f"{arms[-1].name}, {requantise.TYPE}" if plan.trim else requantise.TYPE
        arms.append(Arm(name, path, path.stat().st_size, _TYPE_GAIN, _TYPE_AGREES))
    return arms


def _provenance(plan: Plan, *, cut: bool = False, repacked: bool = False) -> dict[str, str]:
    """What a copy says about itself."""
    from lsp_server import __version__
    from lsp_server.backends.requantise import SHA256_KEY, SOURCE_KEY, TYPE

    changes = []
    if cut and plan.trim is not None:
        changes.append(f"{','.join(plan.trim.scripts)} vocabulary ({len(plan.trim.kept)} of {plan.trim.count} tokens)")
    if repacked:
        changes.append(f"{TYPE} (was {plan.header.quantisation})")
    made = {SOURCE_KEY: plan.source.name, SHA256_KEY: plan.sha256}
    return {**made, CHANGES_KEY: ", ".join(changes), VERSION_KEY: __version__}


# How good they are ----------------------------------------------------------------------------------------


def measure(
    arms: Sequence[Arm],
    factory: BackendFactory,
    tell: Callable[[str], None],
    progress: Progress,
    check: Callable[[], None],
) -> tuple[list[Speed], list[Agreement]]:
    """How fast all are on the CPU, and what they have in common with the first. check: may raise, to stop."""
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
    """Which one to keep: the last that is good enough against the best before it; 0 for none. forced: the last."""
    best = 0
    for index in range(1, len(arms)):
        arm, same = arms[index], agreements[index]
        faster = speeds[index].gain >= arm.gain * speeds[best].gain
        if (faster and same.same_tokens >= arm.agrees * same.tokens) or (forced and index == len(arms) - 1):
            best = index
    return best


# Keeping it ----------------------------------------------------------------------------------------------


def _name(plan: Plan, arm: Arm) -> str:
    """A name that says what was done, so that another copy never takes the place of one that is used."""
    from lsp_server.models.gguf import read_header

    scripts = ["+".join(plan.trim.scripts)] if plan.trim is not None else []
    type = [f"to-{read_header(arm.path).quantisation}"] if arm.path.name == "repacked.tmp" else []
    return ".".join([plan.source.name.removesuffix(".gguf"), *scripts, *type, "gguf"])


def put(plan: Plan, arm: Arm, folder: Path, progress: Progress) -> Path:
    """Gives a copy its name in a folder, and pins it. Raises ModelError if something else has that name."""
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
    """Removes what a run that was killed has left behind."""
    for old in folder.glob("optimize-*.tmp"):
        if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
            shutil.rmtree(old, ignore_errors=True)


def and_list(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
