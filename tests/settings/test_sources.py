"""Files of settings that a stranger has written: what is wrong is one line, and the other settings hold."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import BUILT_IN, catalogue
from lsp_server.features.actions.offers import offers
from lsp_server.models import lock
from lsp_server.settings import sources, toml, trust
from lsp_server.settings.fields import Settings
from tests.support.effort import scaled


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file; the workspace is `tmp_path / "w"`."""
    (tmp_path / "w").mkdir()
    monkeypatch.setattr(sources, "user_config_path", lambda _: tmp_path)
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    (tmp_path / "fimble.toml").write_text("max_tokens = 7\n")
    return tmp_path / "fimble.toml"


@pytest.fixture
def workspace(own: Path) -> Path:
    return own.parent / "w"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model = "~nosuchuser/x.gguf"', "`model`"),
        ('model = "~nosuch\\u0000user/x.gguf"', "`model`"),
        ('model = "a\\u0000b"', "no model called"),
        (f'model = "{"x" * 5000}"', "cannot be used"),
        (f"actions = {'[' * 5000}{']' * 5000}", "nested more than"),
        (f"actions = [{'[1], [2, [3]], {a = [4]}, ' * 50}{'[' * 40}{']' * 40}]", "nested more than"),
        ("a" + ".a" * 20_000 + " = 1", "more than 32 parts"),
        ("[" + ' "x" .' * 5_000 + "a]", "more than 32 parts"),
        ('a = ["""x"""", {' + "b." * 10_000 + 'c = 1}, "y"]', "more than 32 parts"),
        ("a = ['''x''''', {" + "b." * 10_000 + "c = 1}, 'y']", "more than 32 parts"),
        ("# " + "x" * (1 << 20), "larger than 64 KB"),
        ("x = [\n" + '"x", ' * 20_000 + "]", "larger than 64 KB"),
        ("x = '\x1b]0;title\x07'", "not valid TOML"),
        ("/dev/zero", "is not a file"),
        ("[actions.explain]\nprompt = 'x'", "action `explain`"),
        ("prettier = true", "`prettier`"),
    ],
    ids=lambda value: value[:20],
)
def test_a_workspaces_file_spoils_nothing(workspace: Path, text: str, message: str) -> None:
    file = workspace / "fimble.toml"
    if text.startswith("/dev"):
        file.symlink_to(text)
    else:
        file.write_text(text)
    settings, problems = sources.load([workspace], [sources.Source("the editor", {"max_lines": 3})])
    (problem,) = problems
    assert message in problem
    assert str(file) in problem
    assert problem.isprintable()
    assert settings == Settings(max_tokens=7, max_lines=3)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(workspace: Path) -> None:
    os.mkfifo(workspace / "fimble.toml")
    settings, (problem,) = sources.load([workspace])
    assert "is not a file" in problem
    assert settings.max_tokens == 7


