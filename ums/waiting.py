"""Who may not wait: a thread that answers at once, or hands over to one that may.

The loop that looks after all connections answers polls itself, by the same code as every other thread. What keeps it
from ever waiting stands where the waiting would begin: whoever starts a process, asks a database, or counts what must
not be counted twice calls ``will_wait`` first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_AT_ONCE: ContextVar[bool] = ContextVar("at_once", default=False)


class WouldWaitError(Exception):
    """What is asked for cannot be had at once; nothing was done. Never leaves ``ums.wsgi``, which asks elsewhere."""


@contextmanager
def at_once() -> Iterator[None]:
    """Let nothing wait inside, in this thread."""
    before = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(before)


def will_wait() -> None:
    """Say that what follows waits for something, or must not be done twice.

    Raises:
        WouldWaitError: whoever asks wants an answer at once.

    """
    if _AT_ONCE.get():
        raise WouldWaitError
