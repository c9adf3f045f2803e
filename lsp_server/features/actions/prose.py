"""Judges the text of a doc comment, in any language: it must be about the code, not the prompt, and not repeat."""

from __future__ import annotations

import re

# Words that tell nothing about a particular piece of code.
_EMPTY_WORDS = """
    a above an and answer answered any are as at based be been below by called calls can class code comment
    created doc docstring documentation does each editor example file first following for from function
    functions given gives has have here how if in instance into is it its language method methods module new no
    not object of on or original program programmer programming provided question result return returns second
    should simple some that the their then there these this to type use used user uses value values version we
    when where which will with written you your
"""
# The same in other languages that programmers write comments in, mostly without accents and umlauts.
_EMPTY_ELSEWHERE = """
    das dem den der des die dies diese dieser dieses ein eine einem einen einer eines es für fur hier ist klasse
    kommentar methode mit nicht oder und von werden wird wurde zu funktion gibt rückgabe wert code programm beispiel
    au aux ce ces cet cette de des du elle en est et fonction il la le les méthode methode ou par pour que qui sur un
    une avec dans classe commentaire valeur
    al con como cual del el ella en es esta este esto función funcion la las lo los método metodo para por que se su
    un una valor clase comentario y
    a ao aos as com como da das de do dos e em esta este função isto la método metodo na no nas nos o os ou para
    por que se um uma valor classe comentário
    che con da dal dei del della di è e funzione gli il in la le lo metodo nel non per questa questo si un una valore
    commento
    een de het dit deze en functie is van voor met methode op te wordt
    в во для и из или к как на не о он она они от по при с со то у что это эта этот этого функция функции метод класс
    код комментарий возвращает значение
    ta to jest funkcja metoda klasa dla i lub na nie w z ze kod komentarz
"""
# The same in scripts without spaces, longer phrases first.
_EMPTY_PHRASES = """
    ドキュメント メソッド コメント コード クラス 関数 です ます これは この です。 ある する
    返回值 这个 这是 一个 该函数 函数 方法 代码 注释 這個 這是 一個 函數 程式碼 註釋 返回
    이것은 입니다 이것 함수 메서드 클래스 코드 주석
"""
_EMPTY = frozenset((*_EMPTY_WORDS.split(), *_EMPTY_ELSEWHERE.split()))
_PHRASES = re.compile("|".join(_EMPTY_PHRASES.split()))
# Words that distinguish English from other languages with the same letters.
_ENGLISH_WORDS = "the of to and is that with for from by this it its as be are or which when if not into each all"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_ELSEWHERE = frozenset(_EMPTY_ELSEWHERE.split()) - {"a", "as", "in", "is", "do", "no", "on", "or", "an", "to", "code"}
# Scripts with no spaces between words: kana, Chinese characters, Thai, Lao, Burmese, Khmer; and Hangul, with few.
_RUNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\uac00-\ud7af"
_WORD = re.compile(rf"[{_RUNS}]+|[^\W\d_{_RUNS}]+")
_SENTENCE_END = r"(?<=[.!?])\s+|(?<=[。！？])\s*"
_ALIKE = 0.7
# Shorter lines may be similar without being repetition, for example in a list of parameters.
_LONG_WORDS = 5
# A comment with this many words should have one from the code. Words count as the same if their first letters agree.
_MANY_WORDS, _STEM = 6, 4
# The minimum share of the old comment's words in a new comment on the same subject.
_SAME_SUBJECT = 0.25
_TALK = re.compile(
    r"(?i)(?:the|this|your|my|an?|above)\s+(answer|question|response|request|instruction|prompt|model)\b"
)


def without_echoes(text: str, question: str, code: str) -> str:
    """`text` without sentences copied from the prompt, sentences about the conversation, sentences that repeat an
    earlier one, and a last line that announces something which does not follow. Lines keep their order."""
    asked = _squeezed(question)
    asked_sentences = map(_words, re.split(rf"{_SENTENCE_END}|(?<=[:：])\s+|\n", question))
    seen = [set(words) for words in asked_sentences if len(words) >= _LONG_WORDS]
    kept: list[str] = []
    for line in text.split("\n"):
        if not line.strip():
            kept.append("")
            continue
        fresh = ""
        for part, gap in _sentences(line.strip()):
            words = _words(part)
            talk = _TALK.match(part)
            if talk and talk[1].lower() not in code.lower():
                continue
            if len(words) >= _LONG_WORDS and (
                _squeezed(part) in asked or any(_alike(set(words), other) for other in seen)
            ):
                continue
            fresh += part + gap
            if len(words) >= _LONG_WORDS:
                seen.append(set(words))
        if fresh:
            kept.append(line[: len(line) - len(line.lstrip())] + fresh.rstrip())
    while kept and (not kept[-1].strip() or kept[-1].rstrip().endswith((":", "："))):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def says_nothing(text: str, code: str) -> bool:
    """Whether a comment could stand above any code: it has no significant word, or many but none that belongs to a name
    in the code. The second test is only for English, because names are made of English words."""
    names = set(_words(code))
    words = {word for word in _words(_PHRASES.sub(" ", text)) if word not in _EMPTY}
    words = {word for word in words if len(word) > 1 or word in names}
    parts = {part.lower()[:_STEM] for name in re.findall(r"\w+", code) for part in _parts(name) if len(part) > 2}
    if not is_english(text) or len(words) < _MANY_WORDS or len(parts) < _MANY_WORDS:
        return not words
    return not any(word[:_STEM] in parts for word in words)


def says_less(text: str, old: str) -> bool:
    """Whether a new comment has less than half of the words of the old one, or is about something else. The second is
    not tested if the two are in different languages; then a quarter of the words is enough."""
    new, was = _stems(text), _stems(old)
    other = len(was) >= _MANY_WORDS and len(new & was) < _SAME_SUBJECT * len(was)
    if is_english(text) != is_english(old):
        return 4 * len(_words(text)) < len(_words(old))
    return other or 2 * len(_words(text)) < len(_words(old))


def is_english(text: str) -> bool:
    """Whether a text is in English, judged by its letters and its short words; inline code does not count."""
    plain = re.sub(r"`[^`]*`", " ", text)
    letters = [char for char in plain if char.isalpha()]
    if sum(not char.isascii() for char in letters) > 0.03 * len(letters):
        return False
    words = _words(plain)
    return sum(word in _ELSEWHERE for word in words) <= sum(word in _ENGLISH for word in words)


def _sentences(line: str) -> list[tuple[str, str]]:
    """The sentences of a line, each with the space after it."""
    parts = re.split(f"({_SENTENCE_END})", line)
    return [(part, gap) for part, gap in zip(parts[::2], [*parts[1::2], ""], strict=True) if part]


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in _words(text) if word not in _EMPTY}


def _parts(name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def _words(text: str) -> list[str]:
    """The words of a text in lower case; for scripts without spaces, each pair of adjacent characters."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        found += [word[at : at + 2] for at in range(len(word) - 1)] if re.match(f"[{_RUNS}]{{2}}", word) else [word]
    return found


def _squeezed(text: str) -> str:
    return "".join(re.findall(r"\w+", text.lower()))


def _alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)
