"""The models known by name, their needs, and which of them suits a machine."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lsp_server.backends.base import ModelSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GB = 1_000_000_000

# The model that completes code and runs actions if the user names none, and its alias.
STARTER, STARTER_ALIAS = "qwen2.5-coder-0.5b", "starter"
CATALOGUE = Path(__file__).with_name("catalogue.toml")

# Bits per weight, on average over a whole file of this quantisation.
BITS: dict[str, float] = {
    "Q2_K": 3.0,
    "Q3_K_M": 3.9,
    "Q4_0": 4.6,
    "IQ4_NL": 4.6,
    "IQ4_XS": 4.3,
    "Q4_K_S": 4.6,
    "Q4_K_M": 4.9,
    "Q5_K_M": 5.7,
    "Q6_K": 6.6,
    "Q8_0": 8.5,
    "F16": 16.0,
}

# Limits for the time of a token, in ms, if nothing was measured: for code, so that a short suggestion comes between two
# keys; for chat, faster than people read.
_CODE_TOKEN_MS, _CHAT_TOKEN_MS = 40.0, 80.0
_EFFICIENCY = 0.6  # the share of the memory's bandwidth that decoding reaches
_SPARE = 0.9  # the share of the memory that a model may fill; the rest is for the desktop
_FALLBACK_KV_VALUES = 65536
_UNKNOWN_GPU_GBPS, _CPU_GBPS_PER_CORE, _CPU_GBPS = 250.0, 5.0, 40.0
_OVERHEAD_BYTES = 300_000_000  # compute buffers, vocabulary
_CPU_PREFILL_TFLOPS_PER_CORE = 0.05  # Q4_0 on AVX2: a core evaluates 0.05e12 / (2 × parameters) tokens a second
_CPU_CHUNK_MS = 120.0  # limit for 16 tokens, so that the work for a key is not noticed


class Packages(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `file.packages` of catalogue.toml; the comments there explain the fields."""

    name: str
    version: str
    part: str
    part_bytes: int
    wheels: list[str]

    def __str__(self) -> str:
        return f"{self.name.format(1)} to {self.name.format(len(self.wheels))}, {self.version}"


class PinnedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `file` of catalogue.toml; the comments there explain the fields."""

    quant: str
    name: str
    size: int
    sha256: str
    packages: Packages | None = None


class CatalogueModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of catalogue.toml; the comments there explain the fields."""

    name: str
    hub: str
    use: str
    parameters: float
    licence: str
    quants: list[str]
    fim: str = ""
    active: float = 0.0
    kv_values: int | None = None
    restricted: bool = False
    file: PinnedFile | None = None

    def bytes(self, quant: str) -> int:
        """The size of the file, estimated if it is not known."""
        if self.file is not None and self.file.quant == quant:
            return self.file.size
        return round(self.parameters * GB * BITS[quant] / 8)

    def need(self, quant: str, spec: ModelSpec) -> int:
        """The memory needed with these settings, estimated, in bytes."""
        values = _FALLBACK_KV_VALUES if self.kv_values is None else self.kv_values
        return self.bytes(quant) + 2 * values * spec.context_tokens * spec.sequences + _OVERHEAD_BYTES

    def token_ms(self, quant: str, bandwidth_gbps: float) -> float:
        """The time to decode one token, in ms, if it is limited only by reading the weights."""
        read = (self.active or self.parameters) * BITS[quant] / 8
        return 1000 * read / (bandwidth_gbps * _EFFICIENCY)


@dataclass(frozen=True, slots=True)
class Machine:
    """The data of a machine on which the choice depends. vram: bytes of the largest GPU that this build can use, 0
    without one. bandwidth_gbps: of that GPU, None if unknown."""

    vram: int
    ram: int
    cores: int
    bandwidth_gbps: float | None = None

    @property
    def memory(self) -> int:
        return round(_SPARE * (self.vram or self.ram))

    @property
    def speed_gbps(self) -> float:
        if self.vram:
            return self.bandwidth_gbps or _UNKNOWN_GPU_GBPS
        return min(_CPU_GBPS, _CPU_GBPS_PER_CORE * self.cores)


@dataclass(frozen=True, slots=True)
class Choice:
    model: CatalogueModel
    quant: str


def catalogue() -> list[CatalogueModel]:
    return msgspec.convert(_data()["model"], list[CatalogueModel])


def find(name: str) -> CatalogueModel | None:
    wanted = STARTER if name.lower() == STARTER_ALIAS else name.lower()
    return next((model for model in catalogue() if model.name == wanted), None)


def bandwidth_gbps(device: str) -> float | None:
    """The memory bandwidth of a GPU by its name, in GB/s; None if it is not in the table."""
    table: dict[str, float] = _data()["bandwidth"]
    found = [name for name in table if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", device, re.IGNORECASE)]
    return float(table[max(found, key=len)]) if found else None


def bandwidth_class(gbps: float | None) -> str:
    if gbps is None:
        return "unknown"
    return "high" if gbps >= 800 else "good" if gbps >= 400 else "moderate" if gbps >= 200 else "low"


def _data() -> dict[str, Any]:
    return _read(CATALOGUE)


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    return data


def recommend(machine: Machine, spec: ModelSpec) -> tuple[Choice | None, Choice | None]:
    """A model that completes code, and a chat model beside it, for a machine; None if nothing suits.

    Takes the first in the catalogue that is fast enough (by memory bandwidth) and fits. The code model is chosen first,
    since it runs at every key.
    """
    models = catalogue()
    code = _first((m for m in models if m.use == "code" and m.fim), machine, spec, _CODE_TOKEN_MS, machine.memory)
    left = machine.memory - (code.model.need(code.quant, spec) if code else 0)
    one = ModelSpec("", context_tokens=8192, sequences=1)
    chat = _first((m for m in models if m.use == "chat"), machine, one, _CHAT_TOKEN_MS, left)
    return code, chat


def _first(
    models: Iterable[CatalogueModel], machine: Machine, spec: ModelSpec, token_ms: float, memory: int
) -> Choice | None:
    for model in models:
        if model.restricted:
            continue
        for quant in quants(model, machine):
            fast = model.token_ms(quant, machine.speed_gbps) <= token_ms and _prefills(model, machine)
            if fast and model.need(quant, spec) <= memory:
                return Choice(model, quant)
    return None


def quants(model: CatalogueModel, machine: Machine) -> Sequence[str]:
    """The quantisations that suit a machine. On a CPU only those that llama.cpp stores interleaved, if there are
    any."""
    if machine.vram or (model.file is not None and model.file.quant == model.quants[0]):
        return model.quants
    fast = [quant for quant in ("Q4_0", "IQ4_NL", "Q8_0") if quant in model.quants]
    return fast or [quant for quant in model.quants if quant.startswith("Q4_K")]


def _prefills(model: CatalogueModel, machine: Machine) -> bool:
    """Whether a chunk of 16 tokens is evaluated fast enough. Always True with a GPU."""
    if machine.vram:
        return True
    flops = 2e9 * (model.active or model.parameters) * 16
    return 1000 * flops / (_CPU_PREFILL_TFLOPS_PER_CORE * 1e12 * machine.cores) <= _CPU_CHUNK_MS
