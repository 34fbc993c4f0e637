"""Words of texts, as they are looked for: without capitals and accents, by a plain English stem."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
#: Words that say nothing where there are others.
STOP = frozenset(
    "a an and are as at be but by for from has have he her his i if in into is it its me my no not of on or our she so"
    " that the their them then there these they this to us was we were what when which who will with you your".split()
)
_MAX_WORD = 60


def folded(text: str) -> str:
    """What two texts that say the same have in common."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def plain_words(text: str) -> list[str]:
    """The words of a text in order, without capitals and accents."""
    flat = unicodedata.normalize("NFKD", text.casefold())
    flat = "".join(char for char in flat if not unicodedata.combining(char))
    return [word[:_MAX_WORD] for word in _WORD.findall(flat)]


def stem(word: str) -> str:
    """An English word without its usual endings."""
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, instead in (("sses", "ss"), ("ies", "y"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending):
            word = word[: len(word) - len(ending)] + instead
            break
    for ending in ("ing", "ed", "ly"):
        base = word[: -len(ending)]
        if word.endswith(ending) and len(base) >= 3 and re.search("[aeiouy]", base):
            return base[:-1] if base[-1] == base[-2] and base[-1] not in "lsz" else base
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def stems(text: str) -> list[str]:
    """The stems of a text's words, each once."""
    return list(dict.fromkeys(stem(word) for word in plain_words(text)))


def words_of(text: str) -> str:
    """The words of a text between spaces, as they are stored to be looked for."""
    return " " + " ".join(dict.fromkeys(plain_words(text))) + " "
