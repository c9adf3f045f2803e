"""The models in PyTorch and in llama.cpp: trained a little, exported, and the same logits on both sides."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install --group starter-training")
pytest.importorskip("tokenizers", reason="needs tokenizers: pip install --group starter-training")
gguf = pytest.importorskip("gguf", reason="needs gguf: pip install --group starter-training")

from bench.training import check, export, loop, loss, markers, optimizers, pack, parts, tokenizer  # noqa: E402
from bench.training.batches import PackedRows  # noqa: E402
from bench.training.corpus import SourceFile  # noqa: E402
from bench.training.gemma_model import LINEAR, AdaptedLinear, GemmaConfig, GemmaModel  # noqa: E402
from bench.training.gguf_files import finish, write_f32_copy  # noqa: E402
from bench.training.holes import samples_of  # noqa: E402
from bench.training.llama_cpp_logits import loaded_model  # noqa: E402
from bench.training.llama_model import LlamaConfig, LlamaModel  # noqa: E402
from bench.training.pack import Role, Rows, codec_of  # noqa: E402
from tests.support.formats import format_named  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "lsp_server/core").glob("*.py"))
LENGTH = 128
TEXT = "def total(values):\n        return sum(values) + 1234  # ünïcode → 文字\n\n\tif x:\n\t\tpass\n"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """The other tests use the other cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starter")


@pytest.fixture(scope="module")
def tokens_file(folder: Path) -> Path:
    trained = tokenizer.train([path.read_text("utf-8") for path in CORE], 1024)
    trained.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture(scope="module")
def packed(folder: Path, tokens_file: Path) -> Path:
    """Rows as `pack` writes them, without its worker processes."""
    form = format_named("qwen")
    codec = codec_of(tokens_file, form)
    rows = Rows(LENGTH)
    for path in CORE[:6]:
        for sample in samples_of(SourceFile("p", path.name, "Python", path.read_text("utf-8")), form, LENGTH, "1"):
            tokens, roles = codec.encode(sample)
            rows.add(tokens[:LENGTH], roles[:LENGTH])
    tokens_array, roles_array = rows.arrays(np.uint16, codec.end)
    out = folder / "packed"
    out.mkdir()
    np.save(out / "train-000-00.tokens.npy", tokens_array)
    np.save(out / "train-000-00.roles.npy", roles_array)
    (out / "meta.json").write_text(json.dumps({"length": LENGTH, "vocabulary": 1024}))
    return out


def test_indentation_and_digits_are_tokens(tokens_file: Path) -> None:
    found = tokenizer.load(tokens_file)
    assert found.get_vocab_size() == 1024
    assert "Ġ" * 7 in found.encode(TEXT).tokens
    assert found.encode("1234").tokens == ["1", "2", "3", "4"]
    assert [found.token_to_id(spelling) for spelling in tokenizer.SPECIAL] == list(range(1017, 1024))


def test_a_sample_is_encoded_with_its_markers_and_its_end(tokens_file: Path) -> None:
    form = format_named("qwen")
    codec = codec_of(tokens_file, form)
    source = SourceFile("p", "a.py", "Python", "# <|fim_middle|> in a text is text\n" + CORE[0].read_text("utf-8"))
    holes = [sample for sample in samples_of(source, form, 2048, "3") if sample.origin.value != "none"]
    for sample in holes:
        tokens, roles = codec.encode(sample)
        middle = codec.markers["<|fim_middle|>"]
        assert tokens.count(middle) == 1
        assert tokens[-1] == codec.end
        written = codec.tokenizer.decode([t for t, role in zip(tokens, roles, strict=True) if role == Role.MIDDLE])
        assert written.encode().endswith(sample.middle)
        assert tokens.index(middle) < roles.index(Role.MIDDLE)
    assert holes


def test_rows_hold_whole_samples() -> None:
    rows = Rows(10)
    for number, size in enumerate([6, 5, 4, 5, 7, 3], start=1):
        rows.add([number] * size, [Role.MIDDLE] * size)
    tokens, roles = rows.arrays(np.uint16, 99)
    assert sorted(tokens.tolist()) == [[1] * 6 + [3] * 4, [2] * 5 + [4] * 5, [5] * 7 + [6] * 3]
    assert not (roles == Role.PADDING).any()


def test_batches_come_again_the_same_and_padding_does_not_count(packed: Path) -> None:
    rows = PackedRows(packed, context_share=0.5, seed=3)
    device = torch.device("cpu")
    first, again = rows.batch(2, 3, device), rows.batch(3, 2, device)
    assert torch.equal(first.inputs[1:], again.inputs) and torch.equal(first.weights[1:], again.weights)
    assert torch.equal(first.inputs[:, 1:], first.targets[:, :-1])
    everything = rows.batch(0, len(rows), device)
    assert 0.1 < everything.weights.mean() < 0.95
    later = rows.batch(len(rows), len(rows), device)
    assert sorted(map(tuple, later.inputs.tolist())) == sorted(map(tuple, everything.inputs.tolist()))
    assert not torch.equal(later.inputs, everything.inputs)


