"""Finds the place for tests of a C or C++ file. There is no common convention, so the project's test files decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from lsp_server.core.languages import find_language
from lsp_server.features.actions.generated_tests.frameworks import FRAMEWORKS, INCLUDE, Framework, code_only, includes
from lsp_server.features.actions.generated_tests.place import (
    Place,
    PlaceError,
    name_parts,
    read,
    relative,
    test_folders,
)
from lsp_server.features.actions.workspace import source_files
from lsp_server.features.untrusted_files import is_file

_HEADERS = frozenset({".h", ".hh", ".hpp", ".hxx", ".cuh"})
# The extension of a new test file if the framework sets none, by the extension of the file under test.
_BESIDE = {".h": ".cpp", ".hpp": ".cpp", ".hh": ".cc", ".hxx": ".cxx", ".cuh": ".cu", ".c": ".cpp"}
_TEST_FOLDERS = frozenset({"test", "tests", "unittest", "unittests", "unit_test", "unit_tests", "gtest", "spec"})
_TEST_NAME = re.compile(r"^(?:tests?|check|unittests?)[_.-]?(?=.)|[_.-]?(?:unit[_-]?)?tests?$|[_-]spec$", re.IGNORECASE)
# Folders with other people's code, whose tests show nothing about the project.
_FOREIGN = re.compile(r"(?i)third.?party|3rd.?party|extern|deps$|subprojects|submodules|googletest|catch2|_deps|cmake-")
_BUILD_FILES = (
    "CMakeLists.txt",
    "meson.build",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "configure.ac",
    "project.yml",
    "conanfile.txt",
    "conanfile.py",
    "vcpkg.json",
    "MODULE.bazel",
    "WORKSPACE",
    "BUILD.bazel",
    "BUILD",
    "platformio.ini",
    "xmake.lua",
    ".gitmodules",
)
_LISTING = ("CMakeLists.txt", "meson.build", "Makefile", "BUILD.bazel", "BUILD")  # build files that name sources
_MOST_TESTS = 200
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Project:
    """tests: the project's test files with their texts, nearest first. names: the names of all its C and C++ files."""

    tests: dict[Path, str]
    names: frozenset[str]


def c_place(root: Path, file: Path, name: str) -> Place:
    """The place for the tests of `name` in a C or C++ file. Raises PlaceError."""
    if _is_test(root, file):
        raise PlaceError(f"{file.name} is a test file itself")
    if name == "main":
        raise PlaceError("`main` cannot be called by a test")
    project = _read_project(root, file)
    framework = _framework(root, file, project)
    header, subject, namespaces = _declared(root, file, name)
    ours = {path: text for path, text in project.tests.items() if includes(framework, text)}
    target = next((path for path in ours if _is_for(path, file)), None)
    target = target or _new_file(root, file, framework, list(ours))
    there = code_only(read(target).encode()).decode()
    if target not in ours and re.search(r"\bmain\s*\(", there) and not re.search(framework.tests, read(target)):
        raise PlaceError(f"{target.name} is there already, and is a program without {framework.name}")
    headers = _framework_headers(framework, target, ours)
    imports = [*headers, _header_line(root, header, target, ours)]
    if namespaces and find_language("", target.name).name == "C++":
        imports.append(f"using {'::'.join([*namespaces, subject])};")
    suite = f"{re.sub(r'[^0-9A-Za-z]', '', file.stem.title())}Test"
    hint = f"{framework.hint} `{header.name}` is included already.".replace("{suite}", suite)
    return Place(
        root,
        target,
        framework.name,
        tuple(imports),
        hint,
        _ctest(root, target, framework),
        begin="\n\n" + framework.begin.replace("{suite}", suite),
        frame=_frame(root, framework, file.stem, ours, "\n".join(headers)),
        note=_unlisted(root, target),
    )


# The state of the project --------------------------------------------------------------------------------


def _read_project(root: Path, file: Path) -> _Project:
    walks = (source_files(root, find_language(language)) for language in ("c", "cpp"))
    files = list(chain.from_iterable(walks))
    tests = (path for path in files if _is_test(root, path) and path != file and path.suffix not in _HEADERS)
    near = sorted(islice(tests, _MOST_TESTS), key=lambda path: (-_shared(path, file), len(path.parts), path))
    return _Project({path: read(path) for path in near}, frozenset(path.name for path in files))


def _is_test(root: Path, file: Path) -> bool:
    folders = file.parent.relative_to(root).parts if file.is_relative_to(root) else ()
    if any(_FOREIGN.search(folder) for folder in folders):
        return False
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", file.stem)  # ShopTest
    words = re.split(r"[_.-]+", stem.lower())
    ends = {words[0], words[-1]} & {"test", "tests", "unittest", "unittests"}
    named = len(words) > 1 and (ends or words[0] == "check")  # spell_check.c is no test
    return bool(named) or any(folder.lower() in _TEST_FOLDERS for folder in folders)


