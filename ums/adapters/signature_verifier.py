"""Both kinds of signature behind one port: by key, and – made only when trust asks for it – keyless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from ums.domain.digest import Digest
from ums.domain.trust import KeylessSigner, Signatory
from ums.ports import Verifier


class SignatureVerifier:
    """Implements ``ports.Verifier``; ``keyless`` is called once, when a keyless signatory is first asked about."""

    def __init__(self, keys: Verifier, keyless: Callable[[], Verifier]) -> None:
        self._keys = keys
        self._make_keyless = keyless

    @cached_property
    def _keyless(self) -> Verifier:
        return self._make_keyless()

    def verify(self, signature: bytes, digest: Digest, signatories: Sequence[Signatory]) -> str | None:
        """Return the name of the signatory that made ``signature`` over ``digest``, or ``None``.

        Raises:
            UnavailableError: sigstore's trust root cannot be had.

        """
        found = self._keys.verify(signature, digest, signatories)
        if found is None and any(isinstance(each, KeylessSigner) for each in signatories):
            return self._keyless.verify(signature, digest, signatories)
        return found