def test_whatever_a_file_holds_it_is_read_or_refused_with_a_word(workspace: Path) -> None:
    """Texts that end nowhere, quotes in texts, and repeated pieces of the syntax."""
    rng = random.Random(4)
    pieces = ['"', "'", '"""', "'''", "\\", "[", "]", "{", "}", ".", "=", "\n", " ", "#", "a", "a.", "a=1\n", "[a]\n"]
    pieces += ["[[a]]\n", "a.b=1\n", '\\"""', "é", "1" * 50, "1.", "1979-05-27T07:32:00Z", "inf", "_1", ","]
    for round in range(scaled(60)):
        chosen = rng.sample(pieces, rng.randint(1, 3)) if round % 2 else pieces
        count = rng.randint(1, 30_000)
        text = "".join(rng.choices(chosen, k=count)) if round % 3 else "".join(chosen) * count
        (workspace / "fimble.toml").write_text(text[: toml.MOST_BYTES // 2], "utf-8")
        values, problem = toml.read(workspace / "fimble.toml")
        assert (values is None) == bool(problem)


def test_dots_and_brackets_in_texts_and_comments_do_not_count(workspace: Path) -> None:
    prompt = "a." * 100 + "[" * 100
    (workspace / "fimble.toml").write_text(
        f'# {prompt}\n[actions.mine] # {prompt}\nprompt = """{prompt}\\""""""\ntitle = \'{prompt[:90]}\'\n'
    )
    settings, problems = sources.load([workspace])
    assert not problems
    assert settings.actions["mine"]["prompt"].startswith(prompt)


def test_a_thousand_mistakes_are_counted(workspace: Path) -> None:
    (workspace / "fimble.toml").write_text("".join(f"mistake_{number} = 1\n" for number in range(1000)))
    _, problems = sources.load([workspace])
    assert len(problems) <= 21
    assert problems[-1] == f"980 more mistakes in {workspace / 'fimble.toml'}"


def test_a_folder_that_cannot_be_is_one_problem(own: Path) -> None:
    settings, problems = sources.load([Path("/a\0b")])
    assert settings.max_tokens == 7
    assert len(problems) <= 1


def test_the_user_may_do_both(own: Path) -> None:
    own.write_text("prettier = true\n[actions.explain]\nprompt = 'x'\n")
    settings, problems = sources.load([own.parent / "w"])
    assert not problems
    assert settings.action_options().prettier
    assert set(settings.actions) == {"explain"}
    assert sources.load([], [sources.Source("the editor", {"prettier": True})])[0].prettier


# Models ---------------------------------------------------------------------------------------------------

NAMED = {"model": "{}", "chat_model": "{}", "draft_model": "{}", "lora": ["{}"]}


def written(key: str, name: str) -> str:
    return f"{key} = {json.dumps([name] if key == 'lora' else name)}\n"


def value(settings: Settings, key: str) -> str:
    found = getattr(settings, key)
    return found[0] if key == "lora" and found else found or ""


@pytest.fixture
def installed(own: Path) -> Path:
    """A model that was pulled, and one of Ollama's that was imported."""
    path = lock.models_folder() / "someone/a-GGUF/a-q4.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    lock.add(lock.Pin("someone/a-GGUF/a-q4.gguf", 4, "0" * 64, "someone/a-GGUF@main"))
    lock.add(lock.Pin("/elsewhere/blobs/sha256-1", 4, "1" * 64, "Ollama: qwen:7b"))
    return path


FILES = ["/etc/x.gguf", "x.gguf", "./x.gguf", "sub/x.gguf", "../w/x.gguf", "~/x.gguf", "C:\\x.gguf", "\\\\host\\x.gguf"]


@pytest.mark.parametrize("key", NAMED)
@pytest.mark.parametrize("name", FILES)
def test_a_workspace_names_no_file_unless_it_is_trusted(workspace: Path, key: str, name: str) -> None:
    file = workspace / "fimble.toml"
    for path in (workspace / "x.gguf", workspace / "sub/x.gguf"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"GGUF")
    file.write_text(written(key, name) + "max_lines = 3\n")
    found = sources.collect([workspace])
    assert (value(found.settings, key), found.settings.max_lines) == ("", 3)
    (refusal,) = found.refusals
    assert (refusal.folder, refusal.names, refusal.declined, found.problems) == (workspace, (key,), False, [])
    assert f"fimble trust {workspace}" in refusal.message
    assert key not in found.origins
    trust.remember(workspace, False)
    assert sources.collect([workspace]).refusals[0].declined
    trust.remember(workspace, True)
    found = sources.collect([workspace])
    assert not found.refusals
    assert value(found.settings, key) == str(workspace / Path(name).expanduser())
    assert found.origins[key] == str(file)


@pytest.mark.parametrize("key", NAMED)
@pytest.mark.parametrize("name", ["a-q4.gguf", "someone/a-GGUF", "someone/a-GGUF/a-q4.gguf"])
def test_a_workspace_and_the_user_name_installed_models(
    own: Path, workspace: Path, installed: Path, key: str, name: str
) -> None:
    for file in (own, workspace / "fimble.toml"):
        file.write_text(written(key, name))
        found = sources.collect([workspace])
        assert (value(found.settings, key), found.problems, found.refusals) == (str(installed), [], [])
        file.write_text("")
    (workspace / "fimble.toml").write_text(written(key, "Ollama: qwen:7b"))
    assert value(sources.load([workspace])[0], key) == "/elsewhere/blobs/sha256-1"
    (workspace / "fimble.toml").write_text(written(key, "qwen:70b"))
    found = sources.collect([workspace])
    assert not found.refusals
    assert "no model called" in found.problems[0]


def test_a_scale_stays_beside_an_installed_adapter(workspace: Path, installed: Path) -> None:
    (workspace / "fimble.toml").write_text('lora = ["a-q4.gguf:0.5"]\n')
    (adapter,) = sources.load([workspace])[0].model_spec().adapters
    assert (adapter.path, adapter.scale) == (str(installed), 0.5)


def test_trust_is_for_one_folder_however_it_is_spelt_and_nobody_elses(workspace: Path) -> None:
    (workspace / "fimble.toml").write_text('model = "x.gguf"\n')
    (workspace / "inner").mkdir()
    (workspace / "inner" / "fimble.toml").write_text('model = "x.gguf"\n')
    link = workspace.parent / "link"
    link.symlink_to(workspace)
    trust.remember(link, True)
    assert not sources.collect([workspace]).refusals
    assert sources.collect([workspace / "inner"]).refusals
    assert trust.state_path().stat().st_mode & 0o077 == 0
    for content in ("", "[]", '{"folders": 3}', '{"folders": {"/": "yes"}}', "[" * 100_000):
        trust.state_path().write_text(content)
        assert sources.collect([workspace]).refusals


def test_a_workspace_that_is_the_users_own_folder_is_the_users(own: Path) -> None:
    own.write_text('model = "x.gguf"\n')
    found = sources.collect([own.parent])
    assert not found.refusals
    assert found.settings.model == str(own.parent / "x.gguf")


# Actions --------------------------------------------------------------------------------------------------

GOOD = 'prompt = "Add logging."\n'


@pytest.mark.parametrize(
    "text",
    [
        'title = "Explain {target}"',
        'title = "ｅｘｐｌａｉｎ {TARGET}"',
        'title = "Fix {target}."',
        f'title = "{"x" * 200}"',
        'title = "Add \\u202egniggol"',
        'title = "Add\\nlogging"',
        'kind = "source.fixAll"',
        'kind = "source.organizeImports"',
        'kind = "refactorx"',
        'kind = ""\nlanguages = ["a\\u0007"]',
        f"languages = {json.dumps(['x'] * 500)}",
        'result = "new_file"\nfile = ".vscode/tasks.json"',
        'result = "new_file"\nfile = "{stem}.bat"',
    ],
)
def test_an_action_of_a_workspace_that_is_not_what_it_seems(workspace: Path, text: str) -> None:
    (workspace / "fimble.toml").write_text(f"[actions.log]\n{GOOD}{text}\n[actions.good]\n{GOOD}")
    settings, (problem,) = sources.load([workspace])
    assert "action `log`" in problem
    assert str(workspace / "fimble.toml") in problem
    assert problem.isprintable()
    assert set(settings.actions) == {"good"}


def test_actions_of_a_workspace_stand_beside_the_users_and_are_marked(own: Path, workspace: Path) -> None:
    own.write_text(f'[actions.mine]\ntitle = "Mine"\n{GOOD}')
    (workspace / "fimble.toml").write_text(f'[actions.mine]\n{GOOD}[actions.theirs]\ntitle = "Log {{target}}"\n{GOOD}')
    settings, (problem,) = sources.load([workspace])
    assert "action `mine`" in problem
    titles = {id: action.title for id, action in catalogue(settings.actions)[0].items()}
    assert (titles["mine"], titles["theirs"]) == ("Mine", "(workspace) Log {target}")


def test_a_menu_has_a_bounded_number_of_actions(own: Path, workspace: Path) -> None:
    for file in (own, workspace / "fimble.toml"):
        file.write_text("".join(f"[actions.a{number}]\nprompt='x'\n" for number in range(1500)))
        settings, problems = sources.load([workspace])
        actions, wrong = catalogue(settings.actions)
        (problem,) = problems + wrong
        assert problem.startswith("1500 actions")
        document = DocumentSnapshot.of("file:///a.py", b"def f():\n    pass\n", path="a.py", language_id="python")
        assert len(offers(document, 0, 0, [], actions)) <= 64 + len(BUILT_IN)
        file.write_text("")
