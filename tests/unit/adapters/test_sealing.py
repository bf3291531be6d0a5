"""Secrets in the database are encrypted, each for its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ums.adapters.sealing import Sealer
from ums.domain.errors import StorageError

MASTER = b"m" * 32
PLACE = ("webhooks", "chat", "secret")


@given(st.text())
def test_what_is_sealed_opens_with_the_same_key_alone(secret: str) -> None:
    """In another process, too; each time it looks different."""
    sealed = Sealer(MASTER).seal(secret, *PLACE)
    assert Sealer(MASTER).open(sealed, *PLACE) == secret
    assert sealed != Sealer(MASTER).seal(secret, *PLACE)
    with pytest.raises(StorageError, match="cannot be decrypted"):
        Sealer(b"n" * 32).open(sealed, *PLACE)


@pytest.mark.parametrize("place", [("webhooks", "other", "secret"), ("webhooks", "chat", "url"), ("answers", "chat")])
def test_what_was_moved_elsewhere_does_not_open(place: tuple[str, ...]) -> None:
    """Whoever can write to the database could have one receiver sent what is signed for another."""
    with pytest.raises(StorageError, match="cannot be decrypted"):
        Sealer(MASTER).open(Sealer(MASTER).seal("whsec_x", *PLACE), *place)


@pytest.mark.parametrize("text", ["", "ums1:", "ums1:AAAA", "ums1:é", "whsec_c2VjcmV0", "https://example.com/x"])
def test_clear_text_and_rubbish_do_not_open(text: str) -> None:
    """There is no fallback to what is not encrypted."""
    with pytest.raises(StorageError, match="cannot be decrypted"):
        Sealer(MASTER).open(text, *PLACE)


def test_every_changed_character_is_noticed() -> None:
    """Of the form, the nonce, the content and the tag."""
    sealed = Sealer(MASTER).seal("whsec_x", *PLACE)
    for at, character in enumerate(sealed):
        changed = sealed[:at] + ("A" if character != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(StorageError):
            Sealer(MASTER).open(changed, *PLACE)
