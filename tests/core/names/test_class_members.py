"""The names that may stand behind `this.` and `$this->`: of which classes they are known, and where they limit."""

from __future__ import annotations

import pickle
import random
import time
from typing import Any

import pytest

from lsp_server.core.names import class_facts
from lsp_server.core.names.allowed import Members
from lsp_server.core.names.class_facts import Facts
from lsp_server.core.names.class_kinds import ClassKinds
from lsp_server.core.names.receivers import members_at
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled
from tests.support.samples import named, sample

TYPED = """\
import { Shape } from "./shape";

class Base {
  protected count = 0;
  #hidden = 0;
}

export class Box extends Base implements Shape {
  static made = 0;
  #secret = 1;
  readonly kind: string = "box";

  constructor(private readonly width: number, public height = 1, plain?: string) {
    super();
    this.depth = this.width;
  }

  get area(): number {
    return this.width * this.height;
  }

  grown(by: number): number {
    const local = by;
    return this.$0
  }

  static small(): Box {
    return new Box(1);
  }
}
"""
OWN = {"count", "#secret", "kind", "width", "height", "depth", "area", "grown", "constructor"}
PLAIN = """\
class Box {
  #secret = 1;

  constructor(width) {
    this.width = width;
  }

  get area() {
    return this.width * this.#secret;
  }

  grown(by) {
    const local = by;
    return this.$0
  }
}
"""
PLAIN_OWN = {"#secret", "width", "area", "grown", "constructor"}


def at(source: str, language: str = "typescript", path: str = "a.ts") -> Members | None:
    return members_at(*parse_cursor(source, language_id=language, path=path))


def known(source: str, text: str = "", language: str = "typescript") -> set[str] | None:
    found = at(source, language)
    names = found.known(text) if found is not None else None
    return None if names is None else set(names)


def plain(old: str = "", new: str = "") -> set[str] | None:
    """The names in the class in JavaScript, with a part of it replaced."""
    return known(PLAIN.replace(old, new) if old else PLAIN, language="javascript")


@pytest.mark.parametrize("language", ["typescript", "typescriptreact"])
def test_the_names_are_those_of_the_class_and_of_its_bases(language: str) -> None:
    assert known(TYPED, language=language) == OWN


@pytest.mark.parametrize("language", ["typescriptreact", "javascriptreact"])
def test_in_jsx_they_are_known_in_brackets_alone(language: str) -> None:
    source = {"typescriptreact": TYPED, "javascriptreact": PLAIN}[language]
    own = {"typescriptreact": OWN, "javascriptreact": PLAIN_OWN}[language]
    for line in ("return <p>{this.$0}</p>;", "return <p a={this.$0} />;", "return <p>{this.$0</p>;"):
        assert known(source.replace("return this.$0", line), language=language) == own, line
    assert known(source.replace("return this.$0", "return <p>this.$0</p>;"), language=language) is None


@pytest.mark.parametrize("language", ["javascript", "javascriptreact"])
def test_in_javascript_they_are_those_that_it_gives_itself(language: str) -> None:
    assert known(PLAIN, language=language) == PLAIN_OWN


