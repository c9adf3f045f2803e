"""An edit that uses names which are defined nowhere: the model is asked once more, and then they are listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.actions.test_dangers import act
from tests.features.actions.test_runner import opened

SOURCE = "def total(prices):$0\n    found = 0\n    for price in prices:\n        found += price\n    return found\n"
GOOD = f"```python\n{SOURCE.replace('$0', chr(10) + '    if not prices:' + chr(10) + '        return 0')}```"
BAD = GOOD.replace("if not prices", "if not is_valid(prices)")


async def test_the_model_is_asked_once_more_for_what_keeps_the_code(tmp_path: Path) -> None:
    async with opened(tmp_path, ("is_valid, which are defined nowhere", GOOD), ("", BAD)) as bench:
        outcome = await act(bench, SOURCE, "errors")
        assert "is_valid" not in str(outcome.edits)
        assert outcome.note == ""


@pytest.mark.parametrize("second", [BAD, "no code"], ids=["the same", "nothing"])
async def test_what_it_still_uses_is_listed(tmp_path: Path, second: str) -> None:
    async with opened(tmp_path, ("which are defined nowhere", second), ("", BAD)) as bench:
        outcome = await act(bench, SOURCE, "errors")
        assert outcome.note == "unknown names: is_valid"