def test_the_chunked_loss_is_the_plain_one() -> None:
    torch.manual_seed(1)
    hidden = torch.randn(2, 11, 8, requires_grad=True)
    table = torch.randn(50, 8, requires_grad=True)
    targets, weights = torch.randint(0, 50, (2, 11)), torch.rand(2, 11).round(decimals=1)
    weights[0, :4] = 0
    plain = loss.plain_cross_entropy(hidden, table, targets, weights)
    expected = torch.autograd.grad(plain, (hidden, table))
    chunked = loss.cross_entropy(hidden, table, targets, weights, chunk=4)
    found = torch.autograd.grad(chunked, (hidden, table))
    assert math.isclose(plain.item(), chunked.item(), rel_tol=1e-5)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8)])
def test_orthogonalised_matrices_have_like_singular_values(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(2)
    values = torch.linalg.svdvals(optimizers.orthogonalised(torch.randn(shape)))
    assert values.min() > 0.5 and values.max() < 1.3


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    model = LlamaModel(LlamaConfig(vocabulary=64, width=16, layers=1, heads=2, kv_heads=1, hidden=32))
    found = optimizers.optimizers_of(model, 0.1, "muon")
    factors = [optimizers.set_learning_rate(found, progress / 100, 0.1) for progress in range(101)]
    assert factors[0] < 0.02 and max(factors) > 0.99 and factors[-1] < 1e-6
    assert factors[20:] == sorted(factors[20:], reverse=True)
    stepped = {id(p) for optimizer in found for group in optimizer.param_groups for p in group["params"]}
    assert stepped == {id(p) for p in model.parameters()}


def train_options(packed: Path, out: Path, **changes: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    loop.loop_arguments(parser, lr=3e-3, batch_rows=4, micro_rows=2)
    options = parser.parse_args(["--data", str(packed), "--out", str(out), "--tokens", "20480", "--device", "cpu"])
    return argparse.Namespace(**{**vars(options), "log_every": 5, "held_out": packed, **changes})


def small_llama() -> tuple[LlamaModel, Callable[[], dict[str, Any]]]:
    config = LlamaConfig(vocabulary=1024, width=64, layers=2, heads=4, kv_heads=2, hidden=256, context=LENGTH)
    torch.manual_seed(4)
    return LlamaModel(config), lambda: {"kind": "llama", "config": config.as_dict(), "parameters": 1}


@pytest.fixture(scope="module")
def trained(folder: Path, packed: Path) -> Path:
    """A checkpoint of a run that was stopped once and went on."""
    out = folder / "run"
    for end in ("10240", "20480"):
        model, describe = small_llama()
        options = train_options(packed, out, tokens=float(end))
        loop.run_loop(model, options, PackedRows(packed), describe, 1e6, began=0.0)
    return out


def test_training_lowers_the_loss_and_goes_on_where_it_was(trained: Path) -> None:
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    held = [entry["held_out_loss"] for entry in log if "held_out_loss" in entry]
    assert abs(losses[0] - math.log(1024)) < 0.2  # untrained: as good as guessing
    assert held[1] < held[0] < losses[0] - 0.3
    assert [entry["step"] for entry in log if "held_out_loss" in entry] == [20, 40]
    state = torch.load(trained / "checkpoint.pt", weights_only=True)
    assert state["progress"]["rows"] == 160


def test_a_checkpoint_of_another_model_is_refused(trained: Path, packed: Path) -> None:
    config = LlamaConfig(vocabulary=1024, width=64, layers=1, heads=4, kv_heads=2, hidden=256)
    with pytest.raises(ValueError, match="another model"):
        loop.run_loop(LlamaModel(config), train_options(packed, trained), PackedRows(packed), dict, 1e6, 0.0)


@pytest.mark.parametrize(("kind", "largest"), [("f32", 1e-3), ("f16", 0.03), ("q8_0", 0.3), ("q4_0", 3.0)])
def test_llama_cpp_gives_the_same_logits(
    kind: str, largest: float, trained: Path, tokens_file: Path, folder: Path
) -> None:
    path = folder / f"model-{kind}.gguf"
    options = argparse.Namespace(
        checkpoint=trained / "checkpoint.pt", out=path, tokenizer=tokens_file, base=None, type=kind, merge=False
    )
    assert export.run(options) == 0
    model, _ = small_llama()
    model.load_state_dict(torch.load(trained / "checkpoint.pt", weights_only=True)["model"])
    with loaded_model(path) as theirs:
        tokens = theirs.tokenize(TEXT + "<|fim_middle|>", special=True)
        assert tokens[-1] == 1019
        found = check.differences(theirs.logits(tokens), model.logits(torch.tensor([tokens]))[0].detach().numpy())
    assert found["largest_difference"] < largest
    assert found["largest_logit"] > 1
    if kind in ("f32", "f16"):
        again = check.differences(
            check.torch_logits(path, tokens), model.logits(torch.tensor([tokens]))[0].detach().numpy()
        )
        assert again["largest_difference"] < largest


def test_llama_cpp_gives_the_same_tokens(trained: Path, tokens_file: Path, folder: Path) -> None:
    path = folder / "vocabulary.gguf"
    state = torch.load(trained / "checkpoint.pt", weights_only=True)
    weights = {name: value.numpy() for name, value in state["model"].items()}
    export.write_model(path, state["about"]["config"], weights, tokens_file, "f16")
    texts = [file.read_text("utf-8") for file in CORE] + [
        TEXT,
        "",
        "\r\n \n\t\n",
        "it's  'LL\u00a0x\u3000y 1٣²",
        "<|fim_pad|>",
    ]
    found = check.token_differences(path, tokens_file, texts)
    assert found["files"] == len(texts)
    assert (found["files_that_differ"], found["files_not_given_back"]) == (0, 0)


GEMMA = GemmaConfig(
    vocabulary=96,
    width=64,
    layers=7,
    heads=4,
    kv_heads=1,
    head_size=32,
    hidden=128,
    window=8,
    rope_base=1e6,
    epsilon=1e-6,
)


@pytest.fixture(scope="module")
def small_gemma(folder: Path) -> Path:
    """A Gemma 3 of random weights, in F32, with a window that a test's text is longer than."""
    path = folder / "gemma.gguf"
    random = np.random.default_rng(5)
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_name("small gemma")
    writer.add_context_length(256)
    writer.add_embedding_length(GEMMA.width)
    writer.add_block_count(GEMMA.layers)
    writer.add_feed_forward_length(GEMMA.hidden)
    writer.add_head_count(GEMMA.heads)
    writer.add_head_count_kv(GEMMA.kv_heads)
    writer.add_key_length(GEMMA.head_size)
    writer.add_value_length(GEMMA.head_size)
    writer.add_sliding_window(GEMMA.window)
    writer.add_rope_freq_base(GEMMA.rope_base)
    writer.add_layer_norm_rms_eps(GEMMA.epsilon)
    spelled = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))][: GEMMA.vocabulary - 1]
    spelled.append("\n")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(spelled)
    writer.add_token_scores([0.0] * len(spelled))
    kinds = [2, 3, 3, *([6] * (len(spelled) - 4)), 1]
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    model = GemmaModel(GEMMA)
    for name, value in model.state_dict().items():
        wanted = "token_embd.weight" if name == "token_embd" else name
        shape = tuple(value.shape)
        scale = 0.3 if "norm" in name else 2 * shape[-1] ** -0.5
        values = (random.standard_normal(shape) * scale + ("norm" in name)).astype(np.float32)
        writer.add_tensor(wanted, values)
    finish(writer)
    return path