@pytest.mark.parametrize(
    "line",
    [
        "return this.$0",
        "return Math.max(this.$0",
        "return [this.width, this.$0",
        "if (this.$0",
        "if (this.$0)",
        "if (this.$0) {\n      by = 1;\n    }",
        "if (this.$0 {\n      by = 1;\n    }",
        "} else if (this.$0",
        "while (by > this.$0",
        "for (const each of this.$0",
        "for (let index = 0; index < this.$0",
        "const x = { a: this.$0 };",
        "const x = by ? this.$0",
        "call({\n      a: this.$0\n      b: 1,\n    });",
        "call(\n      this.$0\n    );",
        "call(() => {\n      this.$0\n    });",
        "call(() => { return this.$0\n    });",
        "call((x) => this.$0",
        "const x = { a: () => this.$0 };",
        "switch (by) {\n      case this.$0\n    }",
        "const x = `${by} of ${this.$0",
        "const x = `${by} of ${this.$0}`",
        "call(...this.$0",
        "this.$0",
        "return this?.$0",
        "return this!.$0",
    ],
)
def test_they_are_known_while_a_line_is_typed(line: str) -> None:
    assert known(TYPED.replace("return this.$0", line)) == OWN


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("class Base {", "class Base extends Imported {", "a base that is not in the file"),
        ("class Base {", "class Base extends mixed(Imported) {", "a base that is computed"),
        ("extends Base", "extends shapes.Base", "a base in another object"),
        ("export class", "@decorated\nexport class", "a decorator"),
        ("export class", "@Component({})\nexport class", "a decorator of a name that is known, from elsewhere"),
        ("  static made", "  [name: string]: unknown;\n  static made", "an index signature"),
        ("  static made", "  [computed]() {}\n  static made", "a computed name"),
        ("super();", "super();\n    Object.assign(this, plain);", "Object.assign"),
        ("super();", "super();\n    Object.assign(this as any, plain);", "Object.assign with a cast"),
        ("super();", "super();\n    Object.defineProperties(this, plain);", "Object.defineProperties"),
        ("super();", "super();\n    this[plain] = 1;", "a name that is computed"),
        ("super();", "super();\n    (this as any)[plain] = 1;", "the same with a cast"),
        ("super();", "super();\n    return new Proxy(this, plain);", "a proxy"),
        ("return this.width *", "return this.depht *", "a name that the class uses and does not define"),
        ("const local = by;", "const { area, size } = this;", "a name that it takes and does not define"),
        ("class Base {", "interface Box { more: number }\n\nclass Base {", "an interface that is merged"),
        ("class Base {", "interface Base { more: number }\n\nclass Base {", "one that is merged with the base"),
        ("class Base {", "namespace Box {}\n\nclass Base {", "a namespace of that name"),
        ("class Base {", "Box.prototype.more = 1;\n\nclass Base {", "a name of the prototype"),
        ("class Base {", "applyMixins(Box, [Other]);\n\nclass Base {", "a mixin"),
        ("class Base {", "Box = decorated(Box);\n\nclass Base {", "another meaning of the name"),
        ("class Base {", "declare class Base {", "a base that is declared"),
        ("class Box", "class BoxMixin", "a mixin by its name"),
        ("const local = by;", "const local = {", "an error in the class"),
        ("extends Base implements Shape {", "extends implements {", "an error in its header"),
        ("grown(by: number)", "static grown(by: number)", "a static method"),
        ("grown(by: number)", "grown(this: Other, by: number)", "another this"),
        ("return this.$0", "function inner() { return this.$0 }", "a function in a method"),
        ("return this.$0", "const x = function () { return this.$0 }", "a function expression"),
        ("return this.$0", "const x = { inner() { return this.$0 } }", "a method of another object"),
        ("return this.$0", "const x = { get inner() { return this.$0 } }", "an accessor of another object"),
        ("return this.$0", "}\n\n  static {\n    this.$0", "a static block"),
        ("return this.$0", "}\n\n  static other = this.$0\n\n  last() {", "a static field"),
        ("return this.$0", "}\n\n  this.$0\n\n  last() {", "the body of the class"),
        (
            "class Base {",
            "/** More. */ export interface Box { more: number }\n\nclass Base {",
            "the same after a comment",
        ),
        ("super();", "super();\n    return new Proxy<Box>(this, {});", "a proxy with a type"),
        ("super();", "super();\n    (<any>this)[plain] = 1;", "a computed name and another cast"),
        ("super();", "super();\n    (this as { [name: string]: any })[plain] = 1;", "the same with an index"),
        ("return this.$0", "if (this instanceof Sub) {\n      return this.$0\n    }", "a test for another class"),
        ("return this.$0", "return this instanceof Sub && this.$0", "the same in the line"),
        ("return this.$0", "if ('more' in this) {\n      return this.$0\n    }", "a test for a name"),
        ("return this.$0", "if (isSub(this)) {\n      return this.$0\n    }", "a test by a function"),
        ("  static made", "  isSub(): this is Sub {}\n  static made", "a method that tells the type of the object"),
        ("  static made", "  check(): asserts this is Sub {}\n  static made", "a method that ensures that type"),
        ("  static made", "  e\u0301t = 1;\n  static made", "a name with a combining character"),
        ("  static made", "  \\u0061bc = 1;\n  static made", "a name with an escape"),
        ("return this.$0", "// this.$0", "a comment"),
        ("return this.$0", "const x = 'this.$0'", "a string"),
        ("return this.$0", "const x = `this.$0`", "a template"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_nothing_is_known_with(old: str, new: str, why: str) -> None:
    assert old in TYPED
    assert known(TYPED.replace(old, new, 1)) is None, why


@pytest.mark.parametrize(
    "source",
    ["const x = this.$0", "function free() {\n  return this.$0\n}", "const x = { a: 1, f() { return this.$0 } };"],
)
def test_outside_of_a_class_nothing_is_known(source: str) -> None:
    assert known(f"{source}\n\nclass Other {{\n  a = 1;\n}}\n") is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("this.width = width;", "_.extend(this, width);", "names of another object"),
        ("this.width = width;", "Emitter.call(this);\n    this.width = 1;", "what another constructor gives"),
        ("class Box {", "class Box extends Imported {", "a base that is not in the file"),
        ("return this.width *", "return this.height *", "a name that is defined nowhere"),
        ("class Box {", "Box.prototype.more = 1;\n\nclass Box {", "the prototype"),
        ("class Box {", "Box['prototype'].more = 1;\n\nclass Box {", "the prototype in brackets"),
        ("class Box {", "Box.include(Events);\n\nclass Box {", "a mixin by a method of the class"),
        ("class Box {", "schema.loadClass(Box);\n\nclass Box {", "names of a schema"),
        ("class Box {", "class Sub extends Box {}\n\nclass Box {", "names that subclasses have"),
        ("grown(by)", "$onInit() {}\n\n  grown(by)", "the bindings of a component"),
        ("class Box {", "/** @mixes Events */\nclass Box {", "a mixin by its documentation"),
        ("class Box {", "exports.Box.prototype.more = 1;\nexports.Box = class {", "the prototype by a longer name"),
        (
            "this.width = width;",
            "extendObservable(this, { more: 1 });\n    this.width = 1;",
            "another function that adds",
        ),
        ("this.width = width;", "$.extend(true, this, width);\n    this.width = 1;", "a deep copy"),
        ("this.width = width;", "Emitter(this);\n    this.width = 1;", "a mixin by a function"),
        ("this.width = width;", "copyProps(width, this);\n    this.width = 1;", "a copy to it"),
        (
            "this.width = width;",
            "const self = this;\n    Object.assign(self, width);\n    this.width = 1;",
            "another name",
        ),
        (
            "this.width = width;",
            "const self = this;\n    self[width] = 1;\n    this.width = 1;",
            "another name, computed",
        ),
        ("this.width = width;", "this[a[b[width]]] = 1;\n    this.width = 1;", "a computed name in brackets"),
    ],
)
def test_in_javascript_nothing_is_known_with(old: str, new: str, why: str) -> None:
    assert plain(old, new) is None, why


