"""`bench peers` and `bench limit`: what the peers are asked, what is counted, and both on a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import gguf
import pytest

from bench import keystrokes
from bench.__main__ import main
from bench.arms import infill, llama_server, model_files, tabby
from bench.arms.arm import Answer, quantile, ratios, summary
from bench.arms.infill import LLAMA_VIM, LLAMA_VSCODE, InfillClient, answer_of
from bench.limit import LimitKey, summarise
from bench.progress import INTERRUPTED
from bench.sessions.recordings import Change, Replacement
from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from tests.support.cursor import parse_cursor
from tests.support.tiny_gguf import write_tiny_gguf

NO_FIM = ("<|endoftext|>", "<|im_start|>", "<repo_name>", "<unused1>", "<unused0>", "<gh_stars>")
REPETITIVE = "".join(f'    table.add_row("{name}", self.{name})\n' for name in ("alpha", "beta", "gamma") * 5)


def key(source: str) -> Change:
    document, cursor = parse_cursor(source)
    return Change(0.0, document, document, (), cursor, types=True)


# Requests -----------------------------------------------------------------------------------------------


def test_the_request_is_llama_vims() -> None:
    payload = LLAMA_VIM.payload(key("import os\n\ndef f(a):\n    return a$0\n\nprint(f)\n"), None)
    assert payload is not None
    fields = payload.pop("response_fields")
    assert payload == {
        "input_prefix": "import os\n\ndef f(a):\n",
        "prompt": "    return a",
        "input_suffix": "\n\nprint(f)\n",
        "input_extra": [],
        "n_predict": 128,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.90,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 250,
    }
    assert {"content", "timings/prompt_n", "timings/prompt_ms", "timings/cache_n"} <= set(fields)


def test_the_request_is_llama_vscodes() -> None:
    payload = LLAMA_VSCODE.payload(key("import os\nx = o$0s\n"), None)
    assert payload == {
        "input_prefix": "import os\n",
        "prompt": "x = o",
        "input_suffix": "s\n\n",
        "input_extra": [],
        "n_predict": 128,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 500,
    }


@pytest.mark.parametrize("client", [LLAMA_VIM, LLAMA_VSCODE], ids=lambda client: client.name)
def test_256_lines_before_and_64_after(client: InfillClient) -> None:
    before = [f"before_{line}" for line in range(300)]
    after = [f"after_{line}" for line in range(100)]
    payload = client.payload(key("\n".join([*before, "here$0", *after]) + "\n"), None)
    assert payload is not None
    assert payload["input_prefix"] == "\n".join(before[-256:]) + "\n"
    assert payload["input_suffix"] == "\n" + "\n".join(after[:64]) + "\n"


@pytest.mark.parametrize(
    ("client", "source", "prompt", "suffix", "indent"),
    [
        (LLAMA_VIM, "if a:\n    $0\nb\n", "", "\nb\n", 0),
        (LLAMA_VSCODE, "if a:\n    $0\nb\n", "", "\nb\n", 4),
        (LLAMA_VIM, "if a:\n  $0  \nb\n", "", "\nb\n", 0),
        (LLAMA_VSCODE, "if a:\n  $0  \nb\n", "", "  \nb\n", 4),
        (LLAMA_VIM, "é = '😀$0'\n", "é = '😀", "'\n\n", 0),
        (LLAMA_VSCODE, "$0", "", "\n\n", None),
    ],
)
def test_blank_lines_and_indentation(
    client: InfillClient, source: str, prompt: str, suffix: str, indent: int | None
) -> None:
    payload = client.payload(key(source), None)
    assert payload is not None
    assert (payload["prompt"], payload["input_suffix"], payload.get("n_indent")) == (prompt, suffix, indent)


def test_nothing_is_asked_with_much_text_right_of_the_cursor_unless_it_is_forced() -> None:
    assert LLAMA_VIM.payload(key("a = $0123456789\n"), None) is None
    assert LLAMA_VIM.payload(key("a = $012345678\n"), None) is not None
    payload = LLAMA_VIM.payload(key("a = $0123456789\n"), 12)
    assert payload is not None
    assert (payload["n_predict"], payload["ignore_eos"], payload["samplers"]) == (12, True, ["top_k", "top_p"])
    assert payload["cache_prompt"] is True
    assert infill.LLAMA_VIM.constants["n_predict"] == 128, "forcing one request leaves the constants alone"


def test_the_server_is_started_with_llama_vims_preset() -> None:
    given = {**llama_server.SETTINGS, "model": "m.gguf", "port": 8012, "threads": 2}
    command = " ".join(llama_server._arguments(given))
    assert "--batch-size 1024 --ubatch-size 1024 --cache-reuse 256 --parallel 1" in command
    assert command.startswith("--model m.gguf --host 127.0.0.1 --port 8012")


def test_tabbys_segments_become_a_request() -> None:
    segments = {"prefix": "def f():\n    ", "suffix": None, "filepath": "a.py"}
    request = tabby.payload(segments, None)
    assert (request["input_prefix"], request["input_suffix"]) == ("def f():\n    ", "")
    assert (request["n_predict"], "ignore_eos" in request) == (64, False)
    assert tabby.payload(segments, 4)["n_predict"] == 4


# Counting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        {"timings": {"prompt_n": 250, "cache_n": 700, "prompt_ms": 600.0, "predicted_n": 4, "predicted_ms": 120.0}},
        {"timings/prompt_n": 250, "timings/cache_n": 700, "timings/prompt_ms": 600.0, "timings/predicted_n": 4},
    ],
)
def test_what_llama_server_reports(response: dict[str, object]) -> None:
    assert answer_of(response, 730.0) == Answer(950, 250, 4, 600.0, 730.0)


def test_only_answers_alike_are_compared() -> None:
    ours = [Answer(900, 1, 4, 20.0, 100.0), Answer(900, 1, 4, 20.0, 110.0), Answer(900, 1, 3, 20.0, 1.0)]
    theirs = [Answer(900, 250, 4, 600.0, 900.0), Answer(0, 0, 0, 0.0, 5.0, "memory"), Answer(900, 250, 4, 1.0, 1.0)]
    found = ratios(ours, theirs, 4)
    assert (found["keys"], found["prompt_p50"], found["whole_p50"], found["evaluated_p50"]) == (1, 30.0, 9.0, 250.0)
    assert found["anew"]["keys"] == 1
    cached = [replace(ours[0], anew=False), *ours[1:]]
    assert ratios(cached, theirs, 4)["anew"]["keys"] == 0
    assert summary(theirs, 4)["counted"] == 2
    assert summary([], 4)["ms_p50"] == 0


@pytest.mark.parametrize(("percent", "value"), [(5, 1.0), (50, 2.0), (75, 3.0), (76, 4.0), (100, 4.0)])
def test_quantiles_are_values_of_the_list(percent: float, value: float) -> None:
    assert quantile([4.0, 2.0, 3.0, 1.0], percent) == value


def test_the_limit_is_summed_up_per_key() -> None:
    keys = [LimitKey(900, 1, 1, 12, 12, 12, 30.0, 28.0, ms, 100.0) for ms in (104.0, 105.0, 130.0)]
    keys.append(LimitKey(900, 0, 0, 12, 3, 11, 0.0, 0.0, 40.0, 100.0))
    found = summarise(keys)
    assert (found["ratio_p50"], found["ratio_p95"]) == (1.04, 1.3)
    assert (found["keys_of_same_calls"], found["ratio_p50_same_calls"]) == (3, 1.05)
    assert (found["engine_calls"], found["floor_calls"]) == (39, 47)


def test_the_part_that_is_typed_has_text_on_both_sides() -> None:
    line = "x = 1\n"
    documents = [line * 10 + "$0\n", line * 2000 + "$0\n" + line * 400]
    shallow, deep = (key(source) for source in documents)

    def insertion(change: Change, time_ms: float) -> Change:
        return replace(change, time_ms=time_ms, replacements=(Replacement(change.cursor, change.cursor, b"x"),))

    changes = [insertion(shallow, 10.0 * index) for index in range(20)]
    changes += [insertion(deep, 1000 + 100.0 * index) for index in range(20)]
    session = keystrokes.Session("made up", lambda: iter(changes))
    assert keystrokes.part(session, 10)[0].cursor == shallow.cursor
    assert {change.cursor for change in keystrokes.part(session, 10, deep=True)} == {deep.cursor}
    assert keystrokes.part(keystrokes.Session("", lambda: iter(changes[:20])), 10, deep=True)[0].time_ms == 0


# Models -------------------------------------------------------------------------------------------------


def test_a_copy_with_fim_tokens_loads_and_is_the_same_model(tmp_path: Path) -> None:
    plain = write_tiny_gguf(tmp_path / "plain.gguf", markers=NO_FIM)
    assert model_files.fim_tokens(plain) == (-1, -1, -1)
    copy, made_up = model_files.with_fim_tokens(plain, tmp_path)
    assert made_up == ("<unused1>", "<unused0>", "<repo_name>")
    assert min(model_files.fim_tokens(copy)) >= 0
    assert model_files.with_fim_tokens(plain, tmp_path)[0] == copy, "it is written once"
    assert model_files.with_fim_tokens(copy, tmp_path) == (copy, ())
    backend = llama.load(ModelSpec(str(copy)), lambda _: True)
    try:
        assert backend.info.format.name == "declared"
        assert backend.info.format.markers == made_up[:1] + made_up[1:2] + made_up[2:]
    finally:
        backend.close()
    old, new = (gguf.GGUFReader(path).tensors for path in (plain, copy))
    assert [(tensor.name, tensor.data.tobytes()) for tensor in old] == [
        (tensor.name, tensor.data.tobytes()) for tensor in new
    ]


def test_a_model_with_fim_tokens_is_taken_as_it_is(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "qwen.gguf")
    assert model_files.with_fim_tokens(model, tmp_path) == (model, ())


def test_a_model_without_unused_tokens_is_refused_in_words(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "small.gguf", markers=("<|endoftext|>", "<|im_start|>", "<gh_stars>"))
    with pytest.raises(ModelError, match="no unused ones"):
        model_files.with_fim_tokens(model, tmp_path)


# Runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model without FIM tokens, and a file of repetitive code."""
    folder = tmp_path_factory.mktemp("bench")
    source = folder / "table.py"
    source.write_text(REPETITIVE, "utf-8")
    return write_tiny_gguf(folder / "tiny.gguf", markers=NO_FIM), source


