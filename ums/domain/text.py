r"""Text of others, as it may be shown: without characters that a reader does not see, or that command what shows it.

A terminal obeys control characters, and shows a line that has bidirectional controls in another order than its own. So
commands print them as escapes (``\x1b``, ``\u202e``), and requests that bring them are refused.

What counts as hidden: the categories control, format, surrogate, line and paragraph separator of Unicode – among them
zero-width characters and tags –, and such as are blank or mean nothing outside one font: private use, letters and
selectors that are blank. Accents, other scripts and emoji are shown.
"""

from __future__ import annotations

import re

from ums.domain.errors import InvalidInputError

# Written out, since asking for the category of each character takes half a second.
_RANGES = (
    *((0x0, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD)),
    *((0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *(
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xD800, 0xF8FF),
        (0xFEFF, 0xFEFF),
    ),
    *(
        (0xFDD0, 0xFDEF),
        (0xFE00, 0xFE0D),
        (0xFFA0, 0xFFA0),
        (0xFFF0, 0xFFFC),
        (0xFFFE, 0xFFFF),
        (0x110BD, 0x110BD),
        (0x110CD, 0x110CD),
        (0x13430, 0x13455),
    ),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF), (0xF0000, 0x10FFFF)),
)
_HIDDEN = re.compile("[" + "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in _RANGES) + "]")
MULTI_LINE = "\n\t"
"""What text of several lines may have besides."""
FOR_PROGRAMS = frozenset({"values"})
"""Fields whose content only programs read, as Helm values: commands that print it show what is hidden in it."""


def is_plain(text: str, *, keep: str = "") -> bool:
    """Return whether text hides nothing; characters of ``keep`` may be in it."""
    return (text.isascii() and text.isprintable()) or all(found[0] in keep for found in _HIDDEN.finditer(text))


def plain(text: str, *, keep: str = "") -> str:
    """Return text with hidden characters as escapes, but for those of ``keep``."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def plain_json(text: str) -> str:
    """Return JSON that means the same, with hidden characters as JSON's escapes, but for its own line breaks."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else _in_json(found[0]), text)


def check_plain(text: str, what: str, *, keep: str = "") -> str:
    """Return text that hides nothing.

    Raises:
        InvalidInputError: it does; names the first such character.

    """
    for found in _HIDDEN.finditer(text):
        if found[0] not in keep:
            raise InvalidInputError(
                f"{what} has a character that is not shown: {_escaped(found[0])} at position {found.start()}",
                hint="leave out control, bidirectional and zero-width characters",
            )
    return text


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _in_json(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:  # noqa: PLR2004 - JSON escapes UTF-16
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"