TOKENS = [1, *(int(token) for token in np.random.default_rng(6).integers(3, 95, 40))]


def test_gemma_is_what_llama_cpp_runs(small_gemma: Path) -> None:
    ours = check.torch_logits(small_gemma, TOKENS)
    with loaded_model(small_gemma) as model:
        found = check.differences(model.logits(TOKENS), ours)
    assert found["largest_difference"] < 0.02 * found["largest_logit"]
    assert found["same_best_token"] > 0.95
    # The window matters here: without it the logits are others.
    wide = GemmaModel.from_gguf(small_gemma)
    object.__setattr__(wide.config, "window", 1000)
    with torch.no_grad():
        others = wide.logits(torch.tensor([TOKENS]))[0].numpy()
    assert check.differences(others, ours)["largest_difference"] > 10 * found["largest_difference"]


def an_adapter(base: Path, path: Path, *, trained: bool) -> GemmaModel:
    model = GemmaModel.from_gguf(base, rank=4, alpha=8.0)
    if trained:
        torch.manual_seed(7)
        for module in model.modules():
            if isinstance(module, AdaptedLinear):
                torch.nn.init.normal_(module.lora_b, std=0.1)
    weights = {name: value.numpy() for name, value in loop.trained_state(model).items()}
    assert len(weights) == 2 * len(LINEAR) * GEMMA.layers
    about = {"alpha": 8.0, "rank": 4, "format": "gemma-adapter"}
    export.write_adapter(path, about, weights, base, "f32")
    export.write_merged(path.with_suffix(".merged.gguf"), about, weights, base)
    return model


