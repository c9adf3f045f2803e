"""Edits that parse and keep their name, and that a person would undo at once: each ends in a message."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.answer import without_cut_end, without_repetition
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.docs import read_doc
from lsp_server.features.actions.offers import problem_subject, subject_at
from lsp_server.features.actions.results import read_rewriting
from lsp_server.features.actions.subject import Problem, Subject

ACTIONS, _ = catalogue({})

PYTHON = '''
@cached
def load(path, strict=False):
    """Reads a file.

    Blank lines are kept.
    """
    # The file may be missing.
    found = open_file(path, "old")
    for line in found:
        check(line, strict)
    return found
'''
TYPESCRIPT = """
export async function load(path: string, strict: boolean): Promise<string[]> {
  // The file may be missing.
  const found = await openFile(path, "old");
  check(found, strict);
  return found;
}
"""
PATHS = {"python": "a.py", "typescript": "a.ts"}


def opened(source: str, language: str) -> tuple[DocumentSnapshot, Subject]:
    document = DocumentSnapshot.of(f"file:///{PATHS[language]}", source.encode(), path=PATHS[language])
    at = source.index("load")
    subject = subject_at(document, at, at)
    assert subject is not None
    return document, subject


def rewritten(action: str, source: str, answer: str, language: str = "python", problem_at: str = "") -> str:
    """The document afterwards, or the problem behind `!`. problem_at: where a diagnostic is, if there is one."""
    document, subject = opened(source, language)
    if problem_at:
        at = source.index(problem_at)
        subject = problem_subject(document, [Problem(at, at + len(problem_at), "it may be missing")])
    found = read_rewriting(f"```\n{answer}\n```", document, subject, ACTIONS[action])
    return f"!{found.problem}" if found.problem else document.edited(found.start, found.end, found.text).source.decode()


def changed(source: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return source


@pytest.mark.parametrize(
    ("action", "changes", "problem"),
    [
        ("simplify", [("found", "data")], "other names"),
        ("simplify", [('"old"', '"new"')], "other names or words"),
        ("simplify", [("# The file may be missing.", "# Look.")], "only changes comments"),
        (
            "simplify",
            [("check(line, strict)", "check(\n            line,\n            strict,\n        )")],
            "the layout",
        ),
        ("simplify", [("    # The file may be missing.\n", ""), ("strict=False", "strict = False")], "only changes"),
        (
            "simplify",
            [("# The file may be missing.", "# ... rest of the code"), ("in found:", "in iter(found):")],
            "leaves",
        ),
        ("simplify", [("    # The file may be missing.\n", ""), ("found\n", "list(found)\n")], "loses the comment"),
        ("simplify", [("check(line, strict)", "check(line)")], "no longer uses `strict`"),
        (
            "errors",
            [("    for line in found:\n        check(line, strict)\n", "    check(strict)\n")],
            "takes code away",
        ),
        (
            "errors",
            [("        check(line, strict)", "        assert line and strict in (True, False)")],
            "no longer uses `check`",
        ),
        (
            "errors",
            [("    # The", "    if not path:\n        return []\n    if not path:\n        return []\n    # The")],
            "twice",
        ),
        ("errors", [("    # The", "    assert path\n    assert  path\n    # The")], "says `assert path` twice"),
        (
            "types",
            [("path, strict=False", "path: str, strict: bool = False"), ('"old"', '"new"')],
            "more than the types",
        ),
    ],
)
def test_what_is_not_worth_it_in_python(action: str, changes: list[tuple[str, str]], problem: str) -> None:
    after = rewritten(action, PYTHON, changed(PYTHON, *changes))
    assert after.startswith("!"), after
    assert problem in after


@pytest.mark.parametrize(
    ("action", "changes", "problem"),
    [
        ("simplify", [("found", "data")], "other names"),
        ("simplify", [("// The file may be missing.", "// ..."), ("return found", "return [...found]")], "leaves"),
        ("errors", [("  check(found, strict);\n", "  console.log(strict);\n")], "no longer uses `check`"),
        ("simplify", [(TYPESCRIPT[TYPESCRIPT.index("  // The") : -2], "")], "no longer uses"),
        ("fix", [("export async", "async"), ("found;\n", "found ?? [];\n")], "loses `export`"),
        ("errors", [("  //", "  if (!path) { return []; }\n  if (!path) { return []; }\n  //")], "twice"),
        ("fix", [("path: string, strict", "strict"), ("(path, ", "(strict, ")], "parameters"),
    ],
)
def test_what_is_not_worth_it_in_typescript(action: str, changes: list[tuple[str, str]], problem: str) -> None:
    at = "return found" if action == "fix" else ""
    after = rewritten(action, TYPESCRIPT, changed(TYPESCRIPT, *changes), "typescript", at)
    assert after.startswith("!"), after
    assert problem in after


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("types", [("path, strict=False)", "path: str, strict: bool = False) -> list[str]")]),
        ("errors", [("    # The", "    if not path:\n        return []\n    # The")]),
        ("simplify", [("for line in found:\n        check(line, strict)", "[check(line, strict) for line in found]")]),
    ],
)
def test_what_is_asked_for_passes(action: str, changes: list[tuple[str, str]]) -> None:
    new = changed(PYTHON, *changes)
    assert rewritten(action, PYTHON, new) == new


def test_a_diagnostic_in_the_header_lets_the_parameters_change() -> None:
    new = changed(TYPESCRIPT, (", strict: boolean", ""), (", strict", ""))
    assert rewritten("fix", TYPESCRIPT, new, "typescript", "strict: boolean") == new
    assert "parameters" in rewritten("fix", TYPESCRIPT, new, "typescript", "found;")


def test_a_diagnostic_may_be_solved_by_another_name() -> None:
    new = changed(TYPESCRIPT, ("openFile", "readFile"))
    assert rewritten("fix", TYPESCRIPT, new, "typescript", "openFile") == new


@pytest.mark.parametrize("doc", ["", '    """Reads."""\n', '    """Reads a file.\n\n    Not blank lines.\n    """\n'])
def test_the_docstring_stays_as_it_was(doc: str) -> None:
    start, end = PYTHON.index('    """'), PYTHON.index("    # The")
    answer = PYTHON[:start] + doc + PYTHON[end:]
    kept = changed(PYTHON, ("return found", "return list(found)"))
    assert rewritten("simplify", PYTHON, changed(answer, ("return found", "return list(found)"))) == kept


