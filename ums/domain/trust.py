"""Who may sign what, and how many must: ``trust.yaml``; and which keys a data plane knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ums.domain.errors import InvalidInputError, UnverifiedError
from ums.domain.strict_json import strings, texts

TRUST = "trust"
"""The bundle that brings keys and the guard. Every data plane subscribes to it."""


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A release key: whoever holds its private half. ``public_key`` is PEM (SPKI)."""

    name: str
    public_key: str


_EXACT = re.compile(r"[A-Za-z0-9._@+:/=~,;%!&'#-]+")
_PATTERN = re.compile(
    r"https://[a-z0-9.-]+(?::[0-9]+)?(?:/+[A-Za-z0-9._-]+){3,}@refs/(?:heads|tags)/[A-Za-z0-9._/-]*[A-Za-z0-9._-]\*"
)
"""Host, repository and workflow in full, and a ref whose last part has a beginning."""
_REST = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""What the asterisk stands for: it crosses no slash."""
_ISSUER = re.compile(r"https://[a-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """An identity that a Fulcio certificate vouches for.

    Attributes:
        identity: the subject of the certificate, to the letter; or a pattern.
        issuer: the OIDC issuer, to the letter.
        is_pattern: the identity ends in ``*``, which stands for the rest of a ref's last part.

    """

    name: str
    identity: str
    issuer: str
    is_pattern: bool = False

    def matches(self, subject: str) -> bool:
        """Return whether the subject of a certificate is this identity."""
        if not self.is_pattern:
            return subject == self.identity
        start = self.identity.removesuffix("*")
        return subject.startswith(start) and _REST.fullmatch(subject, len(start)) is not None

    def check(self) -> None:
        """Check that it is one identity, or those of one workflow at refs that begin alike.

        Raises:
            InvalidInputError: it is a pattern in disguise, or one that leaves repository, workflow or ref open.

        """
        if not _ISSUER.fullmatch(self.issuer):
            raise InvalidInputError(
                f"issuer {self.issuer!r:.90} is no https URL", hint="it is compared to the letter, and is no pattern"
            )
        if self.is_pattern and not _PATTERN.fullmatch(self.identity):
            raise InvalidInputError(
                f"identityPattern {self.identity!r:.200} leaves open what must be fixed",
                hint="write https://<host>/<owner>/<repo>/<workflow>@refs/tags/<beginning>*, with one * at the end",
            )
        odd = not _EXACT.fullmatch(self.identity) or ("://" in self.identity and "+" in self.identity)
        if not self.is_pattern and odd:
            raise InvalidInputError(
                f"identity {self.identity!r:.200} has characters of a pattern, and is compared to the letter",
                hint="write the whole subject of the certificate; refs that begin alike need identityPattern",
            )

    def to_dict(self) -> dict[str, str]:
        """Return the wire form, without the name."""
        return {"identityPattern" if self.is_pattern else "identity": self.identity, "issuer": self.issuer}

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, str]) -> Self:
        """Read the wire form."""
        pattern = data.get("identityPattern")
        return cls(name, pattern or data["identity"], data["issuer"], is_pattern=pattern is not None)


Signatory = KeySigner | KeylessSigner


@dataclass(frozen=True, slots=True)
class SigningRule:
    """Which signers count for a bundle, and how many distinct ones there must be."""

    signers: tuple[str, ...]
    threshold: int = 1


@dataclass(frozen=True, slots=True)
class Trusted:
    """The keys that a data plane knows.

    Attributes:
        release_keys: PEM (SPKI) by the signer's name; Flux is content with a signature by any of them.
        state_keys: OpenSSH's one-line form.

    """

    release_keys: Mapping[str, str]
    state_keys: tuple[str, ...]

    def knows_any(self, signers: Collection[str]) -> bool:
        """Return whether one of the signers is among its release keys."""
        return any(name in self.release_keys for name in signers)

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"releaseKeys": dict(self.release_keys), "stateKeys": list(self.state_keys)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the wire form."""
        return cls(
            strings(data["releaseKeys"], "member 'releaseKeys'"), tuple(texts(data["stateKeys"], "member 'stateKeys'"))
        )


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """All signers and rules. ``rules`` is keyed by bundle name; ``*`` stands for every other bundle."""

    signers: Mapping[str, Signatory]
    rules: Mapping[str, SigningRule]
    state_keys: tuple[str, ...] = ()

    @property
    def trusted(self) -> Trusted:
        """Return the keys that data planes are to know."""
        keys = {name: each.public_key for name, each in self.signers.items() if isinstance(each, KeySigner)}
        return Trusted(keys, self.state_keys)

    def rule_for(self, bundle: str) -> SigningRule:
        """Return the rule for a bundle.

        Raises:
            UnverifiedError: nobody may sign it, so it can never be trusted.

        """
        rule = self.rules.get(bundle) or self.rules.get("*")
        if rule is None:
            raise UnverifiedError(
                f"trust.yaml lets nobody sign bundle {bundle}",
                hint=f"add bundles: {bundle}: to trust.yaml in the release repo",
            )
        return rule

    def signatories_for(self, bundle: str) -> tuple[Signatory, ...]:
        """Return the signers whose signature counts for a bundle.

        Raises:
            UnverifiedError: nobody may sign it.

        """
        return tuple(self.signers[name] for name in self.rule_for(bundle).signers)

    def check(self, bundle: str, subject: str, signed_by: frozenset[str]) -> None:
        """Check that enough of the right signers signed.

        Raises:
            UnverifiedError: fewer distinct signers than the threshold.

        """
        rule = self.rule_for(bundle)
        counted = sorted(signed_by & set(rule.signers))
        if len(counted) < rule.threshold:
            raise UnverifiedError(
                f"{subject} has {len(counted)} of the {rule.threshold} signatures that trust.yaml demands"
                f"{' (' + ', '.join(counted) + ')' if counted else ''}",
                hint=f"have it signed by {' or '.join(rule.signers)}: ums publish does, and so does cosign sign",
            )