def _is_for(test: Path, file: Path) -> bool:
    """Whether a test file belongs to `file`, by its name."""
    names = (_TEST_NAME.sub("", test.stem, count=1), file.stem)
    one, other = (re.sub(r"[_.-]", "", name).lower() for name in names)
    return one == other


def _shared(path: Path, other: Path) -> int:
    """The number of leading folders that two paths share."""
    same = 0
    for one, two in zip(path.parent.parts, other.parent.parts, strict=False):
        if one != two:
            break
        same += 1
    return same


def _framework(root: Path, file: Path, project: _Project) -> Framework:
    """The framework that most of the project's test files include; else the one named by its build files or vendored
    sources. Raises PlaceError."""
    language = "C" if file.suffix == ".c" else "C++"
    fitting = [each for each in FRAMEWORKS if file.suffix == ".h" or language in each.languages]
    users = {each.name: sum(includes(each, text) for text in project.tests.values()) for each in fitting}
    # A C project with a C framework may test its C++ parts with another one. If both are equally frequent, C's counts.
    for each in sorted(fitting, key=lambda each: (-users[each.name], "C++" in each.languages)):
        if users[each.name]:
            return each
    folders = dict.fromkeys([root, root / "test", root / "tests", *_up_to(file.parent, root)])
    build = "\n".join(read(folder / name) for folder in folders for name in _BUILD_FILES)
    for each in fitting:
        if re.search(each.signs, build) or project.names & set(each.vendored):
            return each
    known = [each.name for each in FRAMEWORKS if language in each.languages]
    raise PlaceError(
        f"the project shows no test framework for {language}; known are {', '.join(known[:-1])} and {known[-1]}"
    )


def _up_to(folder: Path, root: Path) -> Iterator[Path]:
    for each in (folder, *folder.parents):
        if not each.is_relative_to(root):
            return
        yield each


# The new file ---------------------------------------------------------------------------------------------


def _new_file(root: Path, file: Path, framework: Framework, tests: Sequence[Path]) -> Path:
    """The path of a new test file beside the project's other tests, named like them."""
    likely = [folder for folder in test_folders(root, file) if folder.is_dir() and folder != file.parent]
    if any(path.parent == file.parent for path in tests):
        folder = file.parent
    else:
        folder = likely[0] if likely else tests[0].parent if tests else root / "tests"
    form, extension, stem = framework.file, framework.extension, file.stem
    extension = extension or _BESIDE.get(file.suffix, file.suffix)
    for path in tests:
        found = _TEST_NAME.search(path.stem)
        if found and found[0] and path.stem != found[0]:
            form = found[0] + "{stem}" if found.start() == 0 else "{stem}" + found[0]
            extension = path.suffix
            if found[0].isalpha() and path.stem[0].isupper():  # ShopTest
                stem = re.sub(r"(?:^|[_.-])(\w)", lambda letter: letter[1].upper(), stem)
            break
    return folder / (form.replace("{stem}", stem) + extension)


def _unlisted(root: Path, target: Path) -> str:
    """What the user must do so that a new file is built, if the nearest build file lists files one by one."""
    for folder in _up_to(target.parent, root):
        for name in _LISTING:
            text = read(folder / name)
            if text:
                listed = target.stem in text or re.search(r"(?i)\bglob|wildcard", text)
                return "" if listed else f"add it to {(folder / name).relative_to(root).as_posix()}"
    return ""


def _ctest(root: Path, target: Path, framework: Framework) -> tuple[str, ...]:
    """The command that builds a CMake project in its existing build folder and runs only these tests: by their names if
    CMake discovers them in the programs, else the whole program. Empty if there is no build folder."""
    if not (root / "CMakeLists.txt").is_file():
        return ()
    folders = [root / "build", root / "out", root / "builddir", *sorted(root.glob("cmake-build-*"))]
    folders += [*sorted(root.glob("build/*")), *sorted(root.glob("out/build/*"))]
    build = next((folder for folder in folders if (folder / "CTestTestfile.cmake").is_file()), None)
    generator = (
        re.search(r"^CMAKE_GENERATOR:INTERNAL=(.+)$", read(build / "CMakeCache.txt"), re.MULTILINE) if build else None
    )
    if build is None or generator is None:
        return ()
    folder = str(build)
    program = re.escape(target.stem)
    names = f"^({program}|{{names}})$" if framework.main == "" else f"^{program}$"
    run = ("--test-command", "ctest", "--test-dir", folder, "--output-on-failure", "-R", names)
    return ("ctest", "--build-and-test", str(root), folder, "--build-generator", generator[1], "--build-noclean", *run)


# Includes -------------------------------------------------------------------------------------------------