def test_a_class_that_says_and_uses_nothing_yet_is_not_known() -> None:
    assert known("class Volume {\n  total() {\n    const a = this.$0\n  }\n}\n") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  static made", "  [Symbol.iterator]() {}\n  static made"),
        ("const local = by;", "Object.keys(this);"),
        ("const local = by;", "const { area, kind: other = 1, ...rest } = this;"),
        ("const local = by;", "const local = this[by];"),
        ("const local = by;", "class Inner { f() { return this.area; } }"),
        ("class Base {", "// Box.of: the class Box\nexport type Boxes = Box[];\nfoo(Box);\n\nclass Base {"),
        ("extends Base implements Shape", "extends Base<string>"),
        ("class Base {", "const broken = ;\n\nclass Base {"),
    ],
)
def test_they_are_known_all_the_same(old: str, new: str) -> None:
    assert known(TYPED.replace(old, new, 1)) == OWN


@pytest.mark.parametrize(
    ("decorator", "origin"),
    [
        ("@Component({ selector: 'box' })", "@angular/core"),
        ("@Injectable()", "@nestjs/common"),
        ("@customElement('b')", "lit"),
    ],
)
def test_what_frameworks_decorate_is_known(decorator: str, origin: str) -> None:
    name = decorator[1:].partition("(")[0]
    source = f'import {{ {name} }} from "{origin}";\n' + TYPED.replace("export class", f"{decorator}\nexport class")
    assert known(source) == OWN