def test_limit_measures_every_key_with_all_residents_in_use(typed: tuple[Path, Path], tmp_path: Path) -> None:
    model, source = typed
    out = tmp_path / "limit.json"
    options = ["limit", "--repetitive", str(source), "--model", str(model), "--limit", "12", "--tokens", "3"]
    assert main([*options, "--json", str(out)]) == 0
    result = json.loads(out.read_text("utf-8"))
    assert {"machine", "mode", "model", "settings", "tokens", "resident_tokens", "summary", "busy", "keys"} == set(
        result
    )
    assert len(result["resident_tokens"]) == ModelSpec("").sequences
    assert all(tokens > 100 for tokens in result["resident_tokens"])
    keys = result["keys"]["table.py"]
    assert len(keys) == 11, "the first key, whose prompt is cold, is left out"
    for one in keys:
        assert one["decoded_tokens"] == 3
        assert one["new_tokens"] <= min(1 + one["evaluated_tokens"], one["prompt_tokens"])
        assert one["floor_calls"] == (one["new_tokens"] > 0) + 2
        assert one["engine_ms"] > 0
        assert one["floor_ms"] > 0
    assert max(one["evaluated_tokens"] for one in keys) <= 6, "a key costs a token, and a few more for healing"
    assert result["summary"][0]["keys"] == 11


