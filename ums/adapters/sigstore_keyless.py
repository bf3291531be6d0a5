"""Keyless signatures: an OIDC identity, vouched for by Fulcio, logged by Rekor. sigstore-python does the work.

Its import takes 0.3 s, so this module is imported only where keyless signatures are asked for. Bundles made with a
key are another adapter's: here they are signed by nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NoReturn, TypeVar

from cryptography.x509 import Certificate, SubjectAlternativeName, UniformResourceIdentifier
from requests import HTTPError
from sigstore.dsse import Statement, StatementBuilder, Subject
from sigstore.errors import Error, MetadataError, VerificationError
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import ClientTrustConfig
from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken, detect_credential
from sigstore.sign import Signer, SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import AllOf, Identity, OIDCIssuer

from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, UmsError, UnauthenticatedError, UnavailableError
from ums.domain.oci import COSIGN_PREDICATE
from ums.domain.statements import PAYLOAD_TYPE, is_about, read_bundle
from ums.domain.trust import KeylessSigner, Signatory

SIGNING_TIMEOUT_SECONDS = 120.0
_REFUSALS = frozenset({400, 401, 403})

Value = TypeVar("Value")


def load_trust_config(text: str | None) -> ClientTrustConfig:
    """Return the trust configuration of a private instance, or the public one.

    Raises:
        InvalidInputError: the text is no client trust configuration.
        UnavailableError: the public one cannot be fetched.

    """
    if text is not None:
        try:
            return ClientTrustConfig.from_json(text)
        except (Error, ValueError) as error:
            _raise_bad_config(error)
    try:
        return ClientTrustConfig.production()
    except (Error, OSError, ValueError) as error:
        raise UnavailableError(
            f"the public sigstore trust root cannot be fetched: {error}",
            hint="give --trust-config for a private instance",
        ) from error


class SigstoreSigner:
    """Implements ``ports.Signer`` with an OIDC identity."""

    def __init__(
        self, trust_config: ClientTrustConfig, token: IdentityToken, *, timeout: float = SIGNING_TIMEOUT_SECONDS
    ) -> None:
        try:
            self._context = SigningContext.from_trust_config(trust_config)
        except (Error, ValueError) as error:
            _raise_bad_config(error)
        self._token = token
        self._timeout = timeout

    @classmethod
    def from_environment(cls, trust_config: str | None) -> SigstoreSigner:
        """Use the identity that the surrounding CI gives (GitHub, GitLab, Google, Buildkite).

        Raises:
            UnauthenticatedError: there is none, or it cannot be used.
            InvalidInputError: the trust configuration is wrong.
            UnavailableError: the public trust root cannot be fetched.

        """
        try:
            token = detect_credential()
        except IdentityError as error:
            raise UnauthenticatedError(
                f"the ambient OIDC identity cannot be had: {error}",
                hint="give the CI job permission to ask for an id-token, or sign by --key",
            ) from error
        if token is None:
            raise UnauthenticatedError(
                "there is no ambient OIDC identity here", hint="run in CI with an id-token permission, or sign by --key"
            )
        return cls.from_token(token, trust_config)

    @classmethod
    def from_token(cls, token: str, trust_config: str | None) -> SigstoreSigner:
        """Use an OIDC token that is at hand; its audience must be ``sigstore``.

        Raises:
            UnauthenticatedError: it is none, has expired or is for another audience.
            InvalidInputError: the trust configuration is wrong.
            UnavailableError: the public trust root cannot be fetched.

        """
        try:
            identity = IdentityToken(token)
        except IdentityError as error:
            # Its own message says little; the cause knows which claim is wrong.
            raise UnauthenticatedError(
                f"the OIDC token cannot be used: {error.__cause__ or error}",
                hint="ask for a fresh token with audience sigstore",
            ) from error
        return cls(load_trust_config(trust_config), identity)

    def signatory(self) -> Signatory:
        """Return whose signature this makes."""
        return KeylessSigner(self._token.identity, self._token.identity, self._token.federated_issuer)

    def sign(self, digest: Digest) -> bytes:
        """Return a bundle over a statement about ``digest``.

        Raises:
            UnavailableError: Fulcio, Rekor or the timestamp authority did not answer.
            UnauthenticatedError: the identity expired, or Fulcio does not accept it.
            IntegrityError: Fulcio's certificate is not by the instance of the trust configuration.

        """
        statement = (
            StatementBuilder()
            .subjects([Subject(name="", digest={digest.algorithm: digest.hex})])
            .predicate_type(COSIGN_PREDICATE)
            .predicate({})
            .build()
        )
        return _within(self._timeout, lambda: self._sign(statement))

    def _sign(self, statement: Statement) -> bytes:
        # The library's network errors are private and share no base with its others: hence ``Exception``.
        try:
            signer = Signer(self._token, self._context)
        except Exception as error:
            raise _fulcio_failure(error) from error
        try:
            return signer.sign_dsse(statement).to_json().encode()
        except Exception as error:
            raise UnavailableError(
                f"the signature could not be logged: {_describe(error)}", hint="try again; what was done is kept"
            ) from error


class SigstoreVerifier:
    """Implements ``ports.Verifier`` for signatories that are identities. It asks nothing of the network."""

    def __init__(self, trust_config: str | None = None) -> None:
        config = load_trust_config(trust_config)
        try:
            self._verifier = Verifier(trusted_root=config.trusted_root)
        except (Error, ValueError) as error:
            _raise_bad_config(error)

    def verify(self, signature: bytes, digest: Digest, signatories: Sequence[Signatory]) -> str | None:
        """Return the name of the identity that signed, or ``None``; what is malformed is signed by nobody.

        Raises:
            InvalidInputError: the trust configuration lacks the keys to look with.

        """
        try:
            read_bundle(signature)
        except InvalidInputError:
            return None
        for signatory in signatories:
            if isinstance(signatory, KeylessSigner) and self._is_by(signatory, signature, digest):
                return signatory.name
        return None

    def _is_by(self, signatory: KeylessSigner, signature: bytes, digest: Digest) -> bool:
        # Not by ``Identity(issuer=…)``: it takes an empty issuer for any issuer.
        subject = _Subject(signatory) if signatory.is_pattern else Identity(identity=signatory.identity)
        policy = AllOf([OIDCIssuer(signatory.issuer), subject])
        try:
            kind, payload = self._verifier.verify_dsse(SigstoreBundle.from_json(signature), policy)
        except MetadataError as error:
            _raise_bad_config(error)
        except Exception:  # noqa: BLE001 - certificates and log entries are a stranger's: all that fails is they
            return False
        return kind == PAYLOAD_TYPE and is_about(payload, digest)


class _Subject:
    """Sigstore's ``VerificationPolicy`` for a pattern: the one name in a certificate is a URI that matches."""

    def __init__(self, signatory: KeylessSigner) -> None:
        self._signatory = signatory

    def verify(self, cert: Certificate) -> None:
        """Check a certificate.

        Raises:
            VerificationError: it names somebody else, or several.

        """
        names = cert.extensions.get_extension_for_class(SubjectAlternativeName).value
        uris = names.get_values_for_type(UniformResourceIdentifier)
        if len(list(names)) != 1 or len(uris) != 1 or not self._signatory.matches(uris[0]):
            raise VerificationError(f"the certificate does not name {self._signatory.name}")


