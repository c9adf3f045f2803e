"""Carry on: the uses of a name that was changed where it is introduced."""

from __future__ import annotations

import pytest

from tests.support.edited import Edited, proposed

# A file's name, the source with its edit, and what the uses are then; `old` is what was there.
FOUND = {
    "a parameter": ("a.py", "def f([-old-][+fresh+], b):\n    b += old\n    return old.x + b\n"),
    "a variable": ("a.py", "def f():\n    [-old-][+fresh+] = 1\n    g(a=old)\n    return f'{old}'\n"),
    "a variable of a loop": ("a.py", "def f(b):\n    for [-old-][+fresh+] in b:\n        g(old)\n"),
    "a function": ("a.py", "def [-old-][+fresh+]():\n    pass\n\n\nx = old()\n"),
    "a class": ("a.py", "class [-old-][+fresh+]:\n    pass\n\n\nclass B(old):\n    pass\n"),
    "a method, by its own object": (
        "a.py",
        "class A:\n    def [-old-][+fresh+](self): ...\n    def g(self): self.old()\n",
    ),
    "in JavaScript": ("a.js", "function f([-old-][+fresh+]) {\n  const b = old + 1;\n  return b * old;\n}\n"),
    "a type": ("a.ts", "interface [-old-][+fresh+] { id: string }\nfunction f(a: old): old { return a }\n"),
    "in Go": ("a.go", "func f([-old-][+fresh+] int) int {\n\tb := old\n\treturn b + old\n}\n"),
    "a function in Go": ("a.go", "func [-old-][+fresh+]() {}\nfunc g() {\n\told()\n}\n"),
    "in Rust": ("a.rs", "fn f() -> u32 {\n    let [-old-][+fresh+] = 1;\n    old + old\n}\n"),
    "a field in Java": ("A.java", "class A {\n  int [-old-][+fresh+];\n  int get() { return this.old; }\n}\n"),
    "in C": ("a.c", "int f(int [-old-][+fresh+]) {\n  return old * 2;\n}\n"),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_uses_follow(name: str) -> None:
    path, source = FOUND[name]
    assert proposed(source, path, eagerness="low") == source.replace("[-old-][+fresh+]", "fresh").replace(
        "old", "fresh"
    )


def test_uses_far_from_each_other_come_one_after_the_other() -> None:
    edited = Edited("def [-old-][+fresh+]():\n    pass\n\n\na = old()\n" + "b = 1\n" * 20 + "c = old()\n")
    for line in (4, 25):
        edit = next(edited.proposals())
        assert edit.document.line_at(edit.start) == line
        edited.accept(edit)
    assert next(edited.proposals(), None) is None
    assert b"old" not in edited.document.source


def test_files_that_import_a_name_follow_and_others_do_not() -> None:
    source = "def [-fetch_user-][+load_user+]():\n    pass\n"
    others = {"c.py": "fetch_user = 1\n", "b.py": "from main import fetch_user\n\nfetch_user()\n"}
    assert proposed(source, others=others) == "from main import load_user\n\nload_user()\n"
    assert proposed(source, others=others, eagerness="low") is None
    assert proposed(source, others={"b.py": "def fetch_user():\n    pass\n\n\nfetch_user()\n"}) is None


SILENT = {
    "a use was changed": "def f(old):\n    return [-old-][+fresh+] + 1\n",
    "it is introduced again": "def f([-old-][+fresh+]):\n    g(lambda old: old)\n    return old\n",
    "another function's": "def f([-old-][+fresh+]):\n    pass\n\n\ndef g(old):\n    return old\n",
    "there was such a name": "def f([-old-][+fresh+], b):\n    fresh = b\n    return old\n",
    "a text": "def f([-old-][+fresh+]):\n    return 'old'\n",
    "a member of another": "def f([-old-][+fresh+], b):\n    return b.old\n",
    "a label": "def f([-old-][+fresh+], b):\n    return b(old=1)\n",
    "two definitions": "def [-old-][+fresh+]():\n    pass\n\n\ndef old():\n    pass\n\n\nx = old()\n",
    "the uses of a variable of that name": "def [-old-][+fresh+]():\n    pass\n\n\ndef g(old):\n    return old()\n",
    "more than the name": "def f([-old-][+fresh=1+]):\n    return old\n",
}


@pytest.mark.parametrize("name", SILENT)
def test_silent_when_in_doubt(name: str) -> None:
    assert proposed(SILENT[name]) is None
