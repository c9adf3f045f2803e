"""The table of FIM formats: each is found by its own markers, and look-alikes are told apart."""

from __future__ import annotations

import pytest

from lsp_server.core.formats import (
    FORMATS,
    PREFIX_ONLY,
    FimFormat,
    Slot,
    declared_format,
    detect_format,
    find_format,
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