def test_members_of_all_kinds_count() -> None:
    more = """\
  @Input({ static: true }) given!: string;
  'quoted' = 1;
  declare declared: string;
  accessor accessed = 1;
  optional?(): void;
  bound = () => this.width;
  static of() { return this.unknown; }
"""
    source = TYPED.replace("  static made = 0;\n", more).replace("export class", "export abstract class")
    assert known(source) == {*OWN, "given", "quoted", "declared", "accessed", "optional", "bound"}


def test_the_names_of_errors_are_known() -> None:
    source = TYPED.replace("class Base {", "class Base extends Error {")
    assert known(source) == {*OWN, "message", "name", "stack", "cause"}
    assert known(f"import {{ Error }} from './errors';\n{source}") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("const Box = withEvents(", ")"),
        ("const Box = new (", ")()"),
        ("const Box = by ? Other : ", ""),
        ("const Box = module.exports = ", ";\nBox.prototype.more = 1"),
        ("const Box = ", ";\nObject.assign(new Box(), Events)"),
    ],
)
def test_a_class_that_is_part_of_an_expression_is_not_known(before: str, after: str) -> None:
    source = f"{before}{PLAIN.replace('class Box', 'class').rstrip()}{after};\n"
    assert known(source, language="javascript") is None


def test_a_parameter_may_be_the_base() -> None:
    source = (
        "class Base {}\nfunction mixed(Base) {\n  return "
        + PLAIN.replace("class Box", "class Box extends Base")
        + "}\n"
    )
    assert known(source, language="javascript") is None
    assert known(source.replace("(Base)", "(other)"), language="javascript") == PLAIN_OWN


def test_code_after_a_comment_in_its_line_is_read() -> None:
    assert plain("this.width = width;", "/** @type {X} */ this.more = 1;\n    this.width = 1;") == {*PLAIN_OWN, "more"}
    assert plain("this.width = width;", "/* all */ Object.assign(this, width);\n    this.width = 1;") is None
    assert plain("this.width = width;", "/*\n     * this.more\n     */\n    this.width = 1;") == PLAIN_OWN


def test_a_class_may_be_an_expression() -> None:
    assert plain("class Box {", "export default class {") == PLAIN_OWN
    assert plain("class Box {", "const Box = class {") == PLAIN_OWN


def test_what_other_code_gives_an_object_counts_in_javascript() -> None:
    assert plain("class Box {", "function mark(box) {\n  box.marked = true;\n}\n\nclass Box {") == {
        *PLAIN_OWN,
        "marked",
    }
    assert plain("this.width = width;", "this.width = width;\n    const self = this;\n    self.more = 1;") == {
        *PLAIN_OWN,
        "more",
    }
    assert plain("this.width = width;", 'this.width = 1;\n    Object.defineProperty(this, "more", {});') == {
        *PLAIN_OWN,
        "more",
    }


@pytest.mark.parametrize(
    "line",
    [
        "this.$0",
        "(this.$0",
        "[this.width, this.$0",
        "if (by) this.$0",
        "by ?? (this.$0",
        "while ((this.$0",
        "for (this.$0",
        "/** @type {X} */ this.$0",
        "/** @type {X} */ (this.$0",
        "switch (by) {\n      case 'a': this.$0\n    }",
        "switch (by) {\n      default: this.$0\n    }",
    ],
)
def test_where_a_statement_may_define_a_name_nothing_is_limited(line: str) -> None:
    found = at(PLAIN.replace("return this.$0", line), "javascript")
    assert found is not None
    assert not found.limits("")
    in_constructor = TYPED.replace("this.depth = this.width;", f"this.depth = by;\n    {line}")
    found = at(in_constructor.replace("return this.$0", "return 1;"))
    assert found is not None
    assert not found.limits("")


