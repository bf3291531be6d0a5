"""Whose word counts on ``main``: people's for the files that people write, the state key's for all others.

What UMS decided stands in commits that a state key signed. Another commit may change what people write; the rest of it
is ignored, reported, and put back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Trespass:
    """Changes on ``main`` that no state key signed, to files that only UMS writes; they have no effect.

    Attributes:
        commit: the head of ``main`` that holds them; empty where the branch is gone.
        authors: who made the unsigned commits, as these say themselves.
        paths: files that differ from what UMS wrote; also links, submodules and executables in the place of files.
        is_past: the head does not follow the newest commit that UMS signed: the branch was put back or replaced, and
            nothing of it counts.

    """

    commit: str
    authors: tuple[str, ...]
    paths: tuple[str, ...]
    is_past: bool = False

    def __str__(self) -> str:
        if not self.commit:
            return "the branch main is gone: what UMS signed last counts"
        who = ", ".join(self.authors[:_SHOWN])
        if self.is_past:
            return f"commit {self.commit:.12} by {who} does not follow the newest commit that UMS signed: ignored"
        what = f"changes {listed(self.paths)}, which only UMS writes, and no state key signed it"
        return f"commit {self.commit:.12} by {who} {what}: ignored"


def listed(paths: Collection[str], *, shown: int = _SHOWN) -> str:
    """Return paths in one line, each cut, the first few of them by name."""
    names = ", ".join(f"{path:.80}" for path in sorted(paths)[:shown])
    return names if len(paths) <= shown else f"{names} and {len(paths) - shown} more"


def counting_keys(own: str, named: Collection[str], given: Collection[str]) -> frozenset[str]:
    """Return the state keys that count, in OpenSSH's form.

    Args:
        own: the key that the service signs with: the root of trust.
        named: the keys in ``trust.yaml``, which people edit. To take a key out of it is enough for it not to count; to
            write one there is not.
        given: the keys that data planes were given, at bootstrap or by releases of bundle ``trust``. Only commits
            that count say which these are, so that no key vouches for itself.

    """
    return frozenset({own, *(set(named) & set(given))})
