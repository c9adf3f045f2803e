"""The arguments of the commands for code actions: an action, a place and its diagnostics. Finds the offer they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import Action
from lsp_server.features.actions.offers import Offer, offers, subject_at
from lsp_server.features.actions.subject import Problem
from lsp_server.lsp import convert


class Position(msgspec.Struct):
    line: int
    character: int


class Range(msgspec.Struct):
    start: Position
    end: Position


class Diagnostic(msgspec.Struct):
    range: Range
    message: str = ""
    source: str | None = None
    code: int | str | None = None


class Arguments(msgspec.Struct):
    """The argument of the command `fimble.action`, which a user's key binding may send too. version: the version of the
    document that the range belongs to; None: any version."""

    action: str
    uri: str
    range: Range
    version: int | None = None
    diagnostics: list[Diagnostic] = msgspec.field(default_factory=list)
    instruction: str = ""


def position_of(position: types.Position) -> Position:
    return Position(position.line, position.character)


def diagnostic_of(diagnostic: types.Diagnostic) -> Diagnostic:
    where = Range(position_of(diagnostic.range.start), position_of(diagnostic.range.end))
    return Diagnostic(where, str(diagnostic.message)[:2000], diagnostic.source, diagnostic.code)


def offsets(document: DocumentSnapshot, where: Range, encoding: Any) -> tuple[int, int]:
    """The start and end offsets of a range. Raises PositionError."""
    ends = [types.Position(each.line, each.character) for each in (where.start, where.end)]
    start, end = (convert.offset_of(document, each, encoding) for each in ends)
    return min(start, end), max(start, end)


def problems_of(document: DocumentSnapshot, given: Sequence[Diagnostic], encoding: Any) -> list[Problem]:
    """The diagnostics as problems. Leaves out those beyond the document's end, which belong to another version of
    it."""
    found: list[Problem] = []
    for each in given:
        try:
            start, end = offsets(document, each.range, encoding)
        except convert.PositionError:
            continue
        found.append(Problem(start, end, each.message, each.source or "", str(each.code or "")))
    return found


def offer_at(
    document: DocumentSnapshot, start: int, end: int, action: Action, instruction: str, problems: Sequence[Problem]
) -> Offer | None:
    """The offer that a command is about; None if the action does not apply at that range. May parse the whole
    document."""
    if instruction:
        subject = subject_at(document, start, end)
        if subject is not None:
            return Offer(action, subject, instruction[:60], instruction)
    return next(iter(offers(document, start, end, problems, {action.id: action})), None)