@pytest.mark.parametrize("line", ["return this.$0 = 1;", "const x = this.$0 ??= 1;", "this.width = this.wi$0th = 1;"])
def test_a_name_that_is_assigned_to_is_not_limited_in_javascript(line: str) -> None:
    found = at(PLAIN.replace("return this.$0", line), "javascript")
    assert found is None or not found.limits("")
    assert known(PLAIN.replace("return this.$0", "return this.$0 === 1;"), language="javascript") == PLAIN_OWN


def test_in_typescript_a_method_defines_no_name() -> None:
    found = at(TYPED.replace("return this.$0", "this.$0"))
    assert found is not None
    assert not found.allows("", b"other")


def test_tokens_are_let_through_that_lead_to_a_name() -> None:
    found = at(TYPED)
    assert found is not None
    assert found.limits("")
    right = [
        "wi",
        "width",
        "width *",
        "width, this.height",
        "#",
        "#sec",
        "#secret;",
        "area()",
        "constructor",
        "grown(",
        "",
    ]
    wrong = ["deep", "widths", "wid(", "w*", " width", "\n", ".", "é", "secret", "#hidden", "toString"]
    assert [piece for piece in (*right, *wrong) if found.allows("", piece.encode())] == right
    assert found.allows("wi", b"dth)")
    assert not found.allows("wi", b"de")
    assert found.words("he") == ("ight",)
    assert found.words("#s") == ("ecret",)
    assert [found.may_end(text) for text in ("", "wi", "width", "#")] == [False, False, True, False]


def test_a_token_may_be_a_part_of_a_character() -> None:
    found = at(TYPED.replace("width", "größe"))
    assert found is not None
    first, second = "ö".encode()[:1], "ö".encode()[1:]
    assert found.allows("gr", first)
    assert found.allows("gr", first + second + b"\xc3")
    assert not found.allows("he", first)
    assert not found.allows("gr", "ä".encode()[1:])


@pytest.mark.parametrize(
    "text",
    [
        "width + this",
        "width + this?",
        "width;\n    const x = this",
        "width;\n    this",
        "`${this",
        "`${this.width} of ${this",
        "map((x) => this",
        "width // that\n    + this",
        "width + '\"' + this",
        "width;\n    if (call(by)) {\n      this",
    ],
)
def test_accesses_further_on_are_limited_as_well(text: str) -> None:
    found = at(TYPED.replace("return this.$0", "return $0"))
    assert found is not None
    assert found.limits(text)
    assert not found.allows(text, b".other(")
    assert found.allows(text, b".height")
    assert found.allows(text, b")")
    if not text.endswith("?"):
        assert not found.allows(text, b"?.other(")
        assert found.allows(text, b"?.height(")
    assert not found.allows(f"{text}.", b"other")


@pytest.mark.parametrize(
    "text",
    [
        "other.",
        "a.this.",
        "'this.",
        "// this.",
        "/* this.",
        "`this.",
        "`${by} this.",
        "`${by}\n    this.",
        "/* a\n    this.",
        "map(function () { return this.",
        "{ inner() { return this.",
        "{ inner<T>(x: T) { return this.",
        "{\n      inner(\n        a,\n      ) {\n        return this.",
        "by;\n    if (this instanceof Sub) return this.",
        "width;\n  }\n\n  other(by: number): number {\n    return this.",
        "width;\n  }\n\n  static other() {\n    return this.",
        "width;\n  }\n}\n\nclass Other {\n  a = this.",
    ],
)
def test_elsewhere_they_are_not(text: str) -> None:
    found = at(TYPED.replace("return this.$0", "return $0"))
    assert found is not None
    assert not found.limits(text)


