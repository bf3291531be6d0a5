"""Keyless signatures: an OIDC identity, vouched for by Fulcio, logged by Rekor. sigstore-python does the work.

Its import takes 0.3 s, so this module is imported only where keyless signatures are asked for.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence

from sigstore.dsse import StatementBuilder, Subject
from sigstore.errors import Error, NetworkError, TUFError
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import ClientTrustConfig
from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken, detect_credential
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError, UnauthenticatedError, UnavailableError
from ums.domain.oci import COSIGN_PREDICATE
from ums.domain.trust import KeylessSigner, Signatory


def load_trust_config(text: str | None) -> ClientTrustConfig:
    """Return the trust configuration of a private instance, or the public one.

    Raises:
        InvalidInputError: the text is no client trust configuration.
        UnavailableError: the public one cannot be fetched.

    """
    try:
        return ClientTrustConfig.from_json(text) if text is not None else ClientTrustConfig.production()
    except (NetworkError, TUFError, OSError) as error:
        raise UnavailableError(
            f"the public sigstore trust root cannot be fetched: {error}",
            hint="give --trust-config for a private instance",
        ) from error
    except (Error, ValueError) as error:
        raise InvalidInputError(f"not a client trust configuration: {error}") from error


class SigstoreSigner:
    """Implements ``ports.Signer`` with an OIDC identity."""

    def __init__(self, trust_config: ClientTrustConfig, token: IdentityToken) -> None:
        self._context = SigningContext.from_trust_config(trust_config)
        self._token = token

    @classmethod
    def from_environment(cls, trust_config: str | None) -> SigstoreSigner:
        """Use the identity that the surrounding CI gives (GitHub, GitLab, Google, Buildkite).

        Raises:
            UnauthenticatedError: there is none, or it cannot be used.
            InvalidInputError: the trust configuration is wrong.

        """
        try:
            raw = detect_credential()
            token = IdentityToken(raw) if raw else None
        except IdentityError as error:
            raise UnauthenticatedError(f"the ambient OIDC identity cannot be used: {error}") from error
        if token is None:
            raise UnauthenticatedError(
                "there is no ambient OIDC identity here", hint="run in CI with an id-token permission, or sign by --key"
            )
        return cls(load_trust_config(trust_config), token)

    def signatory(self) -> Signatory:
        """Return whose signature this makes."""
        return KeylessSigner(self._token.identity, self._token.identity, self._token.federated_issuer)

    def sign(self, digest: Digest) -> bytes:
        """Return a bundle over a statement about ``digest``.

        Raises:
            UnavailableError: Fulcio, Rekor or the timestamp authority did not answer.
            UnauthenticatedError: the identity expired.

        """
        statement = (
            StatementBuilder()
            .subjects([Subject(name="", digest={digest.algorithm: digest.hex})])
            .predicate_type(COSIGN_PREDICATE)
            .predicate({})
            .build()
        )
        try:
            with self._context.signer(self._token) as signer:
                return signer.sign_dsse(statement).to_json().encode()
        except ExpiredIdentity as error:
            raise UnauthenticatedError(
                "the OIDC identity expired while signing", hint="run the command again"
            ) from error
        except (Error, OSError) as error:
            raise UnavailableError(
                f"keyless signing failed: {error}", hint="try again; what was done is kept"
            ) from error


class SigstoreVerifier:
    """Implements ``ports.Verifier`` for signatories that are identities."""

    def __init__(self, trust_config: str | None = None) -> None:
        self._verifier = Verifier(trusted_root=load_trust_config(trust_config).trusted_root)

    def verify(self, signature: bytes, digest: Digest, signatories: Sequence[Signatory]) -> str | None:
        """Return the name of the identity that signed, or ``None``; what is malformed is signed by nobody."""
        try:
            bundle = SigstoreBundle.from_json(signature)
        except (Error, ValueError):
            return None
        for signatory in signatories:
            if not isinstance(signatory, KeylessSigner):
                continue
            policy = Identity(identity=signatory.identity, issuer=signatory.issuer)
            try:
                _, payload = self._verifier.verify_dsse(bundle, policy)
            except (Error, ValueError):
                continue
            if _is_about(payload, digest):
                return signatory.name
        return None


def _is_about(payload: bytes, digest: Digest) -> bool:
    try:
        statement = json.loads(payload)
        (subject,) = statement["subject"]
        claimed = str(subject["digest"][digest.algorithm])
    except (ValueError, KeyError, TypeError):
        return False
    return statement.get("predicateType") == COSIGN_PREDICATE and hmac.compare_digest(claimed, digest.hex)
