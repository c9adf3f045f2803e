"""The table of FIM formats: each is found by its own markers, and look-alikes are told apart."""

from __future__ import annotations

import pytest

from lsp_server.core.fim_formats import (
    FORMATS,
    PREFIX_ONLY,
    FimFormat,
    Slot,
    declared_format,
    detect_format,
    find_format,
    names_of,
)

STARCODER = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"]
QWEN = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"]
GEMMA = [f"<unused{number}>" for number in range(6242)]
DEEPSEEK = ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"]


def detect(tokens: list[str], name: str = "model", declared: tuple[str, str, str] | None = None) -> FimFormat:
    return detect_format(set(tokens).__contains__, name, declared)


@pytest.mark.parametrize("form", [form for form in FORMATS if form.has_fim], ids=lambda form: form.name)
def test_a_format_is_found_by_its_own_markers(form: FimFormat) -> None:
    names = {"mellum": "Mellum-4b-base", "starcoder2": "starcoder2-3b", "gemma-adapter": "fimble FIM adapter"}
    names["codestral"] = "Codestral-22B"
    name = names.get(form.name, "some model")
    assert detect([*form.spellings, "<another token>"], name) is form


@pytest.mark.parametrize("form", [form for form in FORMATS if form.has_fim], ids=lambda form: form.name)
def test_a_format_needs_every_marker(form: FimFormat) -> None:
    for missing in form.spellings:
        assert detect([marker for marker in form.spellings if marker != missing], "mellum starcoder2") is not form


@pytest.mark.parametrize(
    ("tokens", "name", "expected"),
    [
        ([*STARCODER, "<filename>"], "Mellum-4b-sft-python", "mellum"),
        ([*STARCODER, "<filename>"], "starcoderbase-1b", "starcoder"),
        ([*STARCODER, "<filename>", "<file_sep>", "<repo_name>"], "starcoder2-7b", "starcoder2"),
        ([*STARCODER, "<filename>", "<file_sep>", "<repo_name>"], "StarCoder-2 15B", "starcoder2"),
        ([*STARCODER, "<file_sep>"], "granite-8b-code", "starcoder"),
        (STARCODER, "mellum without its file token", "starcoder"),
        ([*QWEN, "<|file_sep|>", "<|repo_name|>"], "Qwen2.5-Coder-1.5B", "qwen"),
        ([*QWEN, "<|file_separator|>"], "codegemma-2b", "codegemma"),
        (QWEN, "somebody's", "qwen-fim"),
        (DEEPSEEK, "deepseek-coder-1.3b-base", "deepseek"),
        (DEEPSEEK, "DeepSeek-Coder-V2-Lite", "deepseek"),
        (["[SUFFIX]", "[PREFIX]", "[MIDDLE]"], "Codestral-22B", "codestral"),
        (["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"], "CodeLlama-7b", "codellama"),
        (["<PRE>", "<SUF>", "<MID>"], "look-alike", "prefix-only"),
        (GEMMA, "fimble FIM adapter for Gemma 3 270M", "gemma-adapter"),
        (GEMMA, "Gemma 3 270m", "prefix-only"),
        ([], "SmolLM2-135M", "prefix-only"),
        # Reasoning models made from a base with FIM tokens were never trained on them.
        ([*QWEN, "<|file_sep|>"], "DeepSeek-R1-Distill-Qwen-1.5B", "prefix-only"),
        ([*QWEN, "<|file_sep|>"], "r1_distill_qwen", "prefix-only"),
        (DEEPSEEK, "deepseek-r1-0528", "prefix-only"),
        ([*QWEN, "<|file_sep|>", "<|repo_name|>"], "DeepCoder 14B Preview", "prefix-only"),
    ],
)
def test_look_alikes_are_told_apart(tokens: list[str], name: str, expected: str) -> None:
    assert detect(tokens, name).name == expected


def test_a_declared_format_is_the_last_resort() -> None:
    declared = ("<pre>", "<suf>", "<mid>")
    form = detect([], "refact-1.6b", declared)
    assert form == declared_format(*declared)
    assert form.layout == ("<pre>", Slot.CONTEXT, Slot.BEFORE, "<suf>", Slot.AFTER, "<mid>", Slot.TYPED)
    assert detect(QWEN, "model", declared).name == "qwen-fim"
    assert detect([], "R1-Distill", declared) is PREFIX_ONLY


MISTRAL = ["[INST]", "[SUFFIX]", "[PREFIX]", "[MIDDLE]"]
QWEN_CODER = [*QWEN, "<|repo_name|>", "<|file_sep|>"]
CODELLAMA = ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
GRANITE = [*STARCODER, "<filename>", "<reponame>"]
SEED = ["<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"]
GLM = ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>")
# OpenAI's cl100k, as in Phi 4 and OLMo 2, and StableLM's.
OPENAI = QWEN[:3]

