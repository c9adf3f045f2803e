"""The service times of inference servers as data: each figure has its source, and was written down before any run.

All three serve a 7B model in bfloat16 as vLLM does by default: prefix cache in blocks of 16 tokens, prompts evaluated
in chunks beside decoding. A step takes the time of its batch size, and on top of it the time of the prompt tokens that
it evaluates. What the length of the contexts adds to a step is not modelled.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

# vLLM, documentation of automatic prefix caching: blocks of 16 tokens, only full blocks are shared, least recently used
# ones are evicted first, and of one request the last blocks first.
BLOCK_TOKENS = 16

# Qwen2.5-Coder-7B, its `config.json`: 28 layers, 4 key and value heads of 128 numbers, 2 bytes each. Its weights are
# 15.23 GB in bfloat16 (the header of its safetensors).
_KV_BYTES_PER_TOKEN = 2 * 28 * 4 * 128 * 2
_WEIGHT_BYTES, _PARAMETERS = 15.23e9, 7.6e9
# vLLM's default `gpu_memory_utilization`; and an assumption for activations and CUDA graphs.
_USED_SHARE, _OTHER_BYTES = 0.9, 2e9
# An assumption where no measured prefill rate was found: half of the data sheet's dense bfloat16 operations a second.
# The rates measured with llama.cpp are lower, and a lower one favours whoever evaluates fewer tokens.
_PREFILL_EFFICIENCY = 0.5


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """One server.

    step_ms: the time of a step by the number of sequences that get a token in it; between two of them it is
    interpolated, and beyond the last two extrapolated. prefill_tokens_per_second: how fast prompts are evaluated.
    cache_blocks: what the KV cache holds, running requests included. most_sequences, most_step_tokens: how many
    sequences run at once, and how many tokens a step has at most. sources: where each figure is from.
    """

    name: str
    about: str
    step_ms: tuple[tuple[int, float], ...]
    prefill_tokens_per_second: float
    cache_blocks: int
    most_sequences: int
    most_step_tokens: int
    sources: tuple[str, ...]

    def step(self, sequences: int, prompt_tokens: int) -> float:
        """The ms of a step that gives `sequences` one token each, and evaluates `prompt_tokens`."""
        return self._of_batch(max(1, sequences)) + 1000 * prompt_tokens / self.prefill_tokens_per_second

    def _of_batch(self, sequences: int) -> float:
        sizes = [size for size, _ in self.step_ms]
        if len(sizes) == 1 or sequences <= sizes[0]:
            return self.step_ms[0][1]
        right = min(len(sizes) - 1, bisect_left(sizes, sequences))
        (small, low), (large, high) = self.step_ms[right - 1], self.step_ms[right]
        return low + (high - low) * (sequences - small) / (large - small)


def _blocks(memory_bytes: float) -> int:
    return int((_USED_SHARE * memory_bytes - _WEIGHT_BYTES - _OTHER_BYTES) / _KV_BYTES_PER_TOKEN / BLOCK_TOKENS)


def _rate(dense_flops: float) -> float:
    return round(_PREFILL_EFFICIENCY * dense_flops / (2 * _PARAMETERS), -2)


# The compose file in docs/endpoints.md: `--max-num-seqs 64`.
_SEQUENCES = 64
_CACHE = "cache: 0.9 of the memory without 15.2 GB of weights and 2 GB (assumed), 57,344 bytes a token (config.json)"
_KOYEB = "step: tokens a second of Llama 3.1 8B at batch sizes 1, 8 and 32, Koyeb's GPU benchmarks, as cited by "
_KOYEB += "aihardwareindex.com/blog/h100-vs-a100-vs-l40s-the-cost-per-token-analysis"

SETTINGS = (
    ServiceTimes(
        name="l40s",
        about="NVIDIA L40S, 48 GB",
        step_ms=((1, 1000 / 44), (8, 8000 / 325), (32, 32000 / 1124)),
        prefill_tokens_per_second=_rate(362e12),
        cache_blocks=_blocks(48e9),
        most_sequences=_SEQUENCES,
        most_step_tokens=2048,
        sources=(
            _KOYEB + ": 44, 325, 1,124",
            "prefill: derived, half of 362 TFLOPS (NVIDIA's data sheet, bfloat16, dense) over 2 x 7.6e9 a token",
            _CACHE,
            "tokens of a step: vLLM's default for GPUs of less than 70 GiB",
        ),
    ),
    ServiceTimes(
        name="h100",
        about="NVIDIA H100, 80 GB",
        step_ms=((1, 1000 / 93), (8, 8000 / 688), (32, 32000 / 2462)),
        prefill_tokens_per_second=_rate(989e12),
        cache_blocks=_blocks(80e9),
        most_sequences=_SEQUENCES,
        most_step_tokens=8192,
        sources=(
            _KOYEB + ": 93, 688, 2,462",
            "prefill: derived, half of 989 TFLOPS (NVIDIA's data sheet, bfloat16, dense) over 2 x 7.6e9 a token",
            _CACHE,
            "tokens of a step: vLLM's default for GPUs of 70 GiB and more",
        ),
    ),
    ServiceTimes(
        name="rtx4090",
        about="NVIDIA RTX 4090, 24 GB",
        step_ms=((1, 1000 / 61.03), (4, 4000 / 210), (8, 8000 / 377), (16, 16000 / 644), (32, 32000 / 975)),
        prefill_tokens_per_second=11_048,
        cache_blocks=_blocks(24e9),
        most_sequences=_SEQUENCES,
        most_step_tokens=2048,
        sources=(
            "step, 1 sequence: 61.03 tokens a second, llama 7B F16, llama-bench tg128, "
            "github.com/ggml-org/llama.cpp/pull/4766",
            "step, 4 to 32 sequences: 210, 377, 644, 975 tokens a second, Mistral-7B with vLLM, "
            "mushfiqrahman.dev/benchmarking-mistral-7b-on-rtx-4090-vllm-concurrency-latency-and-capacity-planning",
            "prefill: 11,048 tokens a second, llama 7B F16, llama-bench pp512, github.com/ggml-org/llama.cpp/pull/4766",
            _CACHE,
            "tokens of a step: vLLM's default for GPUs of less than 70 GiB",
        ),
    ),
)


def settings_named(names: list[str] | None) -> list[ServiceTimes]:
    """The settings of these names, or all."""
    return [setting for setting in SETTINGS if not names or setting.name in names]
