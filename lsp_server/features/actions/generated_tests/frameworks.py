"""The test frameworks of C and C++, one data entry for each: how a project is seen to use it, and how its tests look.

Their tests are macros that no grammar knows, such as `TEST(Suite, Name) { … }`. `masked` replaces such a macro by the
head of a function or block of the same length, so that the text parses and all offsets stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

_STRING = r'"(?:\\.|[^"\\\n])*"'
_ARGUMENTS = rf"\((?:{_STRING}|[^()\"])*\)"
for _ in range(3):  # brackets in brackets
    _ARGUMENTS = rf"\((?:{_STRING}|{_ARGUMENTS}|[^()\"])*\)"
# An include line: the opening sign and the path.
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
_IN_C = ("C", "C++")
_NOT_CODE = re.compile(
    rb'//[^\n]*|/\*.*?(?:\*/|\Z)|R"(?P<mark>[^()\s"\\]{0,16})\(.*?(?:\)(?P=mark)"|\Z)|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Framework:
    """Everything that fimble knows about a framework. All patterns are regular expressions.

    languages: those whose code its tests can call. extension: of test files, with its dot; empty means the source's.
    file: the name of a test file in a project that has none yet, with `{stem}`.

    header: a pattern for the path that test files include. headers: the include lines if there is no test file yet.
    more: a pattern for further headers of it. vendored: names of files that show a copy of it in the project. signs: a
    pattern for its name in build files.

    tests: a pattern for the beginning of a test, with the group `name` and, if there are suites, `suite`. functions:
    macros that are the head of a function. blocks: macros that are the head of a block in one. scopes: macros around
    several functions. gone: macros that are removed before parsing. closing: a pattern for the text after a test's body
    that belongs to the test. checks: a pattern for a check in a test.

    begin: the beginning of the first test of an answer. hint: how tests should be written, with `{suite}`. generated:
    whether a tool may generate `main`, so that a project's test files have none. define: a line that makes a new file a
    program of its own, if it includes a path that matches `defined_for`. It is used if none or all of the project's
    test files are such programs; `program` is a pattern for them.
    fixtures: functions that a file must have, by name. main: the end of a new file, with `{registered}` for the lines
    that register its tests. registration: such a line, with `{name}`, and `{group}` from the previous such line.
    registered: a pattern for it.
    """

    name: str
    languages: tuple[str, ...]
    extension: str
    file: str
    header: str
    headers: tuple[str, ...]
    vendored: tuple[str, ...]
    signs: str
    tests: str
    checks: str
    begin: str
    hint: str
    functions: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    closing: str = ""
    more: str = ""
    generated: bool = False
    define: str = ""
    defined_for: str = ""
    program: str = ""
    fixtures: tuple[tuple[str, str], ...] = ()
    main: str = ""
    registration: str = ""
    registered: str = ""


FRAMEWORKS: tuple[Framework, ...] = (
    Framework(
        "GoogleTest",
        _IN_C,
        "",
        "{stem}_test",
        header=r"g(?:test|mock)/g(?:test|mock)\.h",
        headers=("#include <gtest/gtest.h>",),
        vendored=("gtest.h", "gtest-all.cc", "libgtest.a"),
        signs=r"(?i)\bgtest\b|\bgtest_main\b|googletest",
        tests=r"TEST(?:_F)?\s*\(\s*(?P<suite>\w+)\s*,\s*(?P<name>\w+)\s*\)",
        checks=r"\b(?:EXPECT|ASSERT)_\w+|\b(?:FAIL|ADD_FAILURE)\b",
        begin="TEST({suite},",
        hint="Write GoogleTest tests `TEST({suite}, Name)` with EXPECT_… macros.",
        functions=("TEST", "TEST_F", "TEST_P", "TYPED_TEST", "TYPED_TEST_P"),
        gone=("MOCK_METHOD",),
        more=r"g(?:test|mock)/[\w./-]+\.h",
    ),
    Framework(
        "doctest",
        _IN_C,
        "",
        "{stem}_test",
        header=r"(?:[\w./-]*/)?doctest\.h",
        headers=("#include <doctest/doctest.h>",),
        vendored=("doctest.h",),
        signs=r"(?i)\bdoctest",
        tests=r'TEST_CASE(?:_FIXTURE\s*\(\s*\w+\s*,|\s*\()\s*"(?P<name>(?:\\.|[^"\\\n])*)"',
        checks=r"\b(?:CHECK|REQUIRE|WARN|FAIL)\w*\s*\(",
        begin='TEST_CASE("',
        hint='Write doctest tests `TEST_CASE("…")` with CHECK(…), and SUBCASE("…") inside them.',
        functions=("TEST_CASE", "TEST_CASE_FIXTURE", "TEST_CASE_TEMPLATE", "SCENARIO"),
        blocks=("SUBCASE", "GIVEN", "WHEN", "AND_WHEN", "THEN", "AND_THEN"),
        scopes=("TEST_SUITE",),
        define="#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN",
        defined_for=r"doctest\.h",
        program=r"#\s*define\s+DOCTEST_CONFIG_IMPLEMENT",
    ),
    Framework(
        "Catch2",
        _IN_C,
        "",
        "{stem}_test",
        header=r"(?:[\w./-]*/)?catch(?:_all|_test_macros|_amalgamated)?\.hpp",
        headers=("#include <catch2/catch_test_macros.hpp>",),
        vendored=("catch.hpp", "catch_amalgamated.hpp", "catch_test_macros.hpp"),
        signs=r"(?i)\bcatch2",
        tests=r'(?:TEST_CASE|SCENARIO|TEST_CASE_METHOD)\s*\((?:\s*\w+\s*,)?\s*"(?P<name>(?:\\.|[^"\\\n])*)"',
        checks=r"\b(?:CHECK|REQUIRE|FAIL)\w*\s*\(",
        begin='TEST_CASE("',
        hint='Write Catch2 tests `TEST_CASE("…")` with REQUIRE(…), and SECTION("…") inside them.',
        functions=("TEST_CASE", "TEST_CASE_METHOD", "TEMPLATE_TEST_CASE", "SCENARIO", "SCENARIO_METHOD"),
        blocks=("SECTION", "DYNAMIC_SECTION", "GIVEN", "AND_GIVEN", "WHEN", "AND_WHEN", "THEN", "AND_THEN"),
        more=r"catch2/[\w./-]+\.hpp",
        define="#define CATCH_CONFIG_MAIN",
        defined_for=r"catch\.hpp",  # the header of version 2; in version 3 a library has `main`
        program=r"#\s*define\s+CATCH_CONFIG_(?:MAIN|RUNNER)",
    ),
    Framework(
        "Unity",
        ("C",),
        ".c",
        "test_{stem}",
        header=r"(?:[\w./-]*/)?unity\.h",
        headers=('#include "unity.h"',),
        vendored=("unity.h", "unity.c"),
        signs=r"ThrowTheSwitch|:unity:|\bunity\.[cha]\b|\bunity::framework\b|link_libraries\([^)]*\bunity\b",
        tests=r"void\s+(?P<name>test\w*)\s*\(\s*(?:void)?\s*\)",
        checks=r"\bTEST_(?:ASSERT|FAIL)\w*",
        begin="void test_",
        hint="Write Unity tests `void test_…(void)` with TEST_ASSERT_… macros.",
        generated=True,
        fixtures=(("setUp", "void setUp(void) {}"), ("tearDown", "void tearDown(void) {}")),
        main="int main(void) {\n    UNITY_BEGIN();\n{registered}\n    return UNITY_END();\n}",
        registration="RUN_TEST({name});",
        registered=r"\bRUN_TEST\s*\(\s*(?P<name>\w+)[^()]*\)\s*;",
    ),
    Framework(
        "Check",
        ("C",),
        ".c",
        "check_{stem}",
        header=r"check\.h",
        headers=("#include <check.h>", "#include <stdlib.h>"),
        vendored=(),
        signs=r"\blibcheck\b|\bCheck::check\b|-lcheck\b|(?i:CHECK_MODULES\s*\(\s*\[?CHECK\b)|dependency\('check'"
        r"|find_package\(Check\b",
        tests=r"START_TEST\s*\(\s*(?P<name>\w+)\s*\)",
        checks=r"\b(?:ck_|fail)\w+",
        begin="START_TEST(test_",
        hint="Write Check tests `START_TEST(test_…) { … } END_TEST` with ck_assert_….",
        functions=("START_TEST",),
        gone=("END_TEST",),
        closing=r"\s*END_TEST\b",
        main="int main(void) {\n"
        '    Suite *suite = suite_create("{stem}");\n'
        '    TCase *tcase = tcase_create("{stem}");\n'
        "{registered}\n"
        "    suite_add_tcase(suite, tcase);\n"
        "    SRunner *runner = srunner_create(suite);\n"
        "    srunner_run_all(runner, CK_NORMAL);\n"
        "    int failed = srunner_ntests_failed(runner);\n"
        "    srunner_free(runner);\n"
        "    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;\n}",
        registration="tcase_add_test({group}, {name});",
        registered=r"\btcase_add_(?:\w+_)?test(?:_\w+)?\s*\(\s*(?P<group>\w+)\s*,\s*(?P<name>\w+)[^()]*\)\s*;",
    ),
    Framework(
        "cmocka",
        ("C",),
        ".c",
        "test_{stem}",
        header=r"cmocka\.h",
        headers=(
            "#include <stdarg.h>",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "#include <setjmp.h>",
            "#include <cmocka.h>",
        ),
        vendored=("cmocka.h",),
        signs=r"(?i)\bcmocka",
        tests=r"(?:static\s+)?void\s+(?P<name>\w+)\s*\(\s*void\s*\*\s*\*\s*\w*\s*\)",
        checks=r"\b(?:assert_|expect_|fail\b|fail_)\w*",
        begin="static void test_",
        hint="Write cmocka tests `static void test_…(void **state)` with assert_int_equal and its like.",
        main="int main(void) {\n    const struct CMUnitTest tests[] = {\n{registered}\n    };\n"
        "    return cmocka_run_group_tests(tests, NULL, NULL);\n}",
        registration="cmocka_unit_test({name}),",
        registered=r"\bcmocka_unit_test\w*\s*\(\s*(?P<name>\w+)[^()]*\)(?:\s*,)?",
    ),
)


def framework_named(name: str) -> Framework:
    return next(each for each in FRAMEWORKS if each.name == name)


def includes(framework: Framework, text: str) -> bool:
    """Whether a text includes the framework's header."""
    return re.search(rf'^[ \t]*#[ \t]*include[ \t]*[<"]{framework.header}[>"]', text, re.MULTILINE) is not None


def code_only(source: bytes) -> bytes:
    """`source` with white space instead of comments and strings. Length and lines stay the same."""
    return _NOT_CODE.sub(partial(_over, b""), source)


def masked(framework: Framework, source: bytes) -> bytes:
    """`source` with code that a grammar knows instead of the framework's macros. Length and lines stay the same."""
    kinds = (
        (framework.functions, rf"\s*{_ARGUMENTS}(?=\s*\{{)", b"void t()"),
        (framework.blocks, rf"\s*{_ARGUMENTS}(?=\s*\{{)", b"if(1)"),
        (framework.scopes, rf"\s*{_ARGUMENTS}(?=\s*\{{)", b"namespace t"),
        (framework.gone, rf"(?:\s*{_ARGUMENTS})?(?!\w)", b""),
    )
    for names, rest, head in kinds:
        if names:
            pattern = rf"(?<![\w.>#])(?:{'|'.join(names)}){rest}".encode()
            source = re.sub(pattern, partial(_over, head), source)
    return source


def _over(head: bytes, found: re.Match[bytes]) -> bytes:
    text = found[0]
    return text if len(text) < len(head) else head + re.sub(rb"[^\n]", b" ", text[len(head) :])