def _framework_headers(framework: Framework, target: Path, tests: dict[Path, str]) -> list[str]:
    """The framework's include lines, spelled like those in the project's test files."""
    spelled = ""
    for path, text in tests.items():
        found = re.search(
            rf'^[ \t]*#[ \t]*include[ \t]*(?:<{framework.header}>|"{framework.header}")', text, re.MULTILINE
        )
        if found and (path.parent == target.parent or '".' not in found[0]):
            spelled = " ".join(found[0].split())
            break
    return [spelled if spelled and includes(framework, line) else line for line in framework.headers]


def _header_line(root: Path, header: Path, target: Path, tests: dict[Path, str]) -> str:
    """The include line for a header of the project. The path is relative to the folder that the project's other tests
    use, else to a folder `include`, else to the test file's own folder."""
    around = list(_up_to(header.parent, root))
    given = {(path.parent, each) for path, text in tests.items() for _, each in INCLUDE.findall(text) if each[0] != "."}
    found = (folder for folder in around for own, each in given if not is_file(own / each) and is_file(folder / each))
    base = next(found, None) or next((folder for folder in around if folder.name == "include"), None)
    path = header.relative_to(base).as_posix() if base else relative(target.parent, header).removeprefix("./")
    line = f'#include "{path}"'
    is_c = header.suffix == ".h" and find_language("", target.name).name == "C++" and "__cplusplus" not in read(header)
    return f'extern "C" {{\n{line}\n}}' if is_c and header.with_suffix(".c").is_file() else line


def _declared(root: Path, file: Path, name: str) -> tuple[Path, str, list[str]]:
    """The header that declares `name`, the name that a test uses for it, and its namespaces. Raises PlaceError."""
    parts = name_parts(name)
    headers = list(dict.fromkeys(_headers(root, file)))
    if not headers:
        raise PlaceError(f"{file.name} has no header that tests could include")
    for header in headers:
        text = _DIRECTIVE.sub("", code_only(read(header).encode()).decode())
        for part in parts:  # classes or namespaces, and finally the name itself
            kind = rf"\b(?:class|struct|union|enum)\s+(?:\w+\s+)?{re.escape(part)}\b"
            forms = [rf"{kind}[^;{{}}()]*\{{", kind]
            if part == parts[-1]:
                forms.insert(1, rf"(?<![\w.:])(?<!->){re.escape(part)}\s*\(")
                forms.append(rf"(?<![\w.]){re.escape(part)}(?!\w)")
            found = next(filter(None, (re.search(form, text) for form in forms)), None)
            if found:
                return header, part, _namespaces(text[: found.start()]) if part.isidentifier() else []
    raise PlaceError(f"`{name}` is not declared in {headers[0].name}, so tests in another file cannot name it")


def _headers(root: Path, file: Path) -> Iterator[Path]:
    """The headers that may declare what a file defines: the file itself, headers of the same name, its includes."""
    if file.suffix in _HEADERS:
        yield file
        return
    beside = [file.with_suffix(suffix) for suffix in sorted(_HEADERS)]
    folders = list(_up_to(file.parent, root))
    starts = [*folders, *(folder / "include" for folder in folders), *(folder / "src" for folder in folders)]
    given = [each for _, each in INCLUDE.findall(read(file)) if Path(each).suffix in _HEADERS]
    given.sort(key=lambda each: Path(each).stem != file.stem)
    named = [each for each in given if Path(each).stem == file.stem]
    listed = (start / each for each in (*named, *given) for start in starts)
    for path in (*beside, *(folder / "include" / each.name for folder in folders for each in beside), *listed):
        if is_file(path) and path.is_relative_to(root) and ".." not in path.parts:
            yield path


def _namespaces(before: str) -> list[str]:
    """The open namespaces at the end of `before`, a text without comments and strings."""
    opened: list[str] = []
    for found in re.finditer(r"\bnamespace\s+([\w:]+)\s*\{|([{}])", before):
        if found[1] or found[2] == "{":
            opened.append(found[1] or "")
        elif opened:
            opened.pop()
    return [name for name in opened if name]


def _frame(root: Path, framework: Framework, stem: str, tests: dict[Path, str], spelled: str) -> str:
    """The template of a new test file. It is a program of its own if none or all of the project's test files are."""
    programs = [text for text in tests.values() if framework.program and re.search(framework.program, text)]
    with_tests = [text for text in tests.values() if re.search(framework.tests, text)]
    is_program = not programs or (bool(with_tests) and all(text in programs for text in with_tests))
    define = framework.define if framework.define and is_program and re.search(framework.defined_for, spelled) else ""
    has_runner = framework.generated and (
        (root / "project.yml").is_file() or (bool(tests) and not any("main(" in text for text in tests.values()))
    )
    main = "" if has_runner else framework.main.replace("{stem}", stem)
    return "\n\n".join(part for part in (define, "{imports}", "{tests}", main) if part) + "\n"