def documented(source: str, answer: str, language: str = "python") -> str:
    document, subject = opened(source, language)
    told = "This is the function `load` in a.py:\nInstruction: Write the comment for this code, in a few words."
    found = read_doc(answer, document, subject, told)
    return f"!{found.problem}" if found.problem else document.edited(found.start, found.end, found.text).source.decode()


PLAIN = "def load(path, strict=False):\n    return open_file(path)\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('"""This is a function."""', "says nothing"),
        ('"""This is the function `load` in a.py:"""', "no comment"),
        ('"""The answer was given to the user."""', "no comment"),
        ('"""A summary of the arguments:"""', "no comment"),
        ('"""Write the comment for this code, in a few words."""', "no comment"),
        ('"""# A way to load\ndef save(path):\n    return path"""', "there is code"),
        ('"""The weather today brings sunshine over mountains while rivers freeze."""', "says nothing"),
    ],
)
def test_comments_that_are_none(answer: str, problem: str) -> None:
    long = PLAIN + "    # names to tell: alpha beta gamma delta epsilon\n"
    after = documented(long, answer)
    assert after.startswith("!"), after
    assert problem in after


def test_what_is_said_again_is_left_out() -> None:
    text = "Opens the file that the path names.\n\nOpens the file that a path names."
    assert '"""Opens the file that the path names."""' in documented(PLAIN, text)


def test_less_than_the_old_comment_is_no_update() -> None:
    assert "says less" in documented(PYTHON, '"""Reads."""')
    long = changed(PYTHON, ("Blank lines are kept.", "Blank lines are kept, comments skipped until the end."))
    other = '"""Sorts all the paths that a list of paths has.\n\n    Equal paths keep their order.\n"""'
    assert "something else" in documented(long, other)
    assert "Reads lines" in documented(long, '"""Reads lines of a file, with its blank lines kept."""')


def test_a_note_above_the_code_is_no_doc_comment() -> None:
    source = "// TODO: use this elsewhere\nfunction load(path: string) {\n  return openFile(path);\n}\n"
    after = documented(source, "/**\n * Opens a path", "typescript")
    assert after == source.replace("function", "/**\n * Opens a path\n */\nfunction")


CLASS = """
class load(Base):
    limit = 8

    def push(self, item):
        if item is not None:
            self.items.append(item)

    @property
    def pop(self):
        item = self.items[-1]
        del self.items[-1]
        return item
"""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([("        item = self.items[-1]\n        del self.items[-1]\n        return item", "        return self.items.pop()")], ""),
        ([("push(self, item)", "push(self, thing)"), ("if item", "if thing"), ("append(item)", "append(thing)")], "push"),
        ([(CLASS[CLASS.index("\n    @property") :], "")], "`pop` is missing"),
        ([("class load(Base):", "class load:")], "loses `"),
        ([("    limit = 8\n\n", "")], "loses `limit`"),
        ([("    @property\n", "")], "loses `@`"),
        ([("(self, item):", "(self, item: int) -> None:")], ""),
    ],
)  # fmt: skip
def test_a_class_keeps_its_methods(changes: list[tuple[str, str]], problem: str) -> None:
    new = changed(CLASS, *changes)
    after = rewritten("simplify", CLASS, new)
    assert after.startswith("!") == bool(problem), after
    assert problem in after if problem else after == new


