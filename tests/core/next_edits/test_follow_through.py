"""Follow through: parameters and calls, asynchronous functions and who calls them, members and the lists of them, and
imports."""

from __future__ import annotations

import pytest

from tests.support.edited import Edited, proposed


def after(source: str, old: str, new: str) -> str:
    text = Edited(source).document.source.decode()
    assert old in text
    return text.replace(old, new)


# A file's name, the source with its edit, what stands there, and what comes.
PARAMETERS = {
    "removed": ("a.py", "def f(a[-, b-]):\n    pass\n\n\nf(1, 2)\n", "f(1, 2)", "f(1)"),
    "removed, with its label": ("a.py", "def f(a[-, b-]):\n    pass\n\n\nf(1, b=2)\n", "f(1, b=2)", "f(1)"),
    "the first removed": ("a.go", "func f([-a int, -]b int) {}\nfunc g() {\n\tf(1, 2)\n}\n", "f(1, 2)", "f(2)"),
    "moved": ("a.ts", "function f([-a, b-][+b, a+]) {}\nfunction g() {\n  f(1, x.y);\n}\n", "f(1, x.y)", "f(x.y, 1)"),
    "added, where the caller has it": (
        "a.py",
        "def f(a[+, b+]):\n    pass\n\n\ndef g(b):\n    f(1)\n",
        "f(1)",
        "f(1, b)",
    ),
    "added in front": (
        "a.go",
        "func f([+ctx C, +]a int) {}\nfunc g(ctx C) {\n\tf(1)\n}\n",
        "\tf(1)",
        "\tf(ctx, 1)",
    ),
    "with another label": (
        "a.py",
        "def f([-a-][+b+]):\n    return 1\n\n\nf(a=1)\n",
        "f(a=1)",
        "f(b=1)",
    ),
    "of a method": (
        "a.py",
        "class A:\n    def f(self, a[-, b-]): ...\n    def g(self): self.f(1, 2)\n",
        "f(1, 2)",
        "f(1)",
    ),
    "of a method in Java": (
        "A.java",
        "class A {\n  void f(int a[-, int b-]) {}\n  void g() { f(1, 2); }\n}\n",
        "f(1, 2)",
        "f(1)",
    ),
    "in Rust": ("a.rs", "fn f(a: u8[-, b: u8-]) {}\nfn g() {\n    f(1, 2);\n}\n", "f(1, 2)", "f(1)"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_calls_follow_the_parameters(name: str) -> None:
    path, source, old, new = PARAMETERS[name]
    assert proposed(source, path, eagerness="low") == after(source, old, new)


NO_CALLS = {
    "a default does": "def f(a[+, b=1+]):\n    pass\n\n\ndef g(b):\n    f(1)\n",
    "the caller has no such name": "def f(a[+, b+]):\n    pass\n\n\ndef g(c):\n    f(1)\n",
    "it is given already": "def f(a[+, b+]):\n    pass\n\n\ndef g(b):\n    f(1, 2)\n",
    "it was left out already": "def f(a[-, b-]):\n    pass\n\n\nf(1)\n",
    "a star": "def f(a[-, b-]):\n    pass\n\n\nf(*x)\n",
    "a method of something else": "class A:\n    def f(self, a[-, b-]): ...\n\n\nx.f(1, 2)\n",
    "another function": "def f(a[-, b-]):\n    pass\n\n\ng(1, 2)\n",
}


@pytest.mark.parametrize("name", NO_CALLS)
def test_calls_stay_when_in_doubt(name: str) -> None:
    assert proposed(NO_CALLS[name]) is None


ASYNC = {
    "Python": (
        "a.py",
        "[+async +]def f():\n    pass\n\n\ndef g():\n    x = f()\n    return x\n",
        "def g():\n    x = f()",
        "async def g():\n    x = await f()",
    ),
    "what is asked of the result": (
        "a.py",
        "[+async +]def f():\n    pass\n\n\nasync def g():\n    return f().x\n",
        "f().x",
        "(await f()).x",
    ),
    "TypeScript": (
        "a.ts",
        "[+async +]function f() { return 1 }\nexport function g(): number {\n  const x = f();\n  return x;\n}\n",
        "function g(): number {\n  const x = f()",
        "async function g(): Promise<number> {\n  const x = await f()",
    ),
    "a method": (
        "a.ts",
        "class A {\n  [+async +]f() { return 1 }\n  private g() {\n    return this.f();\n  }\n}\n",
        "private g() {\n    return this.f()",
        "private async g() {\n    return await this.f()",
    ),
    "Rust": (
        "a.rs",
        "[+async +]fn f() -> u8 { 1 }\n\npub fn g() -> u8 {\n    f()\n}\n",
        "pub fn g() -> u8 {\n    f()",
        "pub async fn g() -> u8 {\n    f().await",
    ),
}


@pytest.mark.parametrize("name", ASYNC)
def test_callers_await_what_is_asynchronous_now(name: str) -> None:
    path, source, old, new = ASYNC[name]
    assert proposed(source, path, eagerness="low") == after(source, old, new)


def test_callers_of_callers_follow() -> None:
    edited = Edited("[+async +]def f():\n    pass\n\n\ndef g():\n    f()\n\n\ndef h():\n    return g()\n")
    for _ in range(2):
        edited.accept(next(edited.proposals()))
    text = edited.document.source.decode()
    assert "async def g():\n    await f()" in text
    assert "async def h():\n    return await g()" in text
    assert next(edited.proposals(), None) is None


NOT_AWAITED = {
    "it is awaited": "[+async +]def f():\n    pass\n\n\nasync def g():\n    await f()\n",
    "something else awaits it": "[+async +]def f():\n    pass\n\n\nasync def g():\n    asyncio.create_task(f())\n",
    "no function is around": "[+async +]def f():\n    pass\n\n\nf()\n",
    "a constructor": "[+async +]def f():\n    pass\n\n\nclass A:\n    def __init__(self):\n        f()\n",
    "a property": "[+async +]def f():\n    pass\n\n\nclass A:\n    @property\n    def g(self):\n        return f()\n",
    "a generator": "[+async +]def f():\n    pass\n\n\ndef g():\n    yield f()\n",
}


@pytest.mark.parametrize("name", NOT_AWAITED)
def test_nothing_is_awaited_when_in_doubt(name: str) -> None:
    assert proposed(NOT_AWAITED[name]) is None


PLURALS = {
    "Go": (
        "a.go",
        "func Send([-m Message-][+ms []Message+]) error {\n\tif err := put(m.Body); err != nil {\n\t\treturn err\n\t}\n"
        "\tsent++\n\treturn nil\n}\n",
        "\tif err := put(m.Body); err != nil {\n\t\treturn err\n\t}\n\tsent++\n",
        "\tfor _, m := range ms {\n\t\tif err := put(m.Body); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tsent++\n\t}\n",
    ),
    "Python": (
        "a.py",
        "def send([-m: str-][+ms: list[str]+]):\n    put(m)\n    log(m)\n    return True\n",
        "    put(m)\n    log(m)\n",
        "    for m in ms:\n        put(m)\n        log(m)\n",
    ),
    "TypeScript": (
        "a.ts",
        "function send([-m: Item-][+ms: Item[]+]) {\n  put(m);\n}\n",
        "  put(m);\n",
        "  for (const m of ms) {\n    put(m);\n  }\n",
    ),
}


@pytest.mark.parametrize("name", PLURALS)
def test_what_was_done_with_one_is_done_with_each(name: str) -> None:
    path, source, old, new = PLURALS[name]
    assert proposed(source, path, eagerness="medium") == after(source, old, new)
    assert proposed(source, path, eagerness="low") is None


NO_LOOPS = {
    "it is returned": "def f([-m: str-][+ms: list[str]+]):\n    return put(m)\n",
    "all are used already": "def f([-m: str-][+ms: list[str]+]):\n    put(m)\n    log(ms)\n",
    "one is introduced": "def f([-m: str-][+ms: list[str]+]):\n    m = ms[0]\n    put(m)\n",
    "no type of many": "def f([-m: str-][+ms: Text+]):\n    put(m)\n",
}


@pytest.mark.parametrize("name", NO_LOOPS)
def test_there_is_no_loop_when_in_doubt(name: str) -> None:
    assert proposed(NO_LOOPS[name]) is None


MEMBERS = {
    "an enum and a match": (
        "a.py",
        "class Color(Enum):\n    RED = 1\n    GREEN = 2\n[+    BLUE = 3\n+]\n\ndef name(c):\n    match c:\n"
        "        case Color.RED:\n            return 'red'\n        case Color.GREEN:\n            return 'green'\n",
        "            return 'green'\n",
        "            return 'green'\n        case Color.BLUE:\n            return 'blue'\n",
    ),
    "parameters and __init__": (
        "a.py",
        "class A:\n    def __init__(self, host, port[+, debug+]):\n        self.host = host\n"
        "        self.port = port\n",
        "self.port = port\n",
        "self.port = port\n        self.debug = debug\n",
    ),
    "fields and a dict": (
        "a.py",
        "class A:\n    host: str\n    port: int\n[+    debug: bool\n+]\n    def d(self):\n"
        "        return {'host': self.host, 'port': self.port}\n",
        "'port': self.port}",
        "'port': self.port, 'debug': self.debug}",
    ),
    "a struct and its literal": (
        "a.go",
        "type P struct {\n\tHost string\n\tPort int\n[+\tDebug bool\n+]}\n\nfunc New(host string, port int) *P {\n"
        "\treturn &P{\n\t\tHost: host,\n\t\tPort: port,\n\t}\n}\n",
        "\t\tPort: port,\n",
        "\t\tPort: port,\n\t\tDebug: debug,\n",
    ),
    "in the middle": (
        "a.rs",
        "enum Op {\n    Add,\n[+    Sub,\n+]    Mul,\n}\nfn name(o: Op) -> &'static str {\n    match o {\n"
        '        Op::Add => "add",\n        Op::Mul => "mul",\n    }\n}\n',
        '        Op::Add => "add",\n',
        '        Op::Add => "add",\n        Op::Sub => "sub",\n',
    ),
    "a switch": (
        "a.ts",
        "enum Kind {\n  Read = 'read',\n  Write = 'write',\n[+  Remove = 'remove',\n+]}\nfunction f(k: Kind) {\n"
        "  switch (k) {\n    case Kind.Read: return read();\n    case Kind.Write: return write();\n  }\n}\n",
        "    case Kind.Write: return write();\n",
        "    case Kind.Write: return write();\n    case Kind.Remove: return remove();\n",
    ),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_lists_of_all_members_get_the_new_one(name: str) -> None:
    path, source, old, new = MEMBERS[name]
    assert proposed(source, path, eagerness="low") == after(source, old, new)


NO_LISTS = {
    "the items differ": "class A(Enum):\n    X = 1\n    Y = 2\n[+    Z = 3\n+]\n\nd = {A.X: 7, A.Y: 9}\n",
    "not all are named": "class A(Enum):\n    U = 1\n    V = 2\n    W = 3\n[+    Z = 4\n+]\n\nd = {A.U: u, A.V: v}\n",
    "the new one is named": "class A(Enum):\n    X = 1\n    Y = 2\n[+    Z = 3\n+]\n\nd = {A.X: x, A.Y: y, A.Z: 1}\n",
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_lists_stay_when_in_doubt(name: str) -> None:
    assert proposed(NO_LISTS[name]) is None


def test_elements_of_a_tuple_are_taken_by_the_names_they_got() -> None:
    source = (
        "struct L {\n    by_id: Vec<[-(PathBuf, Option<u8>)-][+Entry+]>,\n}\n\n[+struct Entry {\n    path: PathBuf,\n"
        "    size: Option<u8>,\n}\n\n+]impl L {\n    fn f(&self, i: usize) -> u8 {\n        self.by_id[i].0.x()\n"
        "    }\n}\n"
    )
    assert proposed(source, "a.rs", eagerness="low") == Edited(source).document.source.decode().replace(
        "[i].0", "[i].path"
    )


IMPORTS = {
    "one of several is not used": ("from a import b, c\n\nx = [-c()-][+1+]\ny = b\n", {}, "import b, c", "import b"),
    "a line that is not used": ("import b\nimport c\n\nx = [-c-][+1+]\ny = b\n", {}, "import c\n", ""),
    "a module of Python's": (
        "import os\n\nx = [-1-][+json.dumps(2)+]\n",
        {},
        "import os\n",
        "import json\nimport os\n",
    ),
    "as another file has it": (
        "from a import b\n\nx = b([+Thing()+])\n",
        {"c.py": "from things import Thing\n"},
        "from a import b\n",
        "from a import b\nfrom things import Thing\n",
    ),
    "from where it imports already": (
        "from a import b\n\nx = b([+Thing()+])\n",
        {"c.py": "from a import Thing\n"},
        "import b\n",
        "import b, Thing\n",
    ),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_imports_follow_what_is_used(name: str) -> None:
    source, others, old, new = IMPORTS[name]
    text = Edited(source).document.source.decode()
    expected = text.replace(old, new, 1)
    assert proposed(source, others=others) == expected


NO_IMPORTS = {
    "a name that is known": ("import os\n\njson = 1\nx = [-1-][+json.x+]\n", {}),
    "one that is used elsewhere": ("import c\n\nx = [-c-][+1+]\ny = c\n", {}),
    "files that do not agree": (
        "import a\n\nx = [+Thing()+]\n",
        {"b.py": "from b import Thing\n", "c.py": "from c import Thing\n"},
    ),
    "a member": ("import os\n\nx = y[+.json.z+]\n", {}),
}


@pytest.mark.parametrize("name", NO_IMPORTS)
def test_imports_stay_when_in_doubt(name: str) -> None:
    source, others = NO_IMPORTS[name]
    assert proposed(source, others=others) is None
