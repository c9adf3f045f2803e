"""The calls of a function, in the order in which a change of its header is carried to them."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits import calls
from lsp_server.core.next_edits.calls import calls_of


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("x = 1\n" * 20, id="that does not name it"),
        pytest.param("area = area\n" * 10, id="with too many places"),
    ],
)
def test_in_a_document_after_one_without_calls_the_first_call_comes_first(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(calls, "_MOST_PLACES", 10)
    texts = first, "area(1)\n" * 10
    documents = [
        DocumentSnapshot.of(f"file:///{number}.py", text.encode(), path=f"{number}.py")
        for number, text in enumerate(texts)
    ]
    ((document, found),) = calls_of(b"area", documents, 30, methods=False)
    assert document is documents[1]
    assert [call.start for call in found] == [8 * number for number in range(10)]