def test_what_every_object_has_has_to_be_begun_or_used() -> None:
    found, begun = at(TYPED), at(TYPED.replace("this.$0", "this.to$0"))
    used = at(TYPED.replace("const local", "const text = String(by).toString();\n    const local"))
    assert found is not None
    assert begun is not None
    assert used is not None
    assert not found.allows("", b"toString")
    assert begun.allows("", b"String()")
    assert used.allows("", b"toString")
    alone = at("class Box {\n  a = 1;\n  f() {\n    return this.$0\n  }\n}\n")
    assert alone is not None
    assert alone.allows("", b"constructor"), "it is common"


def test_what_is_typed_counts_as_begun() -> None:
    found = at(TYPED.replace("this.$0", "this.he$0"))
    assert found is not None
    assert found.words("") == ("ight",)
    assert not found.allows("", b"avy")
    new = at(TYPED.replace("this.$0", "this.new$0"))
    assert new is not None
    assert not new.limits(""), "it is not one of the class's"


def test_what_the_text_has_defined_is_known() -> None:
    found = at(PLAIN.replace("return this.$0", "$0"), "javascript")
    assert found is not None
    assert found.allows("this.more = 1;\n    return this", b".more")
    assert not found.allows("return this", b".more")


def test_it_can_be_sent_to_another_process() -> None:
    found = at(TYPED)
    assert found is not None
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("language", "path"),
    [("markdown", "a.md"), ("html", "a.html"), ("vue", "a.vue"), ("plaintext", "a.txt"), ("go", "a.go")],
)
def test_other_languages_are_not_looked_into(language: str, path: str) -> None:
    assert at(TYPED, language, path) is None


def test_large_files_and_long_lines_are_not_looked_into() -> None:
    assert at(TYPED + "y = 1;\n" * 20_000) is None
    assert at(TYPED.replace("return this.$0", f"return {'1 + ' * 200}this.$0")) is None


