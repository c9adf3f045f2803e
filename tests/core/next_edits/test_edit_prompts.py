"""What models are asked for the next edit, in each format, and what their answers make of the window."""

from __future__ import annotations

from typing import get_args

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.by_model.answers import has_ended, new_window
from lsp_server.core.next_edits.by_model.formats import (
    EDIT_FORMATS,
    EditFormat,
    edit_format_by_name,
    find_edit_format,
)
from lsp_server.core.next_edits.by_model.prompts import EditPrompt, blocks, edit_prompt
from lsp_server.core.next_edits.history import Hunk
from lsp_server.settings.fields import EditFormatName
from tests.support.edited import Edited

SOURCE = "import os\n\n\ndef area([-width-][+breadth+]):\n    size = width * 2\n    return size\n\n\nprint(area(3))\n"


def form_named(name: str) -> EditFormat:
    form = find_edit_format(name)
    assert form is not None
    return form


def asked(name: str, source: str = SOURCE, path: str = "geo.py") -> EditPrompt:
    edited = Edited(source, path)
    prompt = edit_prompt(edited.document, edited.cursor, edited.history.hunks(), form_named(name), 4096)
    assert prompt is not None
    return prompt


def text_of(prompt: EditPrompt) -> str:
    return "".join(segment.text.decode() for _, segments in prompt.messages for segment in segments)


SWEEP = """<|file_sep|>geo.py
import os


def area(width):
    size = width * 2
    return size


print(area(3))
<|file_sep|>geo.py.diff
original:
def area(width):
updated:
def area(breadth):
<|file_sep|>original/geo.py:2:9


def area(width):
    size = width * 2
    return size


print(area(3))
<|file_sep|>current/geo.py:2:9


def area(breadth<|cursor|>):
    size = width * 2
    return size


print(area(3))
<|file_sep|>updated/geo.py:2:9
"""

ZETA_2 = """<[fim-suffix]>
<[fim-prefix]><filename>edit_history
--- a/geo.py
+++ b/geo.py
-def area(width):
+def area(breadth):

<filename>geo.py
<<<<<<< CURRENT
import os


def area(breadth<|user_cursor|>):
    size = width * 2
    return size


print(area(3))
=======
<[fim-middle]>"""

ZETA_2_1 = ZETA_2.replace("<<<<<<< CURRENT", "<|marker_1|>").replace("=======", "<|marker_2|>")

MERCURY = """<|recently_viewed_code_snippets|>

<|/recently_viewed_code_snippets|>

<|current_file_content|>
current_file_path: geo.py
<|code_to_edit|>
import os


def area(breadth<|cursor|>):
    size = width * 2
    return size


print(area(3))
<|/code_to_edit|>

<|/current_file_content|>

<|edit_diff_history|>
--- geo.py
+++ geo.py
@@ @@
-def area(width):
+def area(breadth):
<|/edit_diff_history|>
"""


@pytest.mark.parametrize(
    ("name", "expected"), [("sweep", SWEEP), ("zeta-2", ZETA_2), ("zeta-2.1", ZETA_2_1), ("mercury", MERCURY)]
)
def test_a_prompt_has_the_published_shape(name: str, expected: str) -> None:
    assert text_of(asked(name)) == expected


def test_instinct_and_our_own_are_messages() -> None:
    prompt = asked("instinct")
    assert [role for role, _ in prompt.messages] == ["system", "user"]
    user = "".join(segment.text.decode() for segment in prompt.messages[1][1])
    sections = [
        "### Context:",
        "### User Edits:",
        'User edited file "geo.py"\n\n```diff\n',
        "### User Excerpt:\ngeo.py\n",
    ]
    places = [user.index(each) for each in (*sections, "<|editable_region_start|>\n\ndef area(breadth<|user_cursor")]
    assert places == sorted(places)
    assert user.endswith("\n```\n### Response:")
    own = text_of(asked("instruct"))
    assert own.index("-def area(width):\n+def area(breadth):") < own.index("def area(breadth<|cursor|>):")


def test_special_tokens_stand_apart_and_no_text_of_the_users_is_one() -> None:
    """Not even a line that is spelled like a token."""
    prompt = asked("sweep", "x = 1\n" * 9 + "[-a-][+<|file_sep|>+]\n" + "y = 2\n" * 9 + "z = [-3-][+4+]\n")
    (_, segments) = prompt.messages[0]
    markers = [segment.text for segment in segments if segment.kind == "marker"]
    assert markers == [b"<|file_sep|>"] * 6  # the file, two edits, and the three windows
    assert any(b"updated:\n<|file_sep|>\n" in segment.text for segment in segments if segment.kind != "marker")


