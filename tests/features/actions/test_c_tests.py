"""Generated tests in C and C++: whose framework it is, where they go, and what is kept of an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lsp_server.core.languages import find_language
from lsp_server.core.outline import broken_at, definitions
from lsp_server.features.actions.generated_tests.frameworks import FRAMEWORKS, framework_named, masked
from lsp_server.features.actions.generated_tests.place import Place, PlaceError
from lsp_server.features.actions.generated_tests.places import find_place
from lsp_server.features.actions.generated_tests.runtests import run_tests
from lsp_server.features.actions.generated_tests.testcode import read_tests
from lsp_server.features.actions.generated_tests.testparts import NewTests

CPP = {
    "src/shop.h": "#pragma once\nnamespace shop {\nint total(int a);\nclass Stack {\n public:\n  void push(int a);\n};\n}\n",
    "src/shop.cpp": '#include "shop.h"\nnamespace shop {\nint total(int a) {\n  return a;\n}\nint hidden(int a) {\n  return a;\n}\n'
    "void Stack::push(int a) {}\n}\n",
}
C = {
    "src/shop.h": "#ifndef SHOP_H\n#define SHOP_H\nint total(int a);\n#endif\n",
    "src/shop.c": '#include "shop.h"\n\nstatic int hidden(int a) {\n    return a;\n}\n\nint total(int a) {\n    return hidden(a);\n}\n',
}
# What shows the framework, a good answer, and the file that it makes.
FRAMES = {
    "GoogleTest": (
        {**CPP, "CMakeLists.txt": "find_package(GTest REQUIRED)\nfile(GLOB tests tests/*.cpp)\n"},
        '#include <gtest/gtest.h>\n#include "your_code.h"\n#include <vector>\n\nint total(int a) { return 0; }\n\n'
        "TEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}\n\n"
        "int main(int argc, char** argv) {\n  return RUN_ALL_TESTS();\n}\n",
        '#include <gtest/gtest.h>\n#include <vector>\n\n#include "../src/shop.h"\n\nusing shop::total;\n\n'
        "TEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}\n",
    ),
    "doctest": (
        {**CPP, "third_party/doctest.h": ""},
        '#define DOCTEST_CONFIG_IMPLEMENT\nTEST_CASE("adds (all)") {\n  SUBCASE("one") {\n    CHECK(total(1) == 1);\n  }\n}\n',
        "#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n\n#include <doctest/doctest.h>\n\n"
        '#include "../src/shop.h"\n\nusing shop::total;\n\n'
        'TEST_CASE("adds (all)") {\n  SUBCASE("one") {\n    CHECK(total(1) == 1);\n  }\n}\n',
    ),
    "Catch2": (
        {**CPP, "conanfile.txt": "[requires]\ncatch2/3.5.0\n"},
        '#include <catch2/catch_approx.hpp>\nTEST_CASE("adds", "[shop]") {\n  SECTION("one") {\n    REQUIRE(total(1) == 1);\n  }\n}\n',
        "#include <catch2/catch_test_macros.hpp>\n#include <catch2/catch_approx.hpp>\n\n"
        '#include "../src/shop.h"\n\nusing shop::total;\n\n'
        'TEST_CASE("adds", "[shop]") {\n  SECTION("one") {\n    REQUIRE(total(1) == 1);\n  }\n}\n',
    ),
    "Unity": (
        {**C, "Makefile": "test: lib/unity.c $(wildcard tests/*.c)\n"},
        "static int one;\n\nvoid setUp(void) {\n    one = 1;\n}\n\nvoid test_total(void) {\n    TEST_ASSERT_EQUAL_INT(one, total(one));\n}\n",
        '#include "unity.h"\n#include "../src/shop.h"\n\nvoid tearDown(void) {}\n\nstatic int one;\n\n'
        "void setUp(void) {\n    one = 1;\n}\n\nvoid test_total(void) {\n    TEST_ASSERT_EQUAL_INT(one, total(one));\n}\n\n"
        "int main(void) {\n    UNITY_BEGIN();\n    RUN_TEST(test_total);\n    return UNITY_END();\n}\n",
    ),
    "Check": (
        {**C, "configure.ac": "PKG_CHECK_MODULES([CHECK], [check >= 0.9])\n"},
        "#include <check.h>\n\nSTART_TEST(test_total)\n{\n    ck_assert_int_eq(total(1), 1);\n}\nEND_TEST\n",
        '#include <check.h>\n#include <stdlib.h>\n\n#include "../src/shop.h"\n\n'
        "START_TEST(test_total)\n{\n    ck_assert_int_eq(total(1), 1);\n}\nEND_TEST\n\n"
        'int main(void) {\n    Suite *suite = suite_create("shop");\n    TCase *tcase = tcase_create("shop");\n'
        "    tcase_add_test(tcase, test_total);\n    suite_add_tcase(suite, tcase);\n"
        "    SRunner *runner = srunner_create(suite);\n    srunner_run_all(runner, CK_NORMAL);\n"
        "    int failed = srunner_ntests_failed(runner);\n    srunner_free(runner);\n"
        "    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;\n}\n",
    ),
    "cmocka": (
        {**C, "meson.build": "dependency('cmocka')\n"},
        "static void test_total(void **state) {\n    assert_int_equal(total(1), 1);\n}\n",
        "#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <cmocka.h>\n\n"
        '#include "../src/shop.h"\n\nstatic void test_total(void **state) {\n    assert_int_equal(total(1), 1);\n}\n\n'
        "int main(void) {\n    const struct CMUnitTest tests[] = {\n        cmocka_unit_test(test_total),\n    };\n"
        "    return cmocka_run_group_tests(tests, NULL, NULL);\n}\n",
    ),
}


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def place_of(root: Path, source: str, name: str = "total") -> Place:
    language = find_language("", source)
    code = (root / source).read_bytes()
    target = next(one for one in definitions(language, code) if one.name == name)
    return find_place(root / source, language, target, [root])


def made(root: Path, source: str, answer: str, name: str = "total") -> NewTests:
    """What becomes of the test file, which is written."""
    place = place_of(root, source, name)
    language = find_language("", source)
    code = (root / source).read_text()
    target = next(one for one in definitions(language, code.encode()) if one.name == name)
    existing = place.file.read_text() if place.file.exists() else ""
    found = read_tests(answer, existing, place, language, target, code)
    if found.text:
        lay(root, {place.file.relative_to(root).as_posix(): found.text})
    return found


def in_project(root: Path, framework: str) -> str:
    """The source under test in a project with this framework."""
    lay(root, FRAMES[framework][0])
    return next(name for name in FRAMES[framework][0] if name.startswith("src/shop.c"))


@pytest.mark.parametrize("framework", FRAMES)
def test_a_new_file(tmp_path: Path, framework: str) -> None:
    source = in_project(tmp_path, framework)
    assert place_of(tmp_path, source).framework == framework
    found = made(tmp_path, source, f"Here they are:\n```\n{FRAMES[framework][1]}```\nEnjoy.")
    assert found.problem == ""
    assert found.text == FRAMES[framework][2]
    assert len(found.names) == 1


@pytest.mark.parametrize("framework", FRAMES)
def test_adding_twice_says_nothing_twice(tmp_path: Path, framework: str) -> None:
    source = in_project(tmp_path, framework)
    answer = FRAMES[framework][1]
    first = made(tmp_path, source, answer)
    assert "already" in made(tmp_path, source, answer).problem
    again = made(tmp_path, source, answer.replace("total(one)", "total(one + 0)").replace("total(1)", "total(1 + 0)"))
    assert again.problem == ""
    assert not set(again.names) & set(first.names)
    assert again.text.replace("\n", "").startswith(first.text.split("\n\n", 1)[0].replace("\n", ""))
    rules = framework_named(framework)
    names = [found["name"] for found in re.finditer(rules.tests, again.text)]
    assert len(names) == len(set(names)) == 2
    lines = [line for line in again.text.split("\n") if line.startswith(("#", "using", "int main"))]
    assert len(lines) == len(set(lines))
    if rules.registration:
        assert [found["name"] for found in re.finditer(rules.registered, again.text)] == names
        assert again.text.rindex(names[1] + "(" if framework != "Check" else "END_TEST") < again.text.index("int main")
    language = find_language("", "a.c" if framework in {"Unity", "Check", "cmocka"} else "a.cpp")
    assert not broken_at(language, masked(rules, again.text.encode()))


def test_macros_are_masked_by_as_many_bytes() -> None:
    text = 'TEST_CASE("é (")  {\n  SECTION("a\\"b)") { CHECK(f(1)); }\n}\n// TEST_CASE("x") {\nint SECTIONS = 1;\n'.encode()
    for framework in FRAMEWORKS:
        assert len(masked(framework, text)) == len(text)
        assert masked(framework, text).count(b"\n") == text.count(b"\n")
    cpp = find_language("cpp")
    assert broken_at(cpp, text)
    assert not broken_at(cpp, masked(framework_named("Catch2"), text))
    mock = b"struct M {\n  MOCK_METHOD(int, f, (int, (std::map<int, int>)), (override));\n};\n"
    assert not broken_at(cpp, masked(framework_named("GoogleTest"), mock))


@pytest.mark.parametrize("framework", FRAMES)
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "no tests"),
        ("I cannot write tests for this.", "no tests"),
        ("int total(int a) {\n  return a;\n}\n", "no tests"),
        ("TEST(A, B {\n  EXPECT_EQ(total(1", "not parse|no tests"),
        ("TEST_P(Many, Adds) {\n  EXPECT_EQ(total(GetParam()), 1);\n}\n", "no tests"),
        ("TEST_F(NowhereTest, Adds) {\n  EXPECT_EQ(total(one), 1);\n}\n", "no tests"),
        ("```\nimport pytest\ndef test_total():\n    assert total(1) == 1\n```", "not parse|no tests"),
    ],
)
def test_an_answer_without_tests_is_none(tmp_path: Path, framework: str, answer: str, problem: str) -> None:
    source = in_project(tmp_path, framework)
    assert re.search(problem, made(tmp_path, source, answer).problem)


@pytest.mark.parametrize("framework", FRAMES)
def test_a_test_that_checks_nothing_of_the_code_is_none(tmp_path: Path, framework: str) -> None:
    """The name of a test says nothing, nor does a comment, and a call alone checks nothing."""
    source = in_project(tmp_path, framework)
    rules = framework_named(framework)
    check = next(found for found in re.finditer(rf"(?:{rules.checks})[^;]*;", FRAMES[framework][1]))
    for body in (re.sub(r"total\((\w+)\)", r"\1", check[0]) + " // total(1)", "total(1);"):
        answer = FRAMES[framework][1].replace(check[0], body)
        assert made(tmp_path, source, answer).problem == "no test in the answer checks `total`"
    named = re.sub(
        r"\bAdds\b|\badds\b", "total", FRAMES[framework][1].replace("total(1)", "1").replace("total(one)", "1")
    )
    assert made(tmp_path, source, named).problem == "no test in the answer checks `total`"


def test_what_an_answer_includes_is_there(tmp_path: Path) -> None:
    root = tmp_path / "w"
    source = in_project(root, "GoogleTest")
    lay(root, {"tests/helpers.h": "", "../outside.h": ""})
    listed = (
        '"helpers.h"',
        '"missing.h"',
        '"../../outside.h"',
        "<vector>",
        "<boost/any.hpp>",
        "<gmock/gmock.h>",
        '"shop.h"',
    )
    answer = "".join(f"#include {each}\n" for each in listed) + "TEST(A, B) {\n  EXPECT_EQ(total(1), 1);\n}\n"
    found = re.findall(r"#include (.*)", made(root, source, answer).text)
    assert found == ["<gtest/gtest.h>", "<vector>", "<gmock/gmock.h>", '"../src/shop.h"', '"helpers.h"']


def test_what_is_whole_of_a_cut_answer_is_kept(tmp_path: Path) -> None:
    source = in_project(tmp_path, "GoogleTest")
    answer = FRAMES["GoogleTest"][1].split("int main")[0]
    found = made(tmp_path, source, f"```cpp\n{answer}TEST(ShopTest, Cut) {{\n  EXPECT_EQ(total(2), ")
    assert found.names == ("ShopTest.Adds",)
    assert found.text == FRAMES["GoogleTest"][2]


FIXTURE = (
    "int Twice(int a) { return 2 * a; }\nint Four(int a) { return Twice(Twice(a)); }\n"
    "class ShopTest : public ::testing::Test {\n protected:\n  int one = 1;\n};\n"
    "TEST_F(ShopTest, Adds) {\n  EXPECT_EQ(total(Four(one)), 4);\n}\n"
)


def test_helpers_come_along_and_keep_out_of_each_others_way(tmp_path: Path) -> None:
    source = in_project(tmp_path, "GoogleTest")
    first = made(tmp_path, source, FIXTURE + "int Unused() { return 1; }\n")
    assert "class ShopTest : public ::testing::Test {\n protected:\n  int one = 1;\n};\n" in first.text
    assert first.text.index("int Twice") < first.text.index("int Four") < first.text.index("TEST_F")
    assert "Unused" not in first.text
    second = made(tmp_path, source, FIXTURE.replace("2 * a", "3 * a").replace("one = 1", "one = 3"))
    assert second.names == ("ShopTest_2.Adds",)
    assert "class ShopTest_2 " in second.text
    assert "int Twice_2(int a) { return 3 * a; }" in second.text
    assert "int Four_2(int a) { return Twice_2(Twice_2(a)); }" in second.text
    # A suite has one fixture: a plain test of that suite takes it over.
    third = made(tmp_path, source, "TEST(ShopTest, Adds) {\n  EXPECT_EQ(total(7), 7);\n}\n")
    assert third.names == ("ShopTest.Adds2",)
    assert "TEST_F(ShopTest, Adds2) {" in third.text


@pytest.mark.parametrize(
    ("helper", "name"),
    [
        ("static const int values[] = {1, 2};", "values"),
        ("std::map<int, int> table{{1, 1}};", "table"),
        ("using Number = int;", "Number"),
        ("typedef struct {\n  int one;\n} Number;", "Number"),
        ("struct Number {\n  int one;\n};", "Number"),
        ("template <class T>\nT same(T a) {\n  return a;\n}", "same"),
        ("static int (*function)(int) = &total;", "function"),
        ("#define ONE 1", "ONE"),
        ("int later(int a);", "later"),
    ],
)
def test_what_helpers_are_called(tmp_path: Path, helper: str, name: str) -> None:
    """By which they come along where they are used, and get another name beside one that is there."""
    source = in_project(tmp_path, "GoogleTest")
    test = f"\n\nTEST(ShopTest, Adds) {{\n  EXPECT_EQ(total(1), sizeof({name}));\n}}\n"
    assert f"\n\n{helper}\n\n" in made(tmp_path, source, helper + test).text
    other = helper.replace("int", "long").replace("return a", "return -a").replace("ONE 1", "ONE 3")
    again = made(tmp_path, source, other + test)
    assert again.names == ("ShopTest.Adds2",)
    assert f"sizeof({name}_2)" in again.text
    assert len(re.findall(rf"\b{name}\b", again.text)) == 2


def test_new_tests_stand_behind_the_last_one(tmp_path: Path) -> None:
    """Inside its namespace, whose end has a comment, and without saying what is there in another wording."""
    source = in_project(tmp_path, "GoogleTest")
    existing = (
        '// Tests.\n#include "src/shop.h"\n\n#include "gtest/gtest.h"\n\nnamespace shop {\nnamespace {\n\n'
        "TEST(Old, One) {\n  EXPECT_EQ(total(0), 0);\n}  // One\n\n}  // namespace\n}  // namespace shop\n"
    )
    lay(tmp_path, {"tests/unit/shop_unittest.cc": existing})
    found = made(tmp_path, source, FRAMES["GoogleTest"][1])
    added = "\n\nTEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}"
    expected = existing.replace("// One", "// One" + added).replace('gtest.h"\n', 'gtest.h"\n#include <vector>\n')
    assert found.text == expected
    suite = '#include <doctest.h>\n\nTEST_SUITE("shop") {\n    TEST_CASE("old") {\n        CHECK(total(0) == 0);\n    }\n}\n'
    other = tmp_path / "other"
    lay(other, {**CPP, "tests/shop_test.cpp": suite})
    found = made(other, "src/shop.cpp", FRAMES["doctest"][1])
    assert '    }\n\n    TEST_CASE("adds (all)") {\n      SUBCASE("one") {' in found.text
    assert found.text.endswith("    }\n}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("TEST(Old, One) {\n}  // One", "TEST(Old, One) {\n}  // One\n\n$"),
        ("TEST(a){\n}\nTEST(Old, One) {\n}\nint x;\n", "TEST(a){\n}\nTEST(Old, One) {\n}\n\n$\nint x;\n"),
        ("#ifdef X\nTEST(ShopTest, Adds) {\n}\n#endif\n", "#ifdef X\nTEST(ShopTest, Adds) {\n}\n#endif\n\n$2\n"),
        ('auto x = R"(\nTEST(A, B) {\n}\n)";\n', 'auto x = R"(\nTEST(A, B) {\n}\n)";\n\n$\n'),
    ],
    ids=["a comment at the end", "a macro shorter than what masks it", "a condition", "a raw string"],
)
def test_files_written_in_other_ways(tmp_path: Path, before: str, after: str) -> None:
    source = in_project(tmp_path, "GoogleTest")
    head = '#include "gtest/gtest.h"\n#include "../src/shop.h"\n\nusing shop::total;\n\n'
    lay(tmp_path, {"tests/shop_test.cpp": head + before})
    answer = "TEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}"
    found = made(tmp_path, source, answer)
    expected = after.replace("$2", answer.replace("Adds", "Adds2")).replace("$", answer)
    assert found.text == head + expected


def test_an_answer_does_not_define_the_framework(tmp_path: Path) -> None:
    source = in_project(tmp_path, "GoogleTest")
    answer = "#define TEST(suite, name) void name()\n" + FRAMES["GoogleTest"][1]
    assert made(tmp_path, source, answer).text == FRAMES["GoogleTest"][2]


def test_a_comment_brings_no_names_in(tmp_path: Path) -> None:
    source = in_project(tmp_path, "GoogleTest")
    commented = '#include "gtest/gtest.h"\n// #include "../src/shop.h"\n// using shop::total;\n// namespace shop\n'
    lay(tmp_path, {"tests/shop_test.cpp": commented})
    text = made(tmp_path, source, FRAMES["GoogleTest"][1]).text
    assert {'#include "../src/shop.h"', "using shop::total;"} <= set(text.split("\n"))


def test_namespaces_in_each_other_without_end_are_no_tests(tmp_path: Path) -> None:
    source = in_project(tmp_path, "GoogleTest")
    answer = "namespace a {" * 2000 + FRAMES["GoogleTest"][1] + "}" * 2000
    assert made(tmp_path, source, answer).problem


@pytest.mark.parametrize(
    ("framework", "line", "added"),
    [
        ("cmocka", "cmocka_unit_test_setup(test_old, up)", "cmocka_unit_test_setup(test_old, up),\n        cmocka_unit_test(test_total),"),
        ("Check", "tcase_add_test(core, test_old);", "tcase_add_test(core, test_old);\n        tcase_add_test(core, test_total);"),
        ("Unity", "RUN_TEST(test_old);", "RUN_TEST(test_old);\n        RUN_TEST(test_total);"),
    ],
)  # fmt: skip
def test_tests_in_c_are_registered_as_the_others_are(tmp_path: Path, framework: str, line: str, added: str) -> None:
    source = in_project(tmp_path, framework)
    head = framework_named(framework).headers[-1 if framework == "cmocka" else 0]
    existing = f"{head}\n\nvoid helper(void) {{}}\n\n// Runs them.\nint main(void) {{\n        {line}\n}}\n"
    lay(tmp_path, {"tests/test_shop.c": existing})
    found = made(tmp_path, source, FRAMES[framework][1])
    assert f"        {added}\n}}\n" in found.text
    assert found.text.index("total(") < found.text.index("// Runs them.")
    lay(tmp_path, {"tests/test_shop.c": existing.replace(line, "run();")})
    assert "without which no test runs" in made(tmp_path, source, FRAMES[framework][1]).problem


def test_tests_in_c_stand_above_what_registers_them(tmp_path: Path) -> None:
    """In a file that declares its tests in front of `main` and defines them behind it; a comment registers none."""
    source = in_project(tmp_path, "Unity")
    existing = (
        '#include "unity.h"\n\nvoid test_old(void);\n\nint main(void) {\n    RUN_TEST(test_old);\n'
        "    /* RUN_TEST(test_gone);\n     */\n    return 0;\n}\n\nvoid test_old(void) {}\n"
    )
    lay(tmp_path, {"tests/test_shop.c": existing})
    text = made(tmp_path, source, FRAMES["Unity"][1]).text
    assert "RUN_TEST(test_old);\n    RUN_TEST(test_total);\n    /*" in text
    assert text.index("void test_total(void) {") < text.index("int main") < text.index("void test_old(void) {}")
    lay(tmp_path, {"tests/test_shop.c": existing.replace("RUN_TEST(test_old);", "// RUN_TEST(test_old);")})
    assert "without which no test runs" in made(tmp_path, source, FRAMES["Unity"][1]).problem


def test_unity_files_whose_main_is_generated(tmp_path: Path) -> None:
    lay(tmp_path, {**C, "project.yml": ":unity:\n  :defines: []\n"})
    found = made(tmp_path, "src/shop.c", FRAMES["Unity"][1])
    assert "main" not in found.text
    again = made(tmp_path, "src/shop.c", FRAMES["Unity"][1].replace("total(one)", "total(1)"))
    assert again.names == ("test_total_2",)
    assert "RUN_TEST" not in again.text


# Places ---------------------------------------------------------------------------------------------------

GTEST = "#include <gtest/gtest.h>\nTEST(A, B) {}\n"


@pytest.mark.parametrize(
    ("files", "file", "header"),
    [
        ({"tests/cart_test.cc": GTEST}, "tests/shop_test.cc", "../src/shop.h"),
        ({"test/test_cart.cpp": GTEST}, "test/test_shop.cpp", "../src/shop.h"),
        ({"tests/test_cart.cpp": "\ufeff" + GTEST}, "tests/test_shop.cpp", "../src/shop.h"),
        ({"tests/CartTest.cpp": GTEST}, "tests/ShopTest.cpp", "../src/shop.h"),
        ({"src/cart_unittest.cc": GTEST}, "src/shop_unittest.cc", "shop.h"),
        ({"tests/a/b/Shop-Test.cpp": GTEST, "tests/cart_test.cc": GTEST}, "tests/a/b/Shop-Test.cpp", "../../../src/shop.h"),
        ({"tests/cart_test.cc": GTEST + '#include "shop.h"\n'}, "tests/shop_test.cc", "shop.h"),
        ({"tests/cart_test.cc": GTEST + '#include "src/shop.h"\n'}, "tests/shop_test.cc", "src/shop.h"),
        ({"third_party/googletest/test/shop_test.cc": GTEST, "CMakeLists.txt": "gtest"}, "tests/shop_test.cpp", "../src/shop.h"),
        ({"unit_tests/readme.cpp": GTEST}, "unit_tests/shop_test.cpp", "../src/shop.h"),
    ],
)  # fmt: skip
def test_the_place_is_the_projects(tmp_path: Path, files: dict[str, str], file: str, header: str) -> None:
    lay(tmp_path, {**CPP, **files})
    place = place_of(tmp_path, "src/shop.cpp")
    assert place.file.relative_to(tmp_path).as_posix() == file
    assert place.imports[1:] == (f'#include "{header}"', "using shop::total;")


@pytest.mark.parametrize(
    ("header", "name", "used"),
    [
        ("#include <map>\nnamespace shop {\nstd::map<int, int> map(int a);\n}\n", "map", "shop::map"),
        ("#define OPEN namespace x {\\\n\nOPEN\nnamespace shop {\nint total(int a);\n}\n", "total", "shop::total"),
        ("namespace b {\nclass Stack;\n}\nnamespace shop {\nclass Stack : A {};\n}\n", "Stack::push", "shop::Stack"),
        ("namespace shop {\ntemplate <class T> class Stack {};\n}\n", "shop::Stack<A<B<int>>>::push", "shop::Stack"),
        ('constexpr auto a = R"(" namespace x {)";\nnamespace shop {\nint total(int a);\n}\n', "total", "shop::total"),
    ],
    ids=["an include", "a macro", "a forward declaration", "template arguments", "a raw string"],
)
def test_the_namespace_is_that_of_the_declaration(tmp_path: Path, header: str, name: str, used: str) -> None:
    lay(tmp_path, {"src/shop.h": header, "src/shop.cpp": f"void {name}(int a) {{}}\n", "BUILD": "gtest"})
    assert place_of(tmp_path, "src/shop.cpp", name).imports[2:] == (f"using {used};",)


def test_files_of_openers_and_of_blank_lines_are_read_once(tmp_path: Path) -> None:
    """Not once from each opener or line: that takes minutes."""
    lay(tmp_path, {**CPP, "src/shop.h": CPP["src/shop.h"] + "/* " * 60_000, "tests/shop_test.cpp": GTEST})
    lay(tmp_path, {"tests/empty_test.cpp": "\n" * 190_000})
    assert place_of(tmp_path, "src/shop.cpp").imports[2:] == ("using shop::total;",)


def test_a_header_in_a_folder_of_its_own(tmp_path: Path) -> None:
    source = '#include "shop/shop.hpp"\n\nvoid shop::Stack<T>::push(int a) {}\n'
    header = "namespace shop::inner {\n// class Stack\ntemplate <class T> class Stack {\n  void push(int a);\n};\n}\n"
    lay(tmp_path, {"include/shop/shop.hpp": header, "src/impl.cc": source, "CMakeLists.txt": "gtest"})
    name = definitions(find_language("cpp"), source.encode())[0].name
    place = place_of(tmp_path, "src/impl.cc", name)
    assert place.imports[1:] == ('#include "shop/shop.hpp"', "using shop::inner::Stack;")
    assert place.file == tmp_path / "tests" / "impl_test.cc"
    inline = "inline int total(int a) {\n  return a;\n}\n"
    lay(tmp_path, {"include/shop/free.hpp": inline})
    place = place_of(tmp_path, "include/shop/free.hpp")
    assert place.imports[1:] == ('#include "shop/free.hpp"',)
    assert place.file.name == "free_test.cpp"


def test_c_that_is_tested_in_cpp(tmp_path: Path) -> None:
    lay(tmp_path, {**C, "tests/cart_test.cc": GTEST})
    found = made(tmp_path, "src/shop.c", FRAMES["GoogleTest"][1])
    assert 'extern "C" {\n#include "../src/shop.h"\n}\n' in found.text
    again = made(tmp_path, "src/shop.c", "TEST(Shop, More) {\n  EXPECT_EQ(total(3), 3);\n}\n")
    assert again.text.count("shop.h") == 1
    lay(tmp_path, {"tests/test_cart.c": '#include "unity.h"\n', "tests/test_more.c": '#include "unity.h"\n'})
    assert place_of(tmp_path, "src/shop.c").framework == "Unity"


@pytest.mark.parametrize(
    ("files", "source", "name", "why"),
    [
        (CPP, "src/shop.cpp", "total", "no test framework for C.., known are GoogleTest, doctest and Catch2"),
        (C, "src/shop.c", "total", "no test framework for C; known are .*Unity, Check and cmocka"),
        ({**C, "Makefile": "check: all\n"}, "src/shop.c", "total", "no test framework"),
        ({**C, "meson.build": "cmocka"}, "src/shop.c", "hidden", "`hidden` is not declared in shop.h"),
        ({**CPP, "BUILD": "gtest"}, "src/shop.cpp", "hidden", "`hidden` is not declared in shop.h"),
        ({"a.cpp": "int total() { return 1; }\n", "BUILD": "gtest"}, "a.cpp", "total", "a.cpp has no header"),
        ({"a.c": "int main(void) { return 1; }\n", "BUILD": "cmocka"}, "a.c", "main", "cannot be called"),
        ({"tests/a.cc": "int total() { return 1; }\n"}, "tests/a.cc", "total", "is a test file itself"),
        (
            {**CPP, "BUILD": "gtest", "src/shop.h": "#include <total>\n"},
            "src/shop.cpp",
            "total",
            "is not declared in shop.h",
        ),
        (
            {**CPP, "BUILD": "gtest", "tests/shop_test.cpp": "int main() {}\n"},
            "src/shop.cpp",
            "total",
            "program without Goo",
        ),
        ({"a_test.cc": "int total() { return 1; }\n"}, "a_test.cc", "total", "is a test file itself"),
    ],
)
def test_what_cannot_be_tested_is_said(tmp_path: Path, files: dict[str, str], source: str, name: str, why: str) -> None:
    lay(tmp_path, files)
    with pytest.raises(PlaceError, match=why.replace("C..,", r"C\+\+;")):
        place_of(tmp_path, source, name)


@pytest.mark.parametrize(
    ("tests", "define"),
    [
        ({}, True),
        ({"tests/main.cpp": "#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n#include <doctest/doctest.h>\n"}, False),
        (
            {
                "tests/a_test.cpp": "#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN\n#include <doctest/doctest.h>\n"
                'TEST_CASE("a") {}\n'
            },
            True,
        ),
    ],
)
def test_a_file_is_a_program_where_the_others_are(tmp_path: Path, tests: dict[str, str], define: bool) -> None:
    lay(tmp_path, {**FRAMES["doctest"][0], **tests})
    found = made(tmp_path, "src/shop.cpp", FRAMES["doctest"][1])
    assert ("DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN" in found.text) == define


def test_a_project_that_is_no_workspace(tmp_path: Path) -> None:
    """Its outermost build file says where it begins."""
    lay(tmp_path, {**CPP, "CMakeLists.txt": "gtest\n", "src/CMakeLists.txt": "add_library(shop shop.cpp)\n"})
    code = (tmp_path / "src" / "shop.cpp").read_bytes()
    target = next(one for one in definitions(find_language("cpp"), code) if one.name == "total")
    place = find_place(tmp_path / "src" / "shop.cpp", find_language("cpp"), target, [])
    assert place.root == tmp_path
    assert place.framework == "GoogleTest"


def test_a_build_file_that_names_the_others_is_told_of(tmp_path: Path) -> None:
    lay(tmp_path, {**CPP, "CMakeLists.txt": "gtest\n", "tests/CMakeLists.txt": "add_executable(t cart_test.cpp)\n"})
    assert place_of(tmp_path, "src/shop.cpp").note == "add it to tests/CMakeLists.txt"
    lay(tmp_path, {"tests/CMakeLists.txt": "add_executable(t shop_test.cpp)\n"})
    assert place_of(tmp_path, "src/shop.cpp").note == ""


def test_a_source_may_be_called_nearly_as_a_test(tmp_path: Path) -> None:
    lay(
        tmp_path, {"spell_check.h": "int total();\n", "spell_check.cc": "int total() { return 1; }\n", "BUILD": "gtest"}
    )
    assert place_of(tmp_path, "spell_check.cc").file.name == "spell_check_test.cc"


def test_a_test_of_an_operator_checks_something(tmp_path: Path) -> None:
    """It does not name the operator."""
    lay(tmp_path, {"a.h": "struct A {};\nbool operator==(A a, A b);\n", "BUILD": "gtest"})
    lay(tmp_path, {"a.cc": '#include "a.h"\nbool operator==(A a, A b) { return true; }\n'})
    answer = "TEST(ATest, Same) {\n  EXPECT_TRUE(A() == A());\n}\n"
    assert made(tmp_path, "a.cc", answer.replace("EXPECT_TRUE", ""), "operator==").problem
    assert made(tmp_path, "a.cc", answer, "operator==").names == ("ATest.Same",)


@pytest.mark.parametrize("length", [300, 5000])
def test_names_that_no_file_can_have_are_no_includes(tmp_path: Path, length: int) -> None:
    source = in_project(tmp_path, "GoogleTest")
    lay(tmp_path, {source: f'#include "{"a" * length}.h"\n{CPP[source]}', "tests/helpers.h": ""})
    include = f'#include "{"a" * length}.h"\n'
    assert made(tmp_path, source, include + FRAMES["GoogleTest"][1]).text == FRAMES["GoogleTest"][2]


async def test_just_these_tests_run_where_cmake_has_built(tmp_path: Path) -> None:
    lay(tmp_path, {**CPP, "CMakeLists.txt": "gtest\n"})
    assert place_of(tmp_path, "src/shop.cpp").command == ()
    lay(tmp_path, {"build/CTestTestfile.cmake": "", "build/CMakeCache.txt": "CMAKE_GENERATOR:INTERNAL=Ninja\n"})
    command = place_of(tmp_path, "src/shop.cpp").run_command(["Shop.Adds", "Shop.More"])
    build = str(tmp_path / "build")
    assert command[:4] == ["ctest", "--build-and-test", str(tmp_path), build]
    assert command[-2:] == ["-R", r"^(shop_test|Shop\.Adds|Shop\.More)$"]
    lay(tmp_path, {"src/c++.h": "int more();\n", "src/c++.cpp": "int more() { return 1; }\n"})
    assert place_of(tmp_path, "src/c++.cpp", "more").run_command(["A.B"])[-1] == r"^(c\+\+_test|A\.B)$"
    lay(tmp_path, {**C, "tests/test_cart.c": "#include <cmocka.h>\n"})
    assert place_of(tmp_path, "src/shop.c").run_command(["test_total"])[-1] == "^test_shop$"
    assert ": no tests ran" in await run_tests(["echo", "No tests were found!!!"], tmp_path, 30)
