"""Texts for whoever sees some organizations alone: data planes of others are not named.

Structured values are left out where they stand (``World.for_orgs`` and its like). This is for sentences that UMS made
of names, such as why a rollout halted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

OTHERS = "another organization's data plane"
_PART = "[a-z0-9][a-z0-9-]*"
_PLANE = re.compile(
    rf"(?<![\w./:@-])(?:(?:fleet|pdps)/({_PART})/{_PART}(?:/[\w./-]*\w)?|({_PART})/{_PART}(?![\w@/-]|\.\w))"
)
_FOLDERS = frozenset({"channels", "catalog", "risks"})


def hide(value: Any, orgs: Collection[str], known: Collection[str] = ()) -> Any:  # noqa: ANN401 - any JSON value
    """Return JSON whose sentences name no data planes but those of ``orgs``; ``known`` are names that look like one.

    It asks for the form of a name, and not whether there is one: whoever writes a name into a text, and reads it back,
    learns nothing.
    """
    match value:
        case str() if "/" in value and " " in value:
            return _PLANE.sub(lambda found: _hidden(found, orgs, known), value)
        case list():
            return [hide(each, orgs, known) for each in value]
        case dict():
            return {name: hide(each, orgs, known) for name, each in value.items()}
        case _:
            return value


def _hidden(found: re.Match[str], orgs: Collection[str], known: Collection[str]) -> str:
    text, org = found[0], found[1] or found[2]
    return text if org in orgs or org in _FOLDERS or text in known else OTHERS