def _within(seconds: float, work: Callable[[], Value]) -> Value:
    """Return what ``work`` returns. The library's requests know no timeout, so that the whole of it gets one."""
    future: Future[Value] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="keyless-signing", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise UnavailableError(
            f"Fulcio or Rekor did not answer within {seconds:g} s", hint="try again; what was done is kept"
        ) from error


def _fulcio_failure(error: Exception) -> UmsError:
    cause = error.__cause__
    status = cause.response.status_code if isinstance(cause, HTTPError) and cause.response is not None else 0
    if isinstance(error, ExpiredIdentity) or status in _REFUSALS:
        return UnauthenticatedError(
            f"Fulcio gives this OIDC identity no certificate: {_describe(error)}",
            hint="ask for a fresh token with audience sigstore, from an issuer that this Fulcio knows",
        )
    if isinstance(error, VerificationError | MetadataError):
        return IntegrityError(
            f"Fulcio's certificate is not what the trust configuration expects: {error}",
            hint="does --trust-config belong to this instance?",
        )
    return UnavailableError(
        f"no certificate could be had from Fulcio: {_describe(error)}", hint="try again; what was done is kept"
    )


def _raise_bad_config(error: Exception) -> NoReturn:
    raise InvalidInputError(
        f"not a usable client trust configuration: {error!s:.300}",
        hint="--trust-config takes sigstore's ClientTrustConfig (JSON, v0.1), with trusted root and signing config",
    ) from error


def _describe(error: Exception) -> str:
    """Return what is known: some of the library's errors say nothing themselves."""
    if isinstance(error, ExpiredIdentity):
        return "it has expired"
    return str(error) or str(error.__cause__ or type(error).__name__)
