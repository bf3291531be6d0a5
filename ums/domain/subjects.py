"""Names of people and machines that act, and when two of them are one.

An approval counts once for each person, and never for who published the release. New names are therefore lower-case
ASCII. Names from before are compared by their skeleton (the idea of Unicode TS 39, for letters that look like ASCII)
where two must not be one person, and by their folded form where a name is granted something (ADR 0028).
"""

from __future__ import annotations

import re
import unicodedata

from ums.domain.errors import InvalidInputError
from ums.domain.text import is_plain as is_shown

_PLAIN = re.compile(r"[a-z0-9]([a-z0-9._@+:/|=~ -]{0,198}[a-z0-9=])?")
_RESERVED = re.compile(r"ums|uid[ 0-9]*|ums .*")
"""What the service calls itself, and those who act on its machine."""
HINT = "use letters a to z, digits and . _ @ + - : / | = ~, as in an address of mail"

_LOOK_ALIKE = str.maketrans(
    {
        # Cyrillic
        "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "ғ": "f", "ԍ": "g", "һ": "h", "і": "i", "ј": "j", "к": "k",
        "ӏ": "l", "м": "m", "н": "h", "о": "o", "р": "p", "ԛ": "q", "г": "r", "ѕ": "s", "т": "t", "ц": "u", "ѵ": "v",
        "ԝ": "w", "х": "x", "у": "y", "ү": "y", "ѡ": "w", "є": "e", "ъ": "b", "ь": "b",
        # Greek
        "α": "a", "β": "b", "ϲ": "c", "δ": "d", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
        "σ": "o", "τ": "t", "υ": "u", "χ": "x", "γ": "y", "ω": "w", "ζ": "z", "μ": "u",
        # Latin, Armenian and punctuation
        "ı": "i", "ȷ": "j", "ɑ": "a", "ɡ": "g", "ɩ": "i", "ʟ": "l", "ɴ": "n", "ʀ": "r", "ѐ": "e", "ø": "o", "đ": "d",
        "ł": "l", "ħ": "h", "ŧ": "t", "օ": "o", "ո": "n", "ս": "u", "հ": "h", "յ": "j", "ց": "g", "զ": "q",
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "․": ".", "։": ":", "꞉": ":", "∕": "/", "⁄": "/",
    }
)  # fmt: skip

_DERIVED = re.compile(r"LATIN (?:SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL )?([A-Z])(?: WITH .*)?")
_CHEROKEE_AND_LISU = str.maketrans(
    "ᎪᏴᏟᎠᎬᎮᎻᎥᎫᏦᏞᎷΝᏢᎡᏚᎢᏙᎳᎩᏃꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ",
    "abcdephijklmnprstvwyzabcdefghijklmnoprstuvwxyz",
)
"""Capitals of other scripts that look like ASCII's."""


def normal_subject(text: str) -> str:
    """Return the form in which a subject is kept: lower-case ASCII, without blanks around it.

    Raises:
        InvalidInputError: there is more in it than that form has, or it is one of the service's own names.

    """
    normal = unicodedata.normalize("NFKC", text).strip().lower()
    if not is_plain(normal):
        raise InvalidInputError(f"{text!r:.60} cannot be the name of a person or machine", hint=HINT)
    if _RESERVED.fullmatch(normal):
        raise InvalidInputError(f"{text!r:.60} is what UMS calls itself", hint="choose another name")
    return normal


def is_plain(subject: str) -> bool:
    """Return whether a subject, whatever its case, is one that nobody takes for another."""
    return _PLAIN.fullmatch(subject.lower()) is not None and subject.isascii()


def folded(subject: str) -> str:
    """Return what is the same for all spellings of one name: for what a name is granted."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", subject).casefold()).split())


def person_key(subject: str) -> str:
    """Return what is the same for all names that people take for the same: for what one person alone must not do."""
    text = unicodedata.normalize("NFKC", subject)
    visible = "".join(each for each in text if is_shown(each) and unicodedata.category(each) not in {"Cn", "Co"})
    latin = "".join(map(_latin, visible.casefold().translate(_CHEROKEE_AND_LISU)))
    apart = unicodedata.normalize("NFKD", latin.casefold().translate(_LOOK_ALIKE))
    bare = "".join(each for each in apart if unicodedata.category(each) not in {"Mn", "Me"}).translate(_LOOK_ALIKE)
    return " ".join(bare.casefold().split())


def _latin(letter: str) -> str:
    """Return the letter of ASCII that a Latin one is a form of; else itself."""
    form = None if letter.isascii() else _DERIVED.fullmatch(unicodedata.name(letter, ""))
    return form[1].lower() if form else letter


def same_person(one: str, other: str) -> bool:
    """Return whether two subjects are one person or machine."""
    return person_key(one) == person_key(other)
