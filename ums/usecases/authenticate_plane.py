"""Authenticate a data plane: its password for Git and the registry, its HMAC for events."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from ums.domain.bootstrapping import Credentials
from ums.domain.errors import InvalidInputError, UnauthenticatedError
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.ports import Clock, CredentialSource, ReleaseRepo
from ums.usecases.security_events import SecurityEvents


@dataclass(frozen=True, slots=True)
class AuthenticatePlane:
    """Check what a data plane proves itself with; all comparisons take constant time."""

    release_repo: ReleaseRepo
    credentials: CredentialSource
    clock: Clock
    security: SecurityEvents

    def by_password(self, user: str, password: str) -> PDPName | None:
        """Return the data plane that a user name and password belong to, or ``None``."""
        try:
            pdp = PDPName.parse(user)
        except InvalidInputError:
            return None
        given = password.encode()
        proven = self._is_proven(pdp, "password", lambda known: hmac.compare_digest(known.password.encode(), given))
        return pdp if proven else None

    def by_signature(self, pdp: PDPName, body: bytes, signature: str) -> None:
        """Check the ``X-Signature`` of an event or a report (``sha256=<hex>``).

        Raises:
            UnauthenticatedError: it is not by this data plane, or there is no such data plane.

        """

        def signed(known: Credentials) -> bool:
            right = "sha256=" + hmac.new(known.event_key.encode(), body, hashlib.sha256).hexdigest()
            return hmac.compare_digest(right.encode(), signature.encode())

        if not self._is_proven(pdp, "signature", signed):
            self.security.note(SecurityKind.PLANE_REFUSED, claims=str(pdp), proof="signature")
            raise UnauthenticatedError(
                f"this is not signed with the key of {pdp}",
                hint="apply the output of ums pdp bootstrap again in that cluster",
            )

    def _is_proven(self, pdp: PDPName, proof: str, fits: Callable[[Credentials], bool]) -> bool:
        """Return whether something fits the credentials of a data plane: this generation, or one that still counts."""
        plane = self.release_repo.read().planes.get(pdp)
        # Neither whether there is such a data plane nor which generation fits is to be told by the time that this
        # takes: two are compared always.
        generation = plane.generation if plane else 1
        newest = fits(self.credentials.credentials(pdp, generation=generation))
        previous = fits(self.credentials.credentials(pdp, generation=generation - 1))
        if plane is None:
            return False
        if previous and not plane.accepts_previous(self.clock.now()):
            self.security.note(SecurityKind.PLANE_OUTDATED, claims=str(pdp), proof=proof, generation=generation - 1)
            return False
        return newest or previous