def test_an_untrained_adapter_changes_nothing(small_gemma: Path, folder: Path) -> None:
    an_adapter(small_gemma, folder / "untrained.gguf", trained=False)
    with loaded_model(small_gemma) as model:
        alone, adapted = model.logits(TOKENS), model.logits(TOKENS, folder / "untrained.gguf")
    assert np.array_equal(alone, adapted)


def test_an_adapter_does_the_same_in_llama_cpp(small_gemma: Path, folder: Path) -> None:
    path = folder / "adapter.gguf"
    ours = an_adapter(small_gemma, path, trained=True)
    with torch.no_grad():
        expected = ours.logits(torch.tensor([TOKENS]))[0].numpy()
    with loaded_model(small_gemma) as model:
        alone, adapted = model.logits(TOKENS), model.logits(TOKENS, path)
    found = check.differences(adapted, expected)
    assert found["largest_difference"] < 0.02 * found["largest_logit"]
    assert check.differences(alone, expected)["largest_difference"] > 10 * found["largest_difference"]
    assert np.array_equal(check.torch_logits(small_gemma, TOKENS, path), expected)
    with loaded_model(path.with_suffix(".merged.gguf")) as model:
        merged = check.differences(model.logits(TOKENS), expected)
    assert merged["largest_difference"] < 0.05 * found["largest_logit"]


def test_an_adapter_says_what_it_is(small_gemma: Path, folder: Path) -> None:
    path = folder / "described.gguf"
    an_adapter(small_gemma, path, trained=False)
    reader = gguf.GGUFReader(path)
    values = {key: reader.get_field(key).contents() for key in ("general.type", "adapter.type", "fimble.fim_format")}
    assert values == {"general.type": "adapter", "adapter.type": "lora", "fimble.fim_format": "gemma-adapter"}
    assert len(reader.get_field("fimble.base_sha256").contents()) == 64
    matrices, alpha = export.read_adapter(path)
    assert alpha == 8.0 and matrices["blk.0.ffn_down.lora_a"].shape == (4, GEMMA.hidden)


def test_only_the_adapter_is_trained(small_gemma: Path, folder: Path) -> None:
    model = GemmaModel.from_gguf(small_gemma, rank=4, alpha=8.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = torch.tensor([TOKENS])
    steps = optimizers.optimizers_of(model, 1e-2, "adamw")
    losses = []
    for _ in range(8):
        result = model.loss(model(inputs[:, :-1]), inputs[:, 1:], torch.ones_like(inputs[:, 1:]).float(), chunk=16)
        losses.append(result.item())
        result.backward()
        for optimizer in steps:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.1
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all("lora_" in name for name in changed)


def test_markers_are_those_that_differ_most(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    common = random.standard_normal(16)
    table = common + 0.01 * random.standard_normal((20, 16))
    table[[4, 9, 13]] = random.standard_normal((3, 16))
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "gemma3")
    writer.add_token_list([f"<unused{number}>" for number in range(20)])
    writer.add_tensor("token_embd.weight", table.astype(np.float32))
    finish(writer)
    found = markers.distinct_markers(tmp_path / "m.gguf", 4)
    assert {4, 9, 13} < {number for _, number, _ in found}
    assert found[0][0] == f"<unused{found[0][1]}>"


def test_a_copy_in_f32_has_the_same_logits(small_gemma: Path, folder: Path) -> None:
    write_f32_copy(small_gemma, folder / "copy.gguf")
    with loaded_model(small_gemma) as model, loaded_model(folder / "copy.gguf") as copy:
        assert np.array_equal(model.logits(TOKENS), copy.logits(TOKENS))
        with pytest.raises(ValueError, match="adapter"):
            model.logits(TOKENS, folder / "copy.gguf")


def test_parts_are_joined_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(bytes(range(256)) * 40)
    first = parts.split(file, tmp_path / "one", 3000, 0, 2)
    rest = parts.split(file, tmp_path / "two", 3000, 2)
    assert [len(first), len(rest)] == [2, 2]
    listing = tmp_path / "one/model.bin.parts.json"
    parts.join(listing, tmp_path / "back.bin", [tmp_path / "one", tmp_path / "two"])
    assert (tmp_path / "back.bin").read_bytes() == file.read_bytes()
    rest[0].write_bytes(b"x")
    with pytest.raises(ValueError, match="damaged"):
        parts.join(listing, tmp_path / "bad.bin", [tmp_path / "one", tmp_path / "two"])
    rest[0].unlink()
    with pytest.raises(ValueError, match="missing"):
        parts.join(listing, tmp_path / "bad.bin", [tmp_path / "one", tmp_path / "two"])
    assert not (tmp_path / "bad.bin").exists()


def test_a_format_that_the_vocabulary_lacks_is_refused(tokens_file: Path) -> None:
    form = format_named("starcoder")
    with pytest.raises(ValueError, match="<fim_prefix>"):
        pack.codec_of(tokens_file, form)
