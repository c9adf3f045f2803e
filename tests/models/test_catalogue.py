"""The catalogue and what it recommends for machines from a small laptop to a workstation."""

from __future__ import annotations

import re

import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.core.fim_formats import find_format
from lsp_server.models import catalogue
from lsp_server.models.catalogue import GB, Machine, bandwidth_gbps

SPEC = ModelSpec("")
ALL = catalogue.catalogue()


FAMILIES = (
    "qwen2.5-coder-0.5b",
    "qwen2.5-coder-32b",
    "qwen3-coder-30b",
    "codestral-22b",
    "codestral-mamba-7b",
    "deepseek-coder-1.3b",
    "deepseek-coder-33b",
    "deepseek-coder-v2-lite",
    "starcoder2-3b",
    "starcoder2-15b",
    "codegemma-2b",
    "codegemma-7b",
    "codellama-7b",
    "codellama-13b",
    "granite-8b-code",
    "mellum-4b",
    "seed-coder-8b",
    "stable-code-3b",
    "qwen3-32b",
    "llama-3.1-8b",
    "deepseek-r1-distill-qwen-7b",
    "olmo-3-7b",
)


def test_the_families_are_there() -> None:
    names = " ".join(model.name for model in ALL)
    for family in FAMILIES:
        assert family in names


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.name)
def test_an_entry_is_complete(model: catalogue.CatalogueModel) -> None:
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.hub)
    assert model.use in ("code", "chat")
    assert model.licence
    assert (model.use == "code") == bool(model.fim)
    assert not model.fim or find_format(model.fim) is not None
    assert model.quants
    for quant in model.quants:
        assert model.bytes(quant) > 0.3 * model.parameters * GB
    assert sum(entry.name == model.name for entry in ALL) == 1


# GB of VRAM, GB/s: what completes code, and what chats beside it.
GPUS = [
    (6, 360, "starcoder2-3b", None),
    (8, 272, "qwen2.5-coder-7b", None),
    (12, 504, "seed-coder-8b", None),
    (16, 288, "seed-coder-8b", "llama-3.1-8b"),
    (16, 672, "qwen2.5-coder-14b", None),
    (24, 1008, "qwen3-coder-30b", None),
    (48, 864, "qwen3-coder-30b", "qwen3-32b"),
]


@pytest.mark.parametrize(("vram", "gbps", "code", "chat"), GPUS)
def test_what_is_recommended_for_a_gpu(vram: int, gbps: float, code: str, chat: str | None) -> None:
    machine = Machine(vram * GB, 32 * GB, 8, gbps)
    chosen, beside = catalogue.recommend(machine, SPEC)
    assert chosen is not None
    assert chosen.model.name == code
    assert (beside.model.name if beside else None) == chat
    need = chosen.model.need(chosen.quant, SPEC) + (beside.model.bytes(beside.quant) if beside else 0)
    assert need <= 0.95 * vram * GB


@pytest.mark.parametrize(
    ("cores", "ram", "code"),
    [
        (2, 8, None),
        (4, 8, "qwen2.5-coder-0.5b"),
        (16, 64, "qwen2.5-coder-1.5b"),
        (16, 1, "qwen2.5-coder-0.5b"),
    ],
)
def test_a_cpu_gets_a_small_model_that_is_repacked(cores: int, ram: int, code: str | None) -> None:
    chosen, _ = catalogue.recommend(Machine(0, ram * GB, cores), SPEC)
    assert (chosen.model.name if chosen else None) == code
    if chosen:
        assert chosen.quant in ("Q4_0", "IQ4_NL", "Q8_0") or chosen.model.file


def test_bandwidth_decides_before_memory() -> None:
    slow, fast = (catalogue.recommend(Machine(24 * GB, 64 * GB, 16, gbps), SPEC)[0] for gbps in (150, 1008))
    assert slow is not None and fast is not None
    assert slow.model.name != "qwen2.5-coder-14b"
    assert slow.model.token_ms(slow.quant, 150) <= 40


def test_a_restricted_licence_is_never_recommended() -> None:
    for vram in range(2, 96):
        for choice in catalogue.recommend(Machine(vram * GB, 64 * GB, 16, 1000), SPEC):
            assert choice is None or not choice.model.restricted


@pytest.mark.parametrize(
    ("device", "gbps"),
    [
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA GeForce RTX 4070", 504),
        ("NVIDIA H200", 4800),
        ("Apple M4 Max", 410),
        ("Tesla T4", 320),
        ("Matrox G200", None),
    ],
)
def test_bandwidth_by_name(device: str, gbps: float | None) -> None:
    assert bandwidth_gbps(device) == gbps
