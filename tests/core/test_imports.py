"""Import statements at the top of a file that the parser does not understand as a whole."""

from __future__ import annotations

from lsp_server.core.imports import import_lines
from lsp_server.core.languages import find_language

BROKEN = b"""\
from .prices import sums_of
class Shop(Base):
        is given as ``None``, no limit is set for the sum at any level.
        Each sum defaults to the :data:`MOST_PRICES` setting, which
"""


def test_imports_are_found_in_front_of_what_is_no_code() -> None:
    """Files are parsed in parts. A part that ends inside a docstring can be one error for the parser."""
    assert import_lines(find_language("python"), BROKEN) == (b"from .prices import sums_of",)
