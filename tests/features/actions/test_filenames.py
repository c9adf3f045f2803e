"""Where an action may make a file: plain code and text only, under a name that means the same on every system."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.features.actions.catalogue import ActionError, user_action
from lsp_server.features.actions.generated_tests.place import PlaceError
from lsp_server.features.actions.generated_tests.places import new_file


def words(text: str) -> list[str]:
    return text.split()


# What a tool, an editor, a shell or a system runs, or what tells an assistant what to run.
RUN = words("""
.vscode/tasks.json .vscode/a.md .VSCODE/x.py sub/.vscode/x.py tasks.json launch.json .envrc .envrc.py .github/workflows/ci.yml
.github/actions/a/action.yml action.yaml .husky/pre-commit .husky/a.sh .git/hooks/post-commit .gitattributes .gitconfig
.bashrc .profile .npmrc .yarnrc.yml .pre-commit-config.yaml .devcontainer/devcontainer.json devcontainer.json .circleci/config.yml
.gitlab-ci.yml .exrc .nvim.lua .vimrc .dir-locals.el .idea/workspace.xml .helix/config.toml .zed/tasks.json .cursor/rules.md
.ssh/config .config/autostart/a.desktop Makefile makefile GNUmakefile Jenkinsfile Dockerfile Vagrantfile Procfile Justfile
CMakeLists.txt package.json Package.JSON composer.json setup.py conftest.py tests/conftest.py sitecustomize.py noxfile.py
pyproject.toml Cargo.toml build.rs pom.xml build.gradle build.gradle.kts settings.gradle.kts build.sbt mix.exs a.gemspec
gulpfile.js Gruntfile.js webpack.config.js vite.config.ts jest.config.mjs babel.config.cjs jest.setup.ts karma.conf.js
docker-compose.yml compose.prod.yaml azure-pipelines.yml requirements.txt requirements-dev.txt fimble.toml tsconfig.json
a.bat a.cmd a.exe a.com a.vbs a.lnk a.url a.desktop a.pth a.plist a.service a.command a.reg a.hta autorun.inf desktop.ini
node_modules/x/index.js venv/a.py lib/site-packages/a.py AGENTS.md CLAUDE.md copilot-instructions.md __init__.py pkg/__main__.py
""")

# What is not on every system what it shows.
SPECIAL = [
    *words(
        "CON con.txt Aux.py nul.md COM1.py lpt9.txt com¹.md CONIN$.py prn.a.md a.py:x a.py::$DATA .git./config GIT~1/config"
    ),
    *words(
        "PROGRA~1/a.py ~/a.py ~root/a.py -rf.py --help.md $RECYCLE.BIN/a.py a*.py a?.py a<b>.py a|b.py a\\b.py ..\\..\\a.py"
    ),
    *[
        "a.py ",
        " a.py",
        "a.py.",
        "sub./a.py",
        "sub /a.py",
        "a\n.py",
        "a\r.py",
        "a\tb.py",
        "a\x1b[31m.py",
        "a\x00.py",
        "a\x7f.py",
    ],
    *[
        "a\u202eyp.py",
        "a\u200b.py",
        ".g\u200cit/a.py",
        "a\u2028.py",
        "a\ufeff.py",
        "a\u00a0b.py",
        "\uff0egit/a.py",
        "a\u115f.py",
    ],
    *["a\ufe0f.py", "\uff43\uff4f\uff4e.py", 'a"b.py', "x" * 250 + ".py", "/".join(["x" * 90] * 20) + "/a.py"],
    *["\ud800.py", "a\ue000.py", "a", "", ".", "sub/"],
]

PLAIN = words("""
shop_notes.md notes/shop.md shop.test.ts test_shop.py shop_test.go ShopTest.java shop.spec.js größe.py 店.py a-b_c.d.py schema.sql
shop.sh shop.json shop.yaml shop.toml index.html styles.css shop.txt docs/shop.rst data.csv my_setup.py package_notes.md
command.py console.py auxiliary.md community.txt github/a.md git/a.py sub/build_report.md
""")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root" / "shop.py"


@pytest.mark.parametrize("name", [*RUN, *SPECIAL], ids=ascii)
def test_no_file_that_something_runs_or_that_is_special(document: Path, name: str) -> None:
    with pytest.raises(PlaceError) as caught:
        new_file(document.parent, document, name)
    assert str(caught.value).isprintable()
    if name.strip("./") and "\ud800" not in name:
        with pytest.raises(ActionError):
            user_action("a", {"prompt": "x", "result": "new_file", "file": name})


@pytest.mark.parametrize("name", PLAIN)
def test_plain_code_and_text_may_be_made(document: Path, name: str) -> None:
    assert new_file(document.parent, document, name) == document.parent / name
    user_action("a", {"prompt": "x", "result": "new_file", "file": name})


@pytest.mark.parametrize("folder", [".github/workflows", ".vscode", "node_modules/x", ".git"])
def test_beside_a_document_in_a_folder_of_tools(document: Path, folder: str) -> None:
    inside = document.parent / folder / "ci.yml"
    inside.parent.mkdir(parents=True)
    with pytest.raises(PlaceError):
        new_file(document.parent, inside, "x.yml")
    with pytest.raises(PlaceError):
        new_file(document.parent, inside, "../x.yml") if folder.count("/") else new_file(
            inside.parent.parent, inside, "x.md"
        )


def test_a_link_to_a_folder_of_tools(document: Path) -> None:
    (document.parent / ".vscode").mkdir()
    (document.parent / "docs").symlink_to(".vscode")
    with pytest.raises(PlaceError):
        new_file(document.parent, document, "docs/a.json")


def test_outside_the_workspace(document: Path) -> None:
    for name in ("../a.md", "/etc/a.md", "sub/../../a.md"):
        with pytest.raises(PlaceError):
            new_file(document.parent, document, name)


@pytest.mark.parametrize(("file", "name"), [("shop.exs", "shop_test.exs"), ("shop.zig", "shop_test.zig")])
def test_code_of_a_language_that_is_not_known_has_the_documents_ending(document: Path, file: str, name: str) -> None:
    assert new_file(document.parent, document.with_name(file), name)
    with pytest.raises(PlaceError):
        new_file(document.parent, document, name)


def test_a_workspace_may_lie_in_a_hidden_folder(tmp_path: Path) -> None:
    root = tmp_path / ".config" / "nvim"
    root.mkdir(parents=True)
    assert new_file(root, root / "a.lua", "a_notes.md")