@pytest.mark.parametrize("form", EDIT_FORMATS, ids=lambda form: form.name)
def test_an_answer_that_repeats_the_window_is_no_edit(form: EditFormat) -> None:
    prompt = asked(form.name)
    assert new_window(prompt, prompt.draft) is None
    assert new_window(prompt, "") is None
    assert form.nothing == "" or new_window(prompt, form.nothing + "\n" + "".join(form.ends[:1])) is None


@pytest.mark.parametrize("form", EDIT_FORMATS, ids=lambda form: form.name)
def test_an_answer_with_one_changed_line_changes_it(form: EditFormat) -> None:
    prompt = asked(form.name)
    old = prompt.window.text
    new = new_window(prompt, prompt.draft.replace("size = width", f"size = {form.cursor}breadth"))
    assert new == old.replace("size = width", "size = breadth").encode()


def test_an_answer_in_a_fence_and_with_other_blank_lines_at_its_end_is_read() -> None:
    prompt = asked("mercury")
    old, new = prompt.window.text, prompt.window.text.replace("width", "breadth")
    for answer in (f"```python\n{new}\n```", f"```\n<|code_to_edit|>\n{new}\n<|/code_to_edit|>\n```", f"{new}\n\n\n"):
        assert new_window(prompt, answer) == new.encode()
    assert new_window(prompt, old.replace("size = ", "size = <|cursor|>")) is None


def test_an_answer_that_begins_late_or_ends_early_is_none() -> None:
    prompt = asked("instruct")
    lines = prompt.window.text.split("\n")
    assert new_window(prompt, "\n".join(lines[4:])) is None
    assert new_window(prompt, "\n".join(lines[:4])) is None
    without = [line for line in lines if "size = " not in line]
    assert new_window(prompt, "\n".join(without)) == "\n".join(without).encode()


def test_blank_lines_at_both_ends_of_a_window_stay() -> None:
    prompt = asked("sweep")
    assert prompt.window.text.startswith("\n\ndef")
    answer = prompt.window.text.replace("size = width", "size = breadth")
    assert new_window(prompt, answer.strip()) == new_window(prompt, f"\n{answer}\n\n") == answer.encode()


MANY = "".join(f"line_{number} = {number}\n" + ("\n" if number % 7 == 6 else "") for number in range(40))


def test_numbered_markers_tell_which_blocks_are_replaced() -> None:
    prompt = asked("zeta-2.1", MANY.replace("line_20 = 20", "line_20 = [-2-][+20+]"))
    parts = blocks(prompt.window.text)
    assert "".join(parts) == prompt.window.text
    assert len(parts) >= 3
    assert all(part.endswith("\n") for part in parts[:-1])
    last = parts[2].rstrip("\n").rpartition("\n")[2]
    answer = f"<|marker_2|>\nfirst = 1\n<|marker_3|>\nsecond = 2\n{last}\n<|marker_4|>\n<[end▁of▁sentence]>"
    new = new_window(prompt, answer)
    ending = "\n" if len(parts) > 3 else ""
    assert new == (parts[0] + f"first = 1\nsecond = 2\n{last}" + ending + "".join(parts[3:])).encode()
    assert new_window(prompt, answer.replace(f"\n{last}", "")) is None  # what is in front of the last marker is gone
    assert text_of(prompt).count("<|marker_") == len(parts) + 1
    for broken in (
        "<|marker_2|>\nx\n<|marker_2|>",
        "<|marker_2|>\nx\n<|marker_99|>",
        "<|marker_3|>\nx\n<|marker_2|>",
        "x",
    ):
        assert new_window(prompt, broken) is None


def test_line_ends_stay_as_they_are_in_the_document() -> None:
    prompt = asked("sweep", SOURCE.replace("\n", "\r\n"))
    assert "\r" not in text_of(prompt) + prompt.draft
    new = new_window(prompt, prompt.draft.replace("size = width", "size = breadth"))
    assert new is not None
    assert new.count(b"\r\n") == new.count(b"\n") > 5


def test_a_window_with_line_ends_of_several_kinds_is_not_asked_about() -> None:
    """What is written has one kind, and would change lines that nobody wants changed."""
    edited = Edited(SOURCE.replace("\n", "\r\n", 5))
    for form in EDIT_FORMATS:
        assert edit_prompt(edited.document, edited.cursor, edited.history.hunks(), form, 4096) is None


