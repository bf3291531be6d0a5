"""Who may sign what, and how many must: ``trust.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ums.domain.errors import UnverifiedError


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
class TrustPolicy:
    """All signers and rules. ``rules`` is keyed by bundle name; ``*`` stands for every other bundle."""

    signers: Mapping[str, Signatory]
    rules: Mapping[str, SigningRule]
    state_keys: tuple[str, ...] = ()

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
