"""Who may sign what, and how many must."""

from __future__ import annotations

import pytest

from ums.domain.errors import UnverifiedError
from ums.domain.trust import KeySigner, SigningRule, TrustPolicy

SIGNERS = {name: KeySigner(name, f"PEM of {name}") for name in ("ci", "ops", "old")}
POLICY = TrustPolicy(
    SIGNERS, {"*": SigningRule(("ci",)), "flux": SigningRule(("ops",)), "core": SigningRule(("ci", "ops"), 2)}
)


@pytest.mark.parametrize(
    ("bundle", "signed_by", "enough"),
    [
        ("platform", {"ci"}, True),
        ("platform", {"ci", "old"}, True),
        ("platform", {"ops"}, False),
        ("platform", set[str](), False),
        ("flux", {"ops"}, True),
        ("flux", {"ci"}, False),
        ("core", {"ci", "ops"}, True),
        ("core", {"ci"}, False),
        ("core", {"ci", "old"}, False),
    ],
)
def test_only_signers_of_the_bundles_rule_count(bundle: str, signed_by: set[str], *, enough: bool) -> None:
    """A rule of a bundle's own replaces the general one; strangers do not make a threshold."""
    if enough:
        POLICY.check(bundle, bundle, frozenset(signed_by))
    else:
        with pytest.raises(UnverifiedError):
            POLICY.check(bundle, bundle, frozenset(signed_by))


def test_a_refusal_says_how_many_are_there_and_whose_would_count() -> None:
    """So that whoever reads it knows whom to ask."""
    with pytest.raises(UnverifiedError, match=r"core@1.0.0 has 1 of the 2 signatures .*\(ci\)") as caught:
        POLICY.check("core", "core@1.0.0", frozenset({"ci", "old"}))
    assert "ci or ops" in caught.value.hint


def test_without_a_rule_nobody_may_sign() -> None:
    """What is not allowed is refused, with the place to change it."""
    with pytest.raises(UnverifiedError, match=r"trust\.yaml") as caught:
        TrustPolicy(SIGNERS, {}).signatories_for("platform")
    assert "bundles: platform:" in caught.value.hint


def test_signatories_are_those_of_the_rule() -> None:
    """A verifier is not even shown the others."""
    assert POLICY.signatories_for("flux") == (SIGNERS["ops"],)
    assert POLICY.signatories_for("anything") == (SIGNERS["ci"],)
