"""Authenticate a data plane: its password for Git and the registry, its HMAC for events."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from ums.domain.bootstrapping import Credentials
from ums.domain.errors import InvalidInputError, UnauthenticatedError
from ums.domain.names import PDPName
from ums.domain.security_log import SecurityKind
from ums.ports import CredentialSource, ReleaseRepo
from ums.usecases.security_events import SecurityEvents


@dataclass(frozen=True, slots=True)
class AuthenticatePlane:
    """Check what a data plane proves itself with; all comparisons take constant time."""

    release_repo: ReleaseRepo
    credentials: CredentialSource
    security: SecurityEvents

    def by_password(self, user: str, password: str) -> PDPName | None:
        """Return the data plane that a user name and password belong to, or ``None``."""
        try:
            pdp = PDPName.parse(user)
        except InvalidInputError:
            return None
        known = self._credentials(pdp)
        right = known.password if known else "-"
        return pdp if hmac.compare_digest(right.encode(), password.encode()) and known else None

    def by_signature(self, pdp: PDPName, body: bytes, signature: str) -> None:
        """Check the ``X-Signature`` of an event or a report (``sha256=<hex>``).

        Raises:
            UnauthenticatedError: it is not by this data plane, or there is no such data plane.

        """
        plane = self.release_repo.read().planes.get(pdp)
        # Whether there is such a data plane is not to be told by the time that this takes either.
        generation = plane.registration.credential_generation if plane else 1
        key = self.credentials.credentials(pdp, generation=generation).event_key
        right = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right.encode(), signature.encode()) or plane is None:
            self.security.note(SecurityKind.PLANE_REFUSED, claims=str(pdp), proof="signature")
            raise UnauthenticatedError(
                f"this is not signed with the key of {pdp}",
                hint="apply the output of ums pdp bootstrap again in that cluster",
            )

    def _credentials(self, pdp: PDPName) -> Credentials | None:
        plane = self.release_repo.read().planes.get(pdp)
        if plane is None:
            return None
        return self.credentials.credentials(pdp, generation=plane.registration.credential_generation)