TRAINED = [
    (MISTRAL, "codestral", ["Codestral 22B v0.1", "Mamba-Codestral-7B-v0.1", "codestral-22b-v0.1.Q4_K_M.gguf"]),
    (
        QWEN_CODER,
        "qwen",
        ["Qwen2.5 Coder 0.5B Instruct", "qwen3-coder-30b-a3b", "Qwen3-Coder-Next", "zeta Qwen2.5 Coder 7B"],
    ),
    (STARCODER, "starcoder", ["CodeQwen1.5-7B", "stable-code-3b", "replit-code-v1_5-3b", "refact-1_6B-fim"]),
    (
        GRANITE,
        "starcoder",
        ["granite-3b-code-base", "granite-8b-code-instruct", "granite-3.3-8b-base", "Granite 34B Code"],
    ),
    (QWEN, "qwen-fim", ["granite-4.0-h-tiny", "Granite 4.0 Micro"]),
    (
        DEEPSEEK,
        "deepseek",
        ["DeepSeek-Coder-V2-Lite-Base", "deepseek-coder-6.7b-instruct", "DeepSeek-V3-0324", "DeepSeek V2.5"],
    ),
    (CODELLAMA, "codellama", ["CodeLlama-7b-hf", "CodeLlama 13B Instruct", "codellama-7b.Q4_K_M.gguf"]),
    (SEED, "seed-coder", ["Seed-Coder-8B-Base", "Seed Coder 8B Instruct"]),
]
UNTRAINED = [
    (
        MISTRAL,
        [
            "Mistral Nemo Instruct 2407",
            "Mistral-Nemo-Base-2407",
            "Devstral-Small-2507",
            "Ministral-8B-Instruct-2410",
            "Magistral Small 2506",
            "Mistral-Small-3.2-24B-Instruct-2506",
            "Mathstral-7B-v0.1",
            "pixtral-12b",
            "Apertus-8B-Instruct",
            "Dolphin 2.9.3 Mistral Nemo 12b",
            "somebody's",
        ],
    ),
    (
        QWEN_CODER,
        [
            "Qwen2.5 7B Instruct",
            "Qwen3-32B",
            "Qwen3-30B-A3B-Thinking-2507",
            "qwen3-0.6b-q8_0.gguf",
            "QwQ-32B",
            "Qwen2.5-Math-1.5B",
            "Dolphin3.0-Qwen2.5-1.5B",
            "Hermes 4 14B Qwen3 14B",
            "Qwen2.5-VL-7B-Instruct",
        ],
    ),
    (DEEPSEEK, ["DeepSeek-V2-Lite-Chat", "deepseek-v2", "deepseek-coder-7b-instruct-v1.5", "deepseek-llm-7b-chat"]),
    (DEEPSEEK, ["deepseek-math-7b-rl", "DeepSeek-Prover-V1.5-RL", "deepseek-moe-16b-base", "DeepSeek-OCR"]),
    (GRANITE, ["granite-3.0-2b-base", "Granite 3.1 8b Instruct", "granite-3.2-8b-instruct", "granite-guardian-3.3-8b"]),
    (CODELLAMA, ["CodeLlama-7b-Python-hf", "CodeLlama 34B", "codellama-70b-hf", "WizardCoder-Python-13B", "Phind-34B"]),
    (SEED, ["Seed-Coder-8B-Reasoning", "Seed-OSS-36B-Instruct"]),
    (OPENAI, ["phi-4", "Phi 4 Mini Instruct", "OLMo-2-1124-7B", "Olmo-3-7B-Think", "stablelm-2-1_6b", "dbrx-instruct"]),
    ([*OPENAI, "<|fim_pad|>"], ["StableLM 2 Zephyr 1.6B", "phi-4-reasoning"]),
]


@pytest.mark.parametrize(("tokens", "form", "name"), [(t, form, name) for t, form, names in TRAINED for name in names])
def test_who_was_trained_to_fill_in_does(tokens: list[str], form: str, name: str) -> None:
    assert detect(tokens, name).name == form


@pytest.mark.parametrize(("tokens", "name"), [(tokens, name) for tokens, names in UNTRAINED for name in names])
def test_tokens_alone_do_not_make_a_model_fill_in(tokens: list[str], name: str) -> None:
    """Whole families share one vocabulary, and some of them were never trained on its FIM tokens."""
    assert detect(tokens, name) is PREFIX_ONLY
    fim = [token for token in tokens if any(part in token.lower() for part in ("fim", "pre", "suf", "mid"))]
    assert detect(tokens, name, (fim[0], fim[1], fim[2])) is PREFIX_ONLY, "llama.cpp finds the tokens by their spelling"


@pytest.mark.parametrize(("name", "fim"), [("glm-4-9b-chat", False), ("GLM-Z1-9B", False), ("GLM-4.5-Air", True)])
def test_declared_tokens_of_a_family_that_was_not_trained(name: str, fim: bool) -> None:
    assert detect(list(GLM), name, GLM).has_fim is fim


def test_what_a_model_was_made_from_counts() -> None:
    metadata = {
        "general.name": "Reasoner 8B",
        "general.basename": "Reasoner",
        "general.base_model.0.name": "Qwen3 8B",
        "general.base_model.1.name": "Other",
    }
    name = names_of(lambda key: metadata.get(key, ""), "reasoner.gguf")
    assert name == "Reasoner 8B Reasoner reasoner.gguf Qwen3 8B Other"
    assert detect(QWEN_CODER, name) is PREFIX_ONLY
    metadata["general.base_model.0.name"] = "Qwen2.5 Coder 7B"
    assert detect(QWEN_CODER, names_of(lambda key: metadata.get(key, ""), "reasoner.gguf")).name == "qwen"


def test_names_are_unique_and_found() -> None:
    names = [form.name for form in FORMATS]
    assert len(set(names)) == len(names)
    assert [find_format(name) for name in names] == list(FORMATS)
    assert find_format("no such format") is None


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_layout_has_every_text_once_and_what_is_typed_last(form: FimFormat) -> None:
    slots = [piece for piece in form.layout if isinstance(piece, Slot)]
    assert (
        slots.count(Slot.CONTEXT) == slots.count(Slot.BEFORE) == slots.count(Slot.AFTER) == slots.count(Slot.TYPED) == 1
    )
    assert slots.count(Slot.PATH) == (1 if form.has_path or not form.has_fim else 0)
    assert form.layout[-1] is Slot.TYPED
    assert slots[0] is Slot.CONTEXT, "something that changes more often stands in front of other files"
    assert len(set(form.spellings)) == len(form.spellings)
    assert not form.file or form.file in form.markers