@pytest.mark.skipif(bool(llama_server.missing(None)), reason=llama_server.missing(None))
def test_peers_answer_the_same_keys_with_the_same_number_of_tokens(typed: tuple[Path, Path], tmp_path: Path) -> None:
    model, source = typed
    out = tmp_path / "peers.json"
    options = ["peers", "--repetitive", str(source), "--model", str(model), "--limit", "5", "--tokens", "3"]
    assert main([*options, "--forced-only", "--json", str(out)]) == 0
    result = json.loads(out.read_text("utf-8"))
    assert result["made_up_fim_tokens"] == ["<unused1>", "<unused0>", "<repo_name>"]
    (one,) = result["passes"]
    assert set(one["keys"]) == {"fimble", "llama.vim", "llama.vscode", "llama.vim, bare"}
    for answers in one["keys"].values():
        assert [answer["decoded_tokens"] for answer in answers] == [3] * 4
    evaluated = {name: found["evaluated_p50"] for name, found in one["arms"].items()}
    assert evaluated["fimble"] <= 2
    assert evaluated["llama.vim"] > 50


@pytest.mark.skipif(bool(llama_server.missing(None)), reason=llama_server.missing(None))
def test_what_was_measured_before_an_interruption_is_kept(
    typed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, source = typed
    out = tmp_path / "peers.json"
    given = llama_server.InfillArm.answer
    asked = count(1)

    async def answer(arm: llama_server.InfillArm, change: Change, tokens: int | None) -> Answer:
        if next(asked) == 4:
            raise KeyboardInterrupt
        return await given(arm, change, tokens)

    monkeypatch.setattr(llama_server.InfillArm, "answer", answer)
    options = ["peers", "--repetitive", str(source), "--model", str(model), "--limit", "9", "--tokens", "3"]
    assert main([*options, "--peer", "llama.vim", "--forced-only", "--json", str(out)]) == INTERRUPTED
    (one,) = json.loads(out.read_text("utf-8"))["passes"]
    assert {name: len(answers) for name, answers in one["keys"].items()} == {"fimble": 2, "llama.vim": 2}
    assert "interrupted after 2 keys" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["limit", "--repetitive", "nothing.py"], "nothing.py"),
        (["limit", "--repetitive", "{source}", "--tokens", "1"], "from 2 to 64"),
        (["peers", "--repetitive", "{source}", "--llama-server", "nowhere/llama-server"], "there is no nowhere"),
        (["peers", "--repetitive", "{source}", "--model", "nothing.gguf"], "nothing.gguf does not exist"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, typed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "peers" and "--llama-server" not in arguments and llama_server.missing(None):
        pytest.skip("without llama-server its absence is named first")
    assert main([argument.format(source=typed[1]) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bench:")]
    assert len(lines) == 1
    assert says in lines[0]
