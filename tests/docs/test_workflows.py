"""The workflows and the forms for issues: what they name is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.test_docs import check_fimble

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install --group docs")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_wait_for_jobs_that_there_are(path: Path) -> None:
    for job in jobs(path).values():
        needs = job.get("needs", [])
        assert {*([needs] if isinstance(needs, str) else needs)} <= set(jobs(path))
        assert "uses" not in job or (ROOT / job["uses"]).is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_steps_run_what_there_is(path: Path) -> None:
    for line in (line for job in jobs(path).values() for step in job.get("steps", ()) for line in _lines(step)):
        for script in re.findall(r"(?:^|\s)(\.ci/\w+(?:\.py)?)", line):
            assert (ROOT / script).is_file(), line
        assert set(re.findall(r"--group (\w+)", line)) <= set(GROUPS), line
        for command in re.findall(r"^fimble ([^|]+)", line):
            check_fimble(command.split())


def test_only_a_tag_publishes_and_only_what_was_installed_somewhere() -> None:
    release = jobs(ROOT / ".github/workflows/release.yml")
    waits = {name: job.get("needs") for name, job in release.items()}
    assert waits["install"] == "build"
    assert waits["build"] == "test"
    for name in ("pypi", "marketplaces"):
        assert waits[name] == "install"
        assert release[name]["if"] == "github.ref_type == 'tag'"
    may_write = [name for name, job in release.items() if "write" in job.get("permissions", {}).values()]
    assert may_write == ["build", "pypi", "github"]
    assert {job["runs-on"] for job in release.values() if "runs-on" in job} >= {"ubuntu-latest", "${{ matrix.os }}"}


def test_the_tests_run_on_three_systems() -> None:
    tests = jobs(ROOT / ".github/workflows/test.yml")
    elsewhere = tests["elsewhere"]["strategy"]["matrix"]["os"]
    assert (tests["linux"]["runs-on"], elsewhere) == ("ubuntu-latest", ["macos-latest", "windows-latest"])


def test_a_bug_comes_with_the_report_and_the_doctor() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text("utf-8"))
    wanted = {part["attributes"]["label"]: part.get("validations", {}) for part in form["body"]}
    for command in ("fimble report", "fimble doctor --json"):
        (needed,) = [needs for label, needs in wanted.items() if f"`{command}`" in label]
        assert needed["required"] is True
    for label in wanted:
        for command in re.findall(r"`fimble ([^`]+)`", label):
            check_fimble(command.split())


def _lines(step: dict[str, Any]) -> list[str]:
    return [line.strip() for line in step.get("run", "").splitlines()]