@pytest.mark.parametrize(
    ("name", "line"),
    [("sweep", "<|cursor|>"), ("zeta-2", ">>>>>>> UPDATED"), ("zeta-2.1", "<|marker_1|>"), ("instruct", "```")],
)
def test_a_window_that_an_answer_could_not_tell_from_its_own_marks_is_not_asked_about(name: str, line: str) -> None:
    edited = Edited(SOURCE.replace("    return", f"{line}\n    return"))
    assert edit_prompt(edited.document, edited.cursor, edited.history.hunks(), form_named(name), 4096) is None


def test_a_prompt_fits_the_window_of_the_model_and_has_the_latest_edits() -> None:
    hunks = [
        Hunk(number, "file:///a.py", "a.py", "", b"old\n" * 30, f"new_{number}\n".encode() * 30, -1)
        for number in range(9)
    ]
    document = DocumentSnapshot.of("file:///a.py", b"value = compute(1)\n" * 4000, path="a.py")
    for form in EDIT_FORMATS:
        prompt = edit_prompt(document, 30_000, hunks, form, 1024)
        assert prompt is not None
        assert len(text_of(prompt)) < 3 * (1024 - prompt.max_tokens)
        assert "new_8" in text_of(prompt)
        assert "new_0" not in text_of(prompt)


