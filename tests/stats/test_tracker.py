"""Scripted sessions whose truth is known: what was shown, accepted, typed, dismissed and kept is what is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsp_server.stats.kept import Change, kept_characters
from tests.stats.typist import HERE, URI, Typist

SUGGESTED = "eturn foo(bar)"


def whole(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    return {"accepted": 1, "accepted_whole": 1, "accepted_characters": 14, "kept_30": 14, "kept_300": 14}


def whole_after_some_keys(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.type("eturn ")
    user.accept()
    return {"accepted": 1, "accepted_whole": 1, "accepted_characters": 8, "agreed_characters": 6, "kept_300": 8}


def by_words(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept("eturn")
    user.accept(" foo")
    user.type(" + 1")
    return {"accepted": 1, "accepted_words": 2, "accepted_characters": 9, "kept_30": 9, "kept_300": 9}


def by_lines(user: Typist) -> dict[str, int]:
    user.offer("eturn foo\n\n\ndef bar():\n    pass")
    user.accept("eturn foo")
    user.accept("\n\n\ndef bar():")
    user.accept("\n    pass")
    return {"accepted": 1, "accepted_lines": 2, "accepted_whole": 1, "accepted_characters": 31, "kept_300": 31}


def typed_to_the_end(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.type(SUGGESTED)
    return {"typed_through": 1, "agreed_characters": 14, "keys": 14, "typed": 14}


def dismissed_by_another_key(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.type("x")
    return {"dismissed": 1, "keys": 1, "wasted_tokens": 5}


def dismissed_after_some_keys(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.type("etx")
    return {"dismissed": 1, "agreed_characters": 2, "keys": 3, "typed": 3}


def dismissed_by_nothing(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.wait(2)
    user.nothing()
    return {"dismissed": 1, "wasted_tokens": 5}


def overtaken_before_it_was_drawn(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.edit(user.cursor, user.cursor, "x", seconds=0.005)
    return {"shown_guessed": 0, "dismissed": 0, "wasted_tokens": 5}


def undone_at_once(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    user.backspace(14)
    return {"accepted": 1, "undone": 1, "due_30": 14, "kept_30": 0, "kept_300": 0}


def undone_and_done_again(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    user.backspace(14)
    user.edit(user.cursor, user.cursor, SUGGESTED)
    return {"accepted": 1, "undone": 0, "accepted_characters": 14, "kept_300": 14}


def deleted_after_a_minute(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    user.wait(60)
    user.backspace(5)
    return {"kept_30": 14, "kept_300": 9}


def saved_and_changed_then(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    user.backspace(1)
    user.tracker.saved(URI, user.time)
    user.backspace(4)
    user.tracker.saved(URI, user.time)
    return {"due_save": 14, "kept_save": 13, "kept_30": 9}


def a_name_in_it_is_changed(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    at = user.text.index(b"foo")
    user.edit(at, at + 3, "qux")
    user.edit(at + 4, at + 7, "pin")
    return {"due_300": 14, "kept_300": 8}


def another_line_is_written_above(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.accept()
    for _ in range(20):
        user.edit(0, 0, "import os\n")
    at = user.text.index(b"bar)")
    user.edit(at, at + 4, "")
    return {"kept_300": 10}


def behind_a_bracket_that_stays(user: Typist) -> dict[str, int]:
    user.edit(user.cursor, user.cursor, ")", cursor=user.cursor)
    user.offer("foo)", ")")
    user.accept(over=")")
    return {"accepted": 1, "accepted_whole": 1, "accepted_characters": 3, "kept_300": 3}


def over_brackets_that_it_holds(user: Typist) -> dict[str, int]:
    user.edit(user.cursor, user.cursor, ")", cursor=user.cursor)
    user.offer("foo) + 1", ")")
    user.accept(over=")")
    return {"accepted": 1, "accepted_characters": 7, "kept_300": 7}


def brackets_closed_by_the_editor(user: Typist) -> dict[str, int]:
    user.offer("(bar)")
    user.edit(user.cursor, user.cursor, "()", cursor=user.cursor + 1)
    user.wanted = "bar)"
    user.offer("bar)", ")")
    user.type("b")
    user.wanted = "ar)"
    user.offer("ar)", ")")
    user.accept(over=")")
    return {"suggestions": 1, "accepted": 1, "accepted_characters": 2, "agreed_characters": 2}


def enter_with_indentation(user: Typist) -> dict[str, int]:
    user.offer("\n    pass")
    user.edit(user.cursor, user.cursor, "\n    ")
    user.wanted = "pass"
    user.offer("pass")
    user.type("pass")
    return {"accepted": 0, "typed_through": 1, "agreed_characters": 9}


def backspace_into_it(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED)
    user.type("eturn")
    user.backspace(3)
    user.offer("urn foo(bar)")
    user.accept()
    return {"suggestions": 1, "accepted_characters": 12, "agreed_characters": 2}


def the_second_of_three(user: Typist) -> dict[str, int]:
    user.offer(SUGGESTED, "", "aise ValueError", "aise KeyError")
    user.accept("aise ValueError")
    return {"accepted": 1, "accepted_whole": 1, "accepted_characters": 15}


def characters_of_several_bytes(user: Typist) -> dict[str, int]:
    user.offer("größe = '😀'")
    user.accept()
    user.edit(user.cursor - 5, user.cursor, "")
    return {"accepted_characters": 11, "kept_300": 9}


SESSIONS = [
    whole, whole_after_some_keys, by_words, by_lines, typed_to_the_end, dismissed_by_another_key,
    dismissed_after_some_keys, dismissed_by_nothing, overtaken_before_it_was_drawn, undone_at_once,
    undone_and_done_again, deleted_after_a_minute, saved_and_changed_then, a_name_in_it_is_changed,
    another_line_is_written_above, behind_a_bracket_that_stays, over_brackets_that_it_holds,
    brackets_closed_by_the_editor, enter_with_indentation, backspace_into_it, the_second_of_three,
    characters_of_several_bytes,
]  # fmt: skip


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("text", ["r$0", "def f():\n    r$0\n\nx = 1\n"], ids=["at the end", "in the middle"])
def test_what_is_counted_is_what_happened(session: Callable[[Typist], dict[str, int]], text: str) -> None:
    user = Typist(text)
    truth = {"suggestions": 1, "shown_guessed": 1} | session(user)
    found = user.counts()
    assert {name: found.get(name, 0) for name in truth} == truth
    ends = sum(found.get(name, 0) for name in ("accepted", "typed_through", "dismissed"))
    assert ends == truth["shown_guessed"], "whatever was shown has one end"


@pytest.mark.parametrize("before", [True, False], ids=["before the change", "after the change"])
def test_a_client_that_tells_of_acceptances_is_believed(before: bool) -> None:
    """The last character of a suggestion may be typed or accepted: only the client knows."""
    user = Typist("x$0")
    user.offer(")")
    if before:
        user.tracker.reported_accepted(user.id, user.time)
    user.accept()
    if not before:
        user.tracker.reported_accepted(user.id, user.time + 0.01)
    found = user.counts()
    assert (found["accepted"], found["accepted_whole"], found["kept_300"]) == (1, 1, 1)
    assert not {"typed_through", "agreed_characters", "keys", "typed"} & set(found)


def test_a_client_that_is_believed_is_not_counted_twice() -> None:
    user = Typist("r$0")
    user.offer(SUGGESTED)
    user.accept()
    user.tracker.reported_accepted(user.id, user.time + 0.01)
    user.tracker.reported_accepted(user.id, user.time + 0.02)
    found = user.counts()
    assert (found["accepted"], found["accepted_whole"], found["accepted_characters"]) == (1, 1, 14)


def test_what_a_client_accepts_in_another_form_is_accepted_all_the_same() -> None:
    """An editor that indents what it puts in."""
    user = Typist("r$0")
    user.offer("eturn [\n1]")
    user.edit(user.cursor, user.cursor, "eturn [\n        1]")
    user.tracker.reported_accepted(user.id, user.time + 0.01)
    found = user.counts()
    assert (found["accepted"], found.get("dismissed", 0), found["kept_300"]) == (1, 0, 18)


@pytest.mark.parametrize("before", [True, False], ids=["before the change", "after the change"])
def test_parts_that_a_client_tells_of(before: bool) -> None:
    user = Typist("r$0")
    user.offer(SUGGESTED)
    user.type("e")
    user.asks = False
    for part, units in (("turn", 4), (" ", 5)):
        if before:
            user.tracker.reported_accepted_part(user.id, user.time, units)
        user.accept(part)
        if not before:
            user.tracker.reported_accepted_part(user.id, user.time + 0.01, units)
    user.edit(user.cursor, user.cursor, "foo")  # keys that came together: the client would have told of a part
    found = user.counts()
    assert (found["accepted_words"], found["accepted_characters"], found["agreed_characters"]) == (2, 5, 4)
    assert (found["keys"], found["typed"]) == (2, 4)


def test_a_client_that_tells_what_it_shows_is_not_guessed_about() -> None:
    user = Typist("r$0", asks=False)
    user.offer(SUGGESTED)
    user.tracker.reported_shown(user.id)
    user.tracker.reported_shown(user.id)
    user.type("x")
    user.offer("never drawn")
    user.type("y")
    user.offer("yes")
    user.type("y")
    user.tracker.reported_shown(user.id)
    found = user.counts()
    assert (found["shown_told"], found.get("shown_guessed", 0), found["dismissed"]) == (2, 0, 2)


def test_keys_without_suggestions_are_counted_and_pasted_text_is_not() -> None:
    user = Typist("$0")
    user.type("ab")
    user.edit(user.cursor, user.cursor, "pasted text")
    user.edit(user.cursor, user.cursor, "()")
    assert user.counts() == {"keys": 3, "typed": 4}


def test_a_closed_document_is_not_looked_at_any_more() -> None:
    user = Typist("r$0")
    user.offer(SUGGESTED)
    user.accept()
    user.wait(31)
    user.tracker.closed(URI, user.time)
    found = user.counts()
    assert (found["due_30"], found.get("due_300", 0)) == (14, 0)
    user.tracker.changed(URI, [Change(0, 0, b"x")], HERE, user.time)
    assert user.tracker.next_look() is None


@pytest.mark.parametrize(
    ("accepted", "now", "kept"),
    [
        ("return foo", "return foo", 10),
        ("return foo", "", 0),
        ("return foo", "return food", 10),
        ("a = f(x)\nb = g(y)\n", "a = ff(x)\nb = gg(y, z)\n", 18),
        ("a = f(x)\nb = g(y)\n", "a = f(xb = g(y)\n", 16),
        ("abcdefgh", "hgfedcba", 0),
        ("x" * 3000 + " y", "x" * 3000 + " z", 3001),
        ("\n".join(f"line {n}" for n in range(300)), "\n".join(f"line {n}" for n in range(300) if n != 7), 2582),
    ],
)
def test_how_much_is_kept(accepted: str, now: str, kept: int) -> None:
    assert kept_characters(accepted, now) == kept
