"""Who may sign what, and how many must."""

from __future__ import annotations

import pytest

from ums.domain.errors import InvalidInputError, UnverifiedError
from ums.domain.trust import KeylessSigner, KeySigner, SigningRule, TrustPolicy

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


ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/acme/app/.github/workflows/release.yaml"


@pytest.mark.parametrize(
    "identity",
    ["olga@example.com", "ci+release@example.com", f"{WORKFLOW}@refs/heads/main", "https://kubernetes.io/a/b:c"],
)
def test_an_identity_is_the_subject_to_the_letter(identity: str) -> None:
    """Nothing more, less or different matches."""
    signer = KeylessSigner("ci", identity, ISSUER)
    signer.check()
    assert signer.matches(identity)
    for other in (identity + "x", "x" + identity, identity[:-1], identity.upper(), identity.replace(".", "x"), ""):
        assert not signer.matches(other)


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "*",
        ".*",
        "*@example.com",
        "https://github.com/acme/*",
        "https://github.com/acme/.*",
        "https://github.com/acme/.+@refs/heads/main",
        f"^{WORKFLOW}@refs/heads/main$",
        f"{WORKFLOW}@refs/tags/v*",
        f"{WORKFLOW}@refs/tags/v[0-9]",
        f"{WORKFLOW}@refs/heads/(main|x)",
        "https://github\\.com/acme/app",
        "olga@example.com olga2@example.com",
        "olga@example.com\n",
    ],
)
def test_a_pattern_in_the_place_of_an_identity_is_refused(identity: str) -> None:
    """It would be compared to the letter, which is not what was meant; and the hint says what to write."""
    with pytest.raises(InvalidInputError, match="compared to the letter") as refused:
        KeylessSigner("ci", identity, ISSUER).check()
    assert "identityPattern" in refused.value.hint


@pytest.mark.parametrize(
    ("subject", "good"),
    [
        (f"{WORKFLOW}@refs/tags/v1.2.0", True),
        (f"{WORKFLOW}@refs/tags/v1.2.0-rc.1", True),
        (f"{WORKFLOW}@refs/tags/v", False),
        (f"{WORKFLOW}@refs/tags/x1.2.0", False),
        (f"{WORKFLOW}@refs/tags/v1/evil", False),
        (f"{WORKFLOW}@refs/tags/v1@refs/heads/x", False),
        (f"{WORKFLOW}@refs/tags/v1\n", False),
        (f"{WORKFLOW}@refs/tags/v{'1' * 101}", False),
        (f"{WORKFLOW}@refs/heads/v1.2.0", False),
        (f"{WORKFLOW.replace('acme', 'mallory')}@refs/tags/v1", False),
        (f"{WORKFLOW.replace('release', 'other')}@refs/tags/v1", False),
        (f"{WORKFLOW.replace('github.com', 'githubXcom')}@refs/tags/v1", False),
        (f"https://mallory.example.com/?{WORKFLOW}@refs/tags/v1", False),
        (f"{WORKFLOW}@refs/tags/v*", False),
    ],
)
def test_a_pattern_leaves_the_end_of_a_ref_open_and_nothing_else(subject: str, *, good: bool) -> None:
    """The same host, repository and workflow, and one part of a ref that begins so."""
    signer = KeylessSigner("ci", f"{WORKFLOW}@refs/tags/v*", ISSUER, is_pattern=True)
    signer.check()
    assert signer.matches(subject) is good


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "https://*",
        "https://github.com/*",
        "https://github.com/acme/*",
        "https://github.com/acme/app/*",
        "https://github.com/acme/*/.github/workflows/release.yaml@refs/tags/v*",
        "https://github.com/acme/app@refs/tags/v*",
        f"{WORKFLOW}@*",
        f"{WORKFLOW}@refs/*",
        f"{WORKFLOW}@refs/tags/*",
        f"{WORKFLOW}@refs/heads/*",
        f"{WORKFLOW}@refs/heads/release/*",
        f"{WORKFLOW}@refs/pull/1*",
        f"{WORKFLOW}@refs/tags/v*.0",
        f"{WORKFLOW}@refs/tags/v**",
        f"{WORKFLOW}@refs/tags/v",
        f"{WORKFLOW}@refs/tags/v[0-9]*",
        f"^{WORKFLOW}@refs/tags/v*",
        "http://github.com/acme/app/w.yaml@refs/tags/v*",
        "https://user@github.com/acme/app/w.yaml@refs/tags/v*",
        "*@example.com",
    ],
)
def test_a_pattern_that_leaves_repository_workflow_or_ref_open_is_refused(pattern: str) -> None:
    """Who may push some branch, or make some repository, would sign as the release."""
    signer = KeylessSigner("ci", pattern, ISSUER, is_pattern=True)
    with pytest.raises(InvalidInputError, match="leaves open what must be fixed"):
        signer.check()


@pytest.mark.parametrize("issuer", ["", "*", "https://*", "http://issuer.example.com", "https://i.example.com/.*", "x"])
def test_an_issuer_is_one_url(issuer: str) -> None:
    """An empty one would be any to some libraries."""
    with pytest.raises(InvalidInputError, match="is no https URL"):
        KeylessSigner("ci", "olga@example.com", issuer).check()


@pytest.mark.parametrize("is_pattern", [True, False])
def test_a_keyless_signer_reads_as_it_was_written(*, is_pattern: bool) -> None:
    """A pattern never becomes an identity, or the other way round."""
    signer = KeylessSigner("ci", f"{WORKFLOW}@refs/tags/v*", ISSUER, is_pattern=is_pattern)
    assert KeylessSigner.from_dict("ci", signer.to_dict()) == signer