def test_a_key_changes_only_the_end_of_a_prompt() -> None:
    """What goes on with the last edit leaves the document around it as it was before that."""
    for form in EDIT_FORMATS:
        edited = Edited(MANY.replace("line_20 = 20", "line_20 = [-20-][+1+]"))
        texts = []
        for key in ("2", "3"):
            prompt = edit_prompt(edited.document, edited.cursor, edited.history.hunks(), form, 4096)
            assert prompt is not None
            texts.append(text_of(prompt))
            edited.edit(edited.cursor, edited.cursor, key, 1.0)
            edited.cursor += 1
        one, other = texts
        changed = next(index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
        around = len(MANY) - len(prompt.window.text)
        assert changed > min(around, len(one) // 3), form.name


@pytest.mark.parametrize(
    ("name", "follows", "expected"),
    [
        ("sweep-next-edit-1.5b.q8_0.v2.gguf", False, "sweep"),
        ("zed-industries zeta-2.1", False, "zeta-2.1"),
        ("Zeta2 8B", True, "zeta-2"),
        ("zeta-2-Q4_K_M.gguf", False, "zeta-2"),
        ("instinct-Q4_K_M.gguf", True, "instinct"),
        ("mercury-edit-2", False, "mercury"),
        ("Qwen2.5-Coder-0.5B-Instruct", True, "instruct"),
        ("Qwen2.5-Coder-0.5B", False, None),
        ("zeta-Q4_K_M.gguf", True, None),
        ("some-next-edit-model", True, None),
    ],
)
def test_a_format_is_known_by_the_models_name_where_that_is_sure(
    name: str, follows: bool, expected: str | None
) -> None:
    form = edit_format_by_name(name, follows_instructions=follows)
    assert (form.name if form else None) == expected


def test_the_setting_takes_every_format_of_a_model_that_fimble_can_load() -> None:
    assert {*get_args(EditFormatName)} - {""} == {form.name for form in EDIT_FORMATS} - {"mercury"}


SECRETS = {
    "password": ('password = "', "hunter2xyz", '"'),
    "token": ("use(", "ghp_" + "a1B2c3" * 6, ")"),
    "key id": ("id = '", "AKIA" + "Q3RXN5T7" * 2, "'"),
    "in a URL": ('url = "postgres://', "anna:s3cr3t-Pa55@db", '"'),
    "private key": (
        "-----BEGIN PRIVATE KEY-----\n",
        "MIIEvQIBADANBgkqhkiG9w0\n\nBAQEFAASCBKcwggSjAgEAAoIB",
        "\n-----END PRIVATE KEY-----",
    ),
}


@pytest.mark.parametrize("form", EDIT_FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("name", list(SECRETS))
def test_no_secret_is_shown_to_another_program_wherever_the_cursor_is(name: str, form: EditFormat) -> None:
    before, secret, after = SECRETS[name]
    for at in range(len(secret) + 1):
        held = f"{before}{secret[:at]}$0{secret[at:]}{after}"
        edited = Edited(f"a = 1\nb = [-2-][+3+]\n{held}\nc = 4\nd = 5\n")
        what = edited.document, edited.cursor, edited.history.hunks(), form, 4096
        prompt, open_ = edit_prompt(*what, hides_secrets=True), edit_prompt(*what)
        assert prompt is not None
        assert open_ is not None
        text = text_of(prompt)
        assert "REDACTED" in text
        assert text.count(form.cursor) == text_of(open_).count(form.cursor) > 0
        plain = text.replace(form.cursor, "")
        for line in secret.split("\n"):
            assert line == "" or line not in plain
            assert line == "" or line in text_of(open_).replace(form.cursor, "")
        assert "c = 4" in plain


@pytest.mark.parametrize("form", EDIT_FORMATS, ids=lambda form: form.name)
def test_the_midst_of_a_long_key_is_not_shown_either(form: EditFormat) -> None:
    """Nor is an edit that was made there."""
    body = [f"MIIEvQ{number:02}IBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDZ7Pbf0M" for number in range(60)]
    body[40] = "MIIEvQ40[-IBAD-][+ICAD+]ANBgkqh$0kiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDZ7Pbf0M"
    key = "\n".join(("-----BEGIN PRIVATE KEY-----", *body, "-----END PRIVATE KEY-----"))
    edited = Edited(f"a = [-1-][+2+]\n{key}\nb = 3\n", "key.txt")
    what = edited.document, edited.cursor, edited.history.hunks(), form, 4096
    prompt, open_ = edit_prompt(*what, hides_secrets=True), edit_prompt(*what)
    assert prompt is not None
    assert open_ is not None
    assert "MIIEvQ" not in text_of(prompt)
    assert "MIIEvQ" in text_of(open_)
    assert "a = 2" in text_of(prompt)


def test_a_number_that_no_marker_has_is_no_edit() -> None:
    prompt = asked("zeta-2.1")
    assert new_window(prompt, f"<|marker_{'9' * 5000}|>\nx\n<|marker_2|>") is None


def test_blocks_end_at_line_ends_alone() -> None:
    text = "a\fb\u2028c = 1\n" * 40
    assert "".join(blocks(text)) == text
    assert all(block.count("\n") == block.count("c = 1") for block in blocks(text))


@pytest.mark.parametrize("form", EDIT_FORMATS, ids=lambda form: form.name)
def test_an_answer_that_changes_something_and_ends_early_is_none(form: EditFormat) -> None:
    prompt = asked(form.name)
    begun, cut, rest = prompt.draft.replace("size = width", "size = breadth").partition("\n    return size")
    closing = rest[rest.rindex("\n<|marker_") :] if form.is_numbered else ""
    for text in (begun, begun + cut, begun + "\n    # ... rest of the code unchanged", begun + cut + "\n\n\nprint(ar"):
        assert new_window(prompt, text + closing) is None
    for text in (begun + cut + "\n\n\nprint(area(4))", begun + cut + "\n\n\nprint(area(3))\nprint(area(4))"):
        assert (new_window(prompt, text + closing) or b"").endswith(b"print(area(4))")


def test_brackets_at_the_end_of_an_answer_are_not_taken_for_those_at_the_windows_end() -> None:
    prompt = asked("instruct", "int a() {\n    return [-1-][+2+];\n}\n\nint b() {\n    return 1;\n}\n", "a.c")
    assert new_window(prompt, "int a(void) {\n    return 2;\n}") is None
    assert new_window(prompt, "int a() {\n    return 2;\n}\n\nint b() {\n    return 2;\n}") is not None


def test_the_last_line_of_a_window_may_become_others() -> None:
    prompt = asked("instruct", "def f([-a-][+goods+]):\n    pass\n")
    for body in ("    return len(goods)", "    size = len(goods)\n    return size"):
        assert new_window(prompt, f"def f(goods):\n{body}\n```") == f"def f(goods):\n{body}".encode()
    assert new_window(prompt, "def f(goods: list):\n```") is None


@pytest.mark.parametrize("name", ["instruct", "mercury", "instinct"])
@pytest.mark.parametrize("before", ["", "Here is the updated part:\n\n", "\nSure! Here is the code:\n"])
def test_the_code_of_a_chat_is_what_stands_in_its_first_fence(name: str, before: str) -> None:
    prompt = asked(name)
    new = prompt.window.text.replace("size = width", "size = breadth")
    answer = f"{before}```python\n{new}\n```\nThat follows from the last edit.\n"
    assert new_window(prompt, answer) == new.encode()
    ended = [at for at in range(len(answer) + 1) if has_ended(prompt, answer[:at])]
    assert new_window(prompt, answer[: ended[0]]) == new.encode()
    assert answer[: ended[0]].startswith(f"{before}```python\n{new}\n```")
