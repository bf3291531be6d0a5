"""Who may sign what, and how many must: ``trust.yaml``; and which keys a data plane knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ums.domain.errors import UnverifiedError
from ums.domain.strict_json import strings, texts

TRUST = "trust"
"""The bundle that brings keys and the guard. Every data plane subscribes to it."""


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A release key: whoever holds its private half. ``public_key`` is PEM (SPKI)."""

    name: str
    public_key: str


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """An identity that a Fulcio certificate vouches for."""

    name: str
    identity: str
    issuer: str


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
