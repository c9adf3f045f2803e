"""Every rule finds what it is for, and leaves the safe form alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsp_server.core.danger import check as checking
from lsp_server.core.danger import search
from lsp_server.core.danger.check import check_range
from lsp_server.core.danger.rule import WEAKNESSES, Pattern
from lsp_server.core.danger.search import LANGUAGES, rules_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from tests.core.danger.cases import FILES, Case, cases

CASES = cases()


def document_of(case: Case) -> DocumentSnapshot:
    return DocumentSnapshot.of("file:///x", case.code.encode(), language_id=case.language)


def found_in(case: Case) -> set[str]:
    checked = check_range(document_of(case), 0, len(case.code.encode()))
    assert checked.whole
    return {each.id for each in checked.findings}


@pytest.mark.parametrize("case", [case for case in CASES if case.is_bad], ids=lambda case: case.id)
def test_a_weakness_is_found(case: Case) -> None:
    assert case.weakness in found_in(case)


@pytest.mark.parametrize("case", [case for case in CASES if not case.is_bad], ids=lambda case: case.id)
def test_the_safe_form_is_left_alone(case: Case) -> None:
    assert found_in(case) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rule_has_cases_of_both_kinds_and_all_that_the_user_is_told(language: str) -> None:
    rules = rules_of(language)
    assert rules is not None
    used = {pattern.weakness for pattern in rules.patterns}
    assert used == set(rules.safe) <= set(WEAKNESSES)
    id = next(id for id in FILES if find_language(id).name == language)
    for weakness in used if language != "C++" else ():
        kinds = {case.is_bad for case in CASES if case.language == id and case.weakness == weakness}
        assert kinds == {True, False}, f"{weakness} in {language}"
    for weakness, safe in rules.safe.items():
        assert safe
        assert not safe.endswith(".")
        assert WEAKNESSES[weakness].cwe > 0
        assert WEAKNESSES[weakness].sentence


ROWS = [
    pytest.param(id, index, id=f"{id}-{index}-{pattern.weakness}")
    for id in ("python", "javascript", "go", "java", "c", "php", "ruby", "rust")
    for index, pattern in enumerate(getattr(rules_of(find_language(id).name), "patterns", ()))
]


@pytest.mark.parametrize(("language", "index"), ROWS)
def test_no_pattern_is_idle(language: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, each pattern finds one of the cases of its weakness."""
    rules = rules_of(find_language(language).name)
    assert rules is not None
    pattern: Pattern = rules.patterns[index]
    alone = replace(rules, patterns=(pattern,))
    for module in (search, checking):
        monkeypatch.setattr(module, "rules_of", lambda name: alone)
    ids = [
        id for id in FILES if find_language(id).name in (find_language(language).name, "C++" if language == "c" else "")
    ]
    bad = [case for case in CASES if case.language in ids and case.is_bad and case.weakness == pattern.weakness]
    assert any(found_in(case) for case in bad)


def test_a_finding_says_what_is_wrong_and_what_to_write() -> None:
    code = b"import os\ndef remove(path):\n    x = 1\n    os.system('rm ' + path)\n"
    document = DocumentSnapshot.of("file:///x.py", code, language_id="python")
    (finding,) = check_range(document, 0, len(code)).findings
    assert finding.cwe == 78
    assert code[finding.start : finding.end] == b"os.system('rm ' + path)"
    assert finding.statement == code.index(b"os.system")
    assert "CWE-78" in finding.in_words()
    assert "subprocess.run" in finding.in_words()
