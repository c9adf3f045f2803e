"""Prompts to compare models with: from code files that every installation has, and from non-ASCII texts."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

_BEFORE = 360  # bytes of text before a place
_FILES, _LARGEST = 64, 200_000
# One prompt of this many has non-ASCII text, as long as there are any.
_EVERY = 6

# Typical non-ASCII text in code: comments and strings in several languages, names, symbols. Each sample ends with the
# place to complete at, marked by a dollar sign.
_OTHER = """\
class Größe:
    def __init__(self, länge, höhe):
        # Die Länge zählt in Pixeln, die Höhe auch.
        self.länge = $
def café(prix, réduction=0):
    # Renvoie le prix d'un café après réduction, arrondi à l'unité.
    return $
MESSAGES = {
    'de': 'Datei nicht gefunden – bitte prüfen Sie den Pfad',
    'es': 'No se encontró el archivo; ¿está$
const días = ['lunes', 'martes', 'miércoles', 'jueves', 'viernes', 'sábado'];
// el año empieza en enero
const meses = ['enero', $
# żółć – przykładowy plik konfiguracyjny
ścieżka = '/tmp'

def odczytaj(ścieżka):
    with open($
def print_tree(node, indent=''):
    print(indent + '├── ' + node.name)
    for child in node.children:
        print_tree(child, indent + '│  $
STATUS = {'ok': '✓ done', 'failed': '✗ failed', 'waiting': '… waiting'}

def show(status):
    return STATUS.get($
# Сортирует список чисел и возвращает новый список
def sort_numbers(numbers):
    return $
// 設定ファイルを読み込み、結果を返す
function loadConfig(path) {
  const text = fs.readFileSync($
# 计算两个数的最大公约数
def gcd(a, b):
    while b:
        a, b = b, $
greetings = ['hello 👋', 'bye 🙂', 'party 🎉']
for greeting in greetings:
    print($
/* Υπολογίζει το εμβαδόν ενός κύκλου με ακτίνα r. π ≈ 3.14159 */
double area(double r) {
    return $
"""


def prompts(count: int) -> list[bytes]:
    """Texts that end inside a line: `count` of them, always the same on one installation, each from another file or
    place. Prompts with non-ASCII text are spread evenly."""
    other = iter(_OTHER.split("$\n")[:-1])
    code = _from_files()
    found: list[bytes] = []
    while len(found) < count:
        wanted = next(other, None) if len(found) % _EVERY == _EVERY - 1 else None
        prompt = wanted.encode() if wanted is not None else next(code, None)
        if prompt is None:
            break
        found.append(prompt)
    return found


def _from_files() -> Iterator[bytes]:
    """Prompts from fimble's own files and Python's library: one place of each file, then another one of each."""
    chosen = random.Random(0)
    sources = [text for path in _files() if (text := _read(path)) and text.isascii()]
    for _ in range(8):
        for text in sources:
            place = _place(text, chosen)
            if place:
                yield text[:place][-_BEFORE:].partition(b"\n")[2]


def _files() -> list[Path]:
    own = sorted(Path(__file__).resolve().parents[1].rglob("*.py"))
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    half = _FILES // 2
    own, library = (group[:: max(1, len(group) // half)][:half] for group in (own, library))
    return [path for pair in zip_longest(library, own) for path in pair if path is not None]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if 2 * _BEFORE < path.stat().st_size < _LARGEST else b""
    except OSError:
        return b""


def _place(text: bytes, chosen: random.Random) -> int:
    """An offset after a space or one of `(.=,[` inside a line of code; 0 if none was found."""
    for _ in range(20):
        at = chosen.randrange(_BEFORE, len(text))
        start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
        line = text[start:end]
        if len(line.strip()) < 12 or line.strip().startswith((b"#", b'"', b"'")):
            continue
        places = [index for index in range(len(line) // 3, len(line) - 3) if line[index : index + 1] in b" (.=,["]
        if places:
            return start + chosen.choice(places) + 1
    return 0
