"""When a next edit is shown, and when not."""

from __future__ import annotations

import pytest

from lsp_server.core.next_edits.gates import Rejected, delay_ms
from lsp_server.features.options import Eagerness
from tests.support.edited import Edited, proposed

RENAMED = "def f([-items-][+goods+]):\n    return items\n"


def test_nothing_is_proposed_when_off_or_before_any_edit() -> None:
    assert proposed(RENAMED, eagerness="off") is None
    assert proposed("def f(goods):\n    return items\n") is None


@pytest.mark.parametrize(("eagerness", "shown"), [("low", False), ("medium", True), ("high", True)])
def test_what_is_less_certain_takes_more_eagerness(eagerness: Eagerness, shown: bool) -> None:
    source = "import b\nimport c\n\nx = [-c-][+1+]\ny = b\n"  # `c` is not used any more
    assert (proposed(source, eagerness=eagerness) is not None) is shown


def test_what_was_rejected_is_not_proposed_again_wherever_it_has_moved() -> None:
    edited, rejected = Edited(f"import a\n\n\n{RENAMED}"), Rejected()
    edit = next(edited.proposals(rejected=rejected))
    rejected.add(edit)
    edited.edit(0, 0, "# a comment\n", 20.0)
    assert next(edited.proposals(rejected=rejected), None) is None
    assert next(edited.proposals(), None) is not None


def test_rejections_are_bounded() -> None:
    rejected = Rejected()
    for number in range(200):
        rejected.add(next(Edited(RENAMED.replace("goods", f"goods{number}")).proposals()))
    assert len(rejected) == 64


def test_the_last_change_is_not_undone() -> None:
    edited = Edited("log.info(1)\n\n[-log-][+logger+].info(2)\n\n[-log-][+logger+].info(3)\n")
    edited.accept(next(edited.proposals()))
    # The user takes two of them back: the third is not to follow, for it would undo what was changed last.
    for line in (4, 2):
        at = edited.document.line_start(line)
        edited.edit(at, at + 6, "log", 400.0 + line)
        edited.edit(at, at, "", 400.0 + line)
    assert all(edit.text != b"log" for edit in edited.proposals())


def test_white_space_and_the_order_of_imports_are_left_alone() -> None:
    assert proposed("f( a )[-\n-]\nx\nf( b )[-\n-]\ny\nf( c )\n\nz\n") is None
    assert proposed("x = f(1[- -])\n\ny = f(2[- -])\n\nz = f(3 )\n") is None


def test_it_waits_for_a_pause_in_the_typing() -> None:
    slow, fast = delay_ms([300.0] * 8, "low"), delay_ms([60.0] * 8, "low")
    assert 150 <= fast < slow <= 800
    assert delay_ms([100.0] * 8, "high") < delay_ms([100.0] * 8, "medium") < delay_ms([100.0] * 8, "low")
    assert delay_ms([], "low") == delay_ms([5000.0] * 8, "low")