@pytest.mark.parametrize("language", ["typescript", "javascript"])
def test_a_key_has_one_member_read(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = "".join(
        f"  method{n}() {{\n    this.value{n} = 1;\n    return this.value{n};\n  }}\n\n" for n in range(200)
    )
    functions = "".join(f"function free{n}() {{\n  return 1;\n}}\n\n" for n in range(200))
    source = f"{functions}class Long {{\n{methods}}}\n\n{functions}"
    document, place = parse_cursor(source.replace("return this.value7;", "return this.$0"), language_id=language)
    read: list[int] = []
    original = class_facts._facts_of_member

    def counted(node: Any, text: bytes, kinds: ClassKinds) -> Facts:
        read.append(len(text))
        return original(node, text, kinds)

    monkeypatch.setattr(class_facts, "_facts_of_member", counted)
    for key in range(3):
        read.clear()
        document = document.edited(place, place, b"v")
        place += 1
        found = members_at(document, place)
        assert found is not None
        assert "value7" in found.receivers[0].names
        assert key == 0 or len(read) == 1


@pytest.mark.parametrize(
    "more",
    [
        "  q() { `" + "this as " * 15_000 + "` }\n}\n",
        "  q() { const a = this; `" + "a[" * 50_000 + "` }\n}\n",
        "}\n" + "x=Box;" * 1000 + "\n",
        "}\n" + "{ class C { f() { " * 500 + "}}}" * 500 + "\n",
    ],
    ids=["casts", "brackets", "names", "nesting"],
)
def test_hostile_text_takes_little_time(more: str) -> None:
    source = TYPED.rstrip().removesuffix("}") + more
    begun = time.perf_counter()
    at(source)
    assert time.perf_counter() - begun < 3


def test_deep_in_other_nodes_nothing_is_known() -> None:
    source = "class C { f() { " * 1000 + TYPED + "}}" * 1000
    begun = time.perf_counter()
    assert known(source) is None
    assert time.perf_counter() - begun < 3


def test_deep_nesting_raises_nothing() -> None:
    for deep in ("(" * 300, "-" * 300, "a." * 150, "() => " * 60, "`${" * 100, "x = " * 90):
        at(TYPED.replace("return this.$0", f"return {deep}this.$0"))
        at(TYPED.replace("const local = by", f"const local = {deep * 20}1"))
    bases = "".join(f"class C{n} extends C{n + 1} {{}}\n\n" for n in range(300))
    assert known(f"{bases}class C300 extends C0 {{\n  f() {{\n    return this.$0\n  }}\n}}\n") is None


JAVA = """\
package app;

class Base {
    protected int count;
}

public class Box<T> extends Base implements Comparable<Box<T>> {
    private static final int MADE = 0;
    private final int width;
    private int height = 1, depth;

    public Box(int width) {
        this.width = width;
    }

    @Override
    public int compareTo(Box<T> other) {
        int local = this.width;
        return this.$0
    }

    static int make() {
        return 1;
    }
}
"""
JAVA_OWN = {"getClass", "count", "MADE", "width", "height", "depth", "compareTo", "make"}
PHP = """\
<?php

namespace App;

abstract class Base
{
    protected int $count = 0;
}

#[Made]
final class Box extends Base implements Shape
{
    public const LIMIT = 1;
    public static $made = 0;
    private ?string $kind = "box", $other;

    public function __construct(private readonly int $width, $plain)
    {
        $this->depth = $plain;
    }

    public static function make(): static
    {
        return new static(1);
    }

    public function grown(int $by): int
    {
        $local = $this->width;
        return $this->$0
    }
}
"""
PHP_OWN = {"count", "made", "kind", "other", "width", "depth", "make", "grown", "__construct"}
OTHERS = {"java": (JAVA, JAVA_OWN, "this."), "php": (PHP, PHP_OWN, "$this->")}


@pytest.mark.parametrize(
    "line",
    [
        "return $",
        "if ($",
        "while (1 > $",
        "call($",
        "x = by ? $",
        "call(1, $, 2);",
        "call(new Box($",
        "$",
        "for (;1 < $",
    ],
)
@pytest.mark.parametrize("language", OTHERS)
def test_in_java_and_php_they_are_known_as_well(language: str, line: str) -> None:
    source, own, access = OTHERS[language]
    line = line.replace("$", f"{access}$0").replace("x =", "$x =" if language == "php" else "int x =")
    assert known(source.replace(f"return {access}$0", line), language=language) == own


@pytest.mark.parametrize(
    ("language", "old", "new", "why"),
    [
        ("java", "class Base {", "class Base extends Imported {", "a base that is not in the file"),
        ("java", "Comparable<Box<T>>", "Comparable<Box<T>>, Iterable<T>", "an interface that may give methods"),
        ("java", "package app;", "package app;\n\nimport lombok.Data;", "methods that are generated"),
        ("java", "package app;", "package app;\n\nimport my.Comparable;", "an interface of the same name"),
        ("java", "local = this.width", "local = this.heigth", "a name that the class does not define"),
        ("java", "public int compareTo", "public static int compareTo", "a static method"),
        (
            "java",
            "return this.$0",
            "new Other() {\n            int f() { return this.$0 }\n        };",
            "another object",
        ),
        ("java", "return this.$0", "class Other { int f() { return this.$0 } }", "a class in the line"),
        ("java", "return this.$0", "}\n\n    enum Kind {\n        A;\n        int f() { return this.$0", "an enum"),
        ("java", "return this.$0", "}\n\n    record Pair(int a) {\n        int f() { return this.$0", "a record"),
        ("java", "return this.$0", "// this.$0", "a comment"),
        ("java", "return this.$0", "return Box.this.$0", "another object that is around"),
        ("php", "abstract class Base", "abstract class Base extends Imported", "a base that is not in the file"),
        ("php", "extends Base", "extends \\Other\\Base", "a base of another namespace"),
        ("php", "final class Box", "abstract class Box", "methods of an interface that others have to define"),
        ("php", "    public const", "    use Mixed;\n    public const", "a trait"),
        ("php", "    public const", "    public function __get($name) {}\n    public const", "a magic method"),
        ("php", "    public const", "    public function __Call($name, $all) {}\n    public const", "a magic method"),
        ("php", "#[Made]", "#[AllowDynamicProperties]", "names that other code gives it"),
        ("php", "#[Made]", "/** @mixin Other */", "a mixin by its documentation"),
        ("php", "$this->depth = $plain", "$this->$plain = 1", "a name that is computed"),
        ("php", "$this->depth = $plain", '$this->{"x_{$plain}"} = 1', "a name in braces that is computed"),
        ("php", "return $this->$0", "if ($this instanceof Sub) {\n    return $this->$0\n        }", "another class"),
        ("php", "return $this->$0", "A::macro('x', function () {\n    return $this->$0\n        });", "a macro"),
        ("php", "return $this->$0", "$f = Closure::bind(fn() => $this->$0, $by);", "a closure that is bound"),
        ("php", "return $this->$0", "(function () {\n    return $this->$0\n        })->call($by);", "a call of it"),
        ("php", "namespace App;", "namespace Other;\n\nnamespace App;", "a base in another namespace"),
        ("php", "$local = $this->width", "$local = $this->heigth", "a name that the class does not define"),
        ("php", "public function grown", "public static function grown", "a static method"),
        ("php", "final class Box", "trait Box", "a trait"),
        ("php", "return $this->$0", "$x = new class {\n            function f() { return $this->$0", "another object"),
        ("php", "return $this->$0", "function inner() { return $this->$0 }", "a function"),
        ("php", "return $this->$0", 'return "a $this->$0"', "a string"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_in_java_and_php_nothing_is_known_with(language: str, old: str, new: str, why: str) -> None:
    source, _, _ = OTHERS[language]
    assert old in source
    found = at(source.replace(old, new, 1), language)
    assert found is None or not found.limits(""), why


def test_in_java_types_may_stand_before_a_name() -> None:
    found = at(JAVA, "java")
    assert found is not None
    assert found.allows("", b"<String>of()")
    assert not found.allows("", b"of()")


def test_in_php_a_parameter_may_be_a_reference() -> None:
    names = known(PHP.replace("private readonly int $width", "private int &$width"), language="php")
    assert names == PHP_OWN


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("$this", ("->kind", "?->kind", "->", "-", " * 2", "->$name", "->{"), ("->other1", "?->size")),
        ("$this-", (">kind", ">"), (">size",)),
        ("$this->", ("kind", "kin", "$name", "{"), ("size", "kin$", "(")),
        ("1 + $this", ("->kind",), ("->size",)),
        ("fn() => $this", ("->kind",), ("->size",)),
        ("$x;\n        return $this", ("->kind",), ("->size",)),
    ],
)
def test_an_arrow_stands_in_front_of_a_name_in_php(text: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    found = at(PHP.replace("return $this->$0", "return $0"), "php")
    assert found is not None
    assert [piece for piece in (*right, *wrong) if found.allows(text, piece.encode())] == list(right)


PIECES = (
    *"()[]{}:.,=#'\"`\\@\n\n\t $;", "this", "this.#", "    ", "class A extends B {", "f() {", "return ", "é", "\0",
    "/*", "*/", "//", "=> ", "@x\n", "if (x) {\n", "\r\n", "static ", "width", "${",
)  # fmt: skip


@pytest.mark.parametrize("language", ["TypeScript", "JavaScript", "Java", "PHP"])
@pytest.mark.parametrize("seed", range(4))
def test_random_texts_raise_nothing(seed: int, language: str) -> None:
    rng = random.Random(seed)
    own = {"TypeScript": TYPED, "JavaScript": PLAIN, "Java": JAVA, "PHP": PHP}[language]
    for _ in range(scaled(200) // 8):
        source = rng.choice([own.replace("$0", ""), sample(named(language)).decode().replace("$0", "")])
        for _ in range(rng.randrange(4)):
            place = rng.randrange(len(source))
            source = source[:place] + rng.choice(PIECES) + source[place + rng.choice([0, 1, 20]) :]
        source = source.replace("$0", "")
        place = rng.randrange(len(source))
        found = at(f"{source[:place]}$0{source[place:]}", language.lower())
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(6)))
        if found is not None and found.limits(text):
            assert isinstance(found.allows(text, rng.choice(PIECES).encode()), bool)
            assert all(found.allows(text, word.encode()) for word in found.words(text))