# A comment on PLAIN or its like in other languages, one that says nothing of it, and how such an answer is introduced.
COMMENTS = {
    "Chinese": ("打开路径所指的文件，并逐行返回其内容。", "这是一个函数。", "以下是该函数的文档注释："),
    "traditional Chinese": ("開啟路徑所指的檔案，並逐行傳回內容。", "這是一個方法。", "以下是說明："),
    "Japanese": ("パスが指すファイルを開き、各行を返す。", "これは関数です。", "ドキュメントコメントは以下の通りです："),
    "Korean": ("경로가 가리키는 파일을 열어 각 줄을 돌려준다.", "이것은 함수입니다.", "다음은 문서 주석입니다:"),
    "Russian": ("Открывает файл по указанному пути и отдаёт его строки по порядку.", "Это функция.", "Вот комментарий к функции:"),
    "Ukrainian": ("Відкриває файл за вказаним шляхом і повертає рядки.", "", "Ось коментар до коду:"),
    "German": ("Öffnet die Datei, auf die der Pfad zeigt, und gibt ihre Zeilen der Reihe nach zurück.", "Dies ist eine Funktion.", "Hier ist der Kommentar:"),
    "German without umlauts": ("Liest eine Datei ein und liefert den Inhalt zeilenweise an den Aufrufer weiter.", "Das ist eine Methode.", ""),
    "French": ("Ouvre le fichier indiqué par le chemin et renvoie ses lignes une par une.", "C'est une fonction.", "Voici le commentaire demandé :"),
    "Spanish": ("Abre el archivo indicado por la ruta y devuelve sus líneas en orden.", "Esta es una función.", "Este es el comentario:"),
    "Portuguese": ("Abre o arquivo indicado pelo caminho e devolve as linhas na ordem.", "Esta é uma função.", ""),
    "Italian": ("Apre il file indicato dal percorso e restituisce le righe nell'ordine.", "Questa è una funzione.", ""),
    "Polish": ("Otwiera plik wskazany przez ścieżkę i oddaje kolejne wiersze.", "To jest funkcja.", ""),
    "Dutch": ("Opent het bestand waar het pad naar wijst en geeft de regels op volgorde terug.", "Dit is een functie.", ""),
    "Turkish": ("Yolun gösterdiği dosyayı açar ve satırlarını sırayla döndürür.", "", ""),
    "Arabic": ("يفتح الملف الذي يشير إليه المسار ويعيد أسطره بالترتيب.", "", ""),
    "Hebrew": ("פותח את הקובץ שהנתיב מצביע עליו ומחזיר את השורות שלו.", "", ""),
    "Hindi": ("पथ द्वारा बताई गई फ़ाइल खोलता है और उसकी पंक्तियाँ लौटाता है।", "", ""),
    "Thai": ("เปิดไฟล์ที่ระบุในพาธและคืนค่าทีละบรรทัด", "", ""),
    "Vietnamese": ("Mở tệp mà đường dẫn trỏ tới và trả về từng dòng một.", "", ""),
    "Greek": ("Ανοίγει το αρχείο της διαδρομής και επιστρέφει τις γραμμές του.", "", ""),
}  # fmt: skip
SOURCES = {
    "python": (PLAIN + "    # names to tell: alpha beta gamma delta epsilon\n", '"""{}"""'),
    "typescript": (TYPESCRIPT, "/**\n * {}\n */"),
}


@pytest.mark.parametrize("language", SOURCES)
@pytest.mark.parametrize("name", COMMENTS)
def test_a_comment_in_any_language_is_inserted_and_one_that_says_nothing_is_not(name: str, language: str) -> None:
    source, form = SOURCES[language]
    text, nothing, introduction = COMMENTS[name]
    for answer in (form.format(text), f"```\n{form.format(text)}\n```", text, f"{introduction}\n{text}".strip()):
        after = documented(source, answer, language)
        assert form.format(text) in after, answer
    if nothing:
        assert "says nothing" in documented(source, form.format(nothing), language)


def test_sentences_of_scripts_without_spaces_are_told_apart() -> None:
    said = "打开路径所指的文件，并逐行返回其内容。"
    assert f'"""{said}空行也会保留。"""' in documented(PLAIN, f"{said}{said}空行也会保留。")
    assert without_cut_end(f"{said}空行也") == said
    assert without_repetition("它打开文件！" + 20 * said) == f"它打开文件！{said}"


def test_a_comment_may_be_updated_in_its_own_language_or_in_another() -> None:
    chinese = changed(
        PYTHON,
        ("Reads a file.\n\n    Blank lines are kept.", "读取文件的各行，并检查每一行是否有效。空行保留，注释跳过。"),
    )
    assert "says less" in documented(chinese, '"""读取。"""')
    assert "something else" in documented(chinese, '"""对所有的商品价格求和后乘以税率，再四舍五入到整数。"""')
    better = "读取文件的各行，检查每一行是否有效后返回。空行保留，注释跳过，直到文件末尾。"
    assert better in documented(chinese, f'"""{better}"""')
    assert "Liest die Zeilen der Datei" in documented(
        PYTHON, '"""Liest die Zeilen der Datei; leere bleiben erhalten."""'
    )
