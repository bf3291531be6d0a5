"""Keyless signing and verifying, against a private instance on this machine; failures say whose they are."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from sigstore.oidc import IdentityToken

from tests.doubles.sigstore_instance import SigstoreInstance
from tests.processes import eventually
from ums.adapters._release_files import SignerModel
from ums.adapters.cosign_bundle import CosignBundleSigner, CosignBundleVerifier
from ums.adapters.sigstore_keyless import SigstoreSigner, SigstoreVerifier, load_trust_config
from ums.domain import trust
from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, InvalidInputError, UnauthenticatedError, UnavailableError
from ums.domain.oci import SIGSTORE_BUNDLE
from ums.domain.statements import MAX_BUNDLE_BYTES
from ums.domain.trust import KeylessSigner, KeySigner

DIGEST = Digest.of(b"a release")
WHO, ISSUER = "ci@example.com", SigstoreInstance.issuer
Bundle = dict[str, Any]


@pytest.fixture(scope="module")
def instance() -> Iterator[SigstoreInstance]:
    """Give a private instance."""
    with SigstoreInstance() as started:
        yield started


@pytest.fixture(scope="module")
def signature(instance: SigstoreInstance) -> bytes:
    """Give a good signature of ``DIGEST``."""
    return SigstoreSigner.from_token(instance.token(WHO), instance.trust_config()).sign(DIGEST)


@pytest.fixture(scope="module")
def verifier(instance: SigstoreInstance) -> SigstoreVerifier:
    """Give a verifier that trusts the instance."""
    return SigstoreVerifier(instance.trust_config())


@pytest.fixture
def no_ambient_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the CI that these tests may run in."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)


def changed_config(instance: SigstoreInstance, change: Callable[[Bundle], object]) -> str:
    """Return the instance's configuration after a change."""
    config = json.loads(instance.trust_config())
    change(config)
    return json.dumps(config)


def test_a_bundle_states_what_cosign_states(instance: SigstoreInstance, signature: bytes) -> None:
    """Media type, predicate and subject are those of a bundle by key; the certificate says who."""
    bundle = json.loads(signature)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert bundle["mediaType"] == SIGSTORE_BUNDLE
    assert "certificate" in bundle["verificationMaterial"]
    assert statement["predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    assert statement["subject"] == [{"name": "", "digest": {"sha256": DIGEST.hex}}]
    signer = SigstoreSigner.from_token(instance.token(WHO), instance.trust_config())
    assert signer.signatory() == KeylessSigner(WHO, WHO, ISSUER)


@pytest.mark.parametrize(
    ("identity", "issuer", "good"),
    [
        (WHO, ISSUER, True),
        ("other@example.com", ISSUER, False),
        (WHO, "https://other.example.com", False),
        (WHO, ISSUER + "/", False),
        (WHO, "", False),
        ("", ISSUER, False),
        ("", "", False),
        (WHO.upper(), ISSUER, False),
        ("example.com", ISSUER, False),
    ],
)
def test_identity_and_issuer_must_both_be_right(
    verifier: SigstoreVerifier, signature: bytes, identity: str, issuer: str, *, good: bool
) -> None:
    """Neither is a pattern, and an empty one does not stand for any."""
    signatory = KeylessSigner("ci", identity, issuer)
    assert (verifier.verify(signature, DIGEST, [signatory]) == "ci") is good


WORKFLOW = "https://github.com/acme/app/.github/workflows/release.yaml"


@pytest.mark.parametrize(
    ("identity", "pattern", "good"),
    [
        (f"{WORKFLOW}@refs/tags/v1.2.0", True, True),
        (f"{WORKFLOW}@refs/tags/v1.2.0", False, False),
        (f"{WORKFLOW}@refs/heads/evil", True, False),
        (f"{WORKFLOW.replace('acme', 'mallory')}@refs/tags/v1.2.0", True, False),
        (WHO, True, False),
    ],
)
def test_a_pattern_counts_where_it_is_said_to_be_one(
    instance: SigstoreInstance, verifier: SigstoreVerifier, identity: str, *, pattern: bool, good: bool
) -> None:
    """For workflows, and never for another repository or kind of ref."""
    signature = SigstoreSigner.from_token(instance.token(identity), instance.trust_config()).sign(DIGEST)
    signatory = KeylessSigner("ci", f"{WORKFLOW}@refs/tags/v*", ISSUER, is_pattern=pattern)
    assert (verifier.verify(signature, DIGEST, [signatory]) == "ci") is good


MALLORY = f"{WORKFLOW.replace('acme/app', 'mallory/x')}@refs/heads/main"
LOOSE = {"identityPattern": "https://github.com/*", "issuer": ISSUER}


def test_without_its_rules_a_loose_pattern_lets_anybody_sign(
    instance: SigstoreInstance, verifier: SigstoreVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: a pattern of a host is accepted, and every repository there signs our releases."""
    signature = SigstoreSigner.from_token(instance.token(MALLORY), instance.trust_config()).sign(DIGEST)

    def verified_by_trust() -> str | None:
        signatory = SignerModel.model_validate(LOOSE).keyless("ci")
        assert signatory is not None
        return verifier.verify(signature, DIGEST, [signatory])

    with pytest.raises(ValueError, match="leaves open what must be fixed"):
        verified_by_trust()
    monkeypatch.setattr(KeylessSigner, "check", lambda _: None)
    assert verified_by_trust() is None, "what the asterisk stands for crosses no slash"
    monkeypatch.setattr(trust, "_REST", re.compile(".*"))
    assert verified_by_trust() == "ci"


def test_another_instance_vouches_for_nobody(signature: bytes) -> None:
    """A certificate and a log of an instance that is not trusted are worth nothing."""
    with SigstoreInstance() as other:
        verifier = SigstoreVerifier(other.trust_config())
    assert verifier.verify(signature, DIGEST, [KeylessSigner("ci", WHO, ISSUER)]) is None


def test_each_kind_of_bundle_has_its_verifier(verifier: SigstoreVerifier, signature: bytes) -> None:
    """A bundle by key is by nobody here, and a keyless one is by nobody there."""
    key = CosignBundleSigner(ec.generate_private_key(ec.SECP256R1()), "release")
    signatories = [key.signatory(), KeylessSigner("ci", WHO, ISSUER)]
    assert verifier.verify(key.sign(DIGEST), DIGEST, signatories) is None
    assert CosignBundleVerifier().verify(signature, DIGEST, signatories) is None
    assert verifier.verify(signature, DIGEST, [KeySigner("release", "")]) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(mediaType="application/json"),
        lambda it: it["verificationMaterial"].pop("certificate"),
        lambda it: it["verificationMaterial"]["certificate"].update(rawBytes="AAAA"),
        lambda it: it["verificationMaterial"].update(tlogEntries=[]),
        lambda it: it["verificationMaterial"]["tlogEntries"][0].pop("inclusionPromise"),
        lambda it: it["verificationMaterial"]["tlogEntries"][0].pop("inclusionProof"),
        lambda it: it["verificationMaterial"]["tlogEntries"][0].update(integratedTime="1"),
        lambda it: it["verificationMaterial"]["tlogEntries"][0].update(integratedTime="9" * 30),
        lambda it: it["verificationMaterial"]["tlogEntries"][0].update(canonicalizedBody="e30="),
        lambda it: it["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].update(treeSize="2"),
        lambda it: it["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].update(treeSize="-1"),
        lambda it: it["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"].update(envelope="x"),
        lambda it: it["dsseEnvelope"].update(payloadType="text/plain"),
        lambda it: it["dsseEnvelope"].update(signatures=[]),
        lambda it: it["dsseEnvelope"]["signatures"][0].update(sig=""),
        lambda it: it.pop("dsseEnvelope"),
    ],
)
def test_a_bundle_in_another_form_is_by_nobody(
    verifier: SigstoreVerifier, signature: bytes, change: Callable[[Bundle], object]
) -> None:
    """What is incomplete, inconsistent or of another kind gives no signer, and no exception."""
    bundle = json.loads(signature)
    change(bundle)
    assert verifier.verify(json.dumps(bundle).encode(), DIGEST, [KeylessSigner("ci", WHO, ISSUER)]) is None


def test_a_large_bundle_is_not_read(verifier: SigstoreVerifier, signature: bytes) -> None:
    """Beyond the limit, even a good signature is not looked at."""
    signatories = [KeylessSigner("ci", WHO, ISSUER)]
    assert verifier.verify(signature.ljust(MAX_BUNDLE_BYTES), DIGEST, signatories) == "ci"
    assert verifier.verify(signature.ljust(MAX_BUNDLE_BYTES + 1), DIGEST, signatories) is None


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", '{"mediaType": "other"}'])
def test_what_is_no_trust_config_is_refused(text: str) -> None:
    """The error says what was expected."""
    with pytest.raises(InvalidInputError, match="not a usable client trust configuration") as caught:
        load_trust_config(text)
    assert "ClientTrustConfig" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["trustedRoot"].update(tlogs=[]),
        lambda it: it["trustedRoot"].update(certificateAuthorities=[]),
        lambda it: it["trustedRoot"]["certificateAuthorities"][0]["certChain"].update(certificates=[]),
        lambda it: it["trustedRoot"]["certificateAuthorities"][0]["certChain"]["certificates"][0].update(rawBytes=""),
    ],
)
def test_a_root_that_nothing_can_be_verified_with_is_refused(
    instance: SigstoreInstance, change: Callable[[Bundle], object]
) -> None:
    """A trusted root without logs or certificates is wrong, whatever is to be verified."""
    with pytest.raises(InvalidInputError, match="not a usable client trust configuration"):
        SigstoreVerifier(changed_config(instance, change))


def test_a_root_without_a_certificate_log_cannot_look(instance: SigstoreInstance, signature: bytes) -> None:
    """*Could not look* is an error, never *signed by nobody*."""
    verifier = SigstoreVerifier(changed_config(instance, lambda it: it["trustedRoot"].update(ctlogs=[])))
    with pytest.raises(InvalidInputError, match="CTFE keys not found"):
        verifier.verify(signature, DIGEST, [KeylessSigner("ci", WHO, ISSUER)])


@pytest.mark.parametrize("service", ["caUrls", "rekorTlogUrls"])
def test_a_config_without_services_cannot_sign(instance: SigstoreInstance, service: str) -> None:
    """Signing needs Fulcio and Rekor; verifying with the same configuration does not."""
    config = changed_config(instance, lambda it: it["signingConfig"].update({service: []}))
    with pytest.raises(InvalidInputError, match="not a usable client trust configuration"):
        SigstoreSigner.from_token(instance.token(WHO), config)
    SigstoreVerifier(config)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (lambda _: "no token", "Not enough segments"),
        (lambda it: it.token(WHO, audience="other"), "Audience"),
        (lambda it: it.token(WHO, lifetime=-60), "expired"),
    ],
)
def test_a_bad_token_is_not_used(
    instance: SigstoreInstance, token: Callable[[SigstoreInstance], str], why: str
) -> None:
    """A token that Fulcio would not take is refused here, with the reason."""
    with pytest.raises(UnauthenticatedError, match=why) as caught:
        SigstoreSigner.from_token(token(instance), instance.trust_config())
    assert "audience sigstore" in caught.value.hint


@pytest.mark.usefixtures("no_ambient_identity")
def test_no_ambient_identity_is_said(instance: SigstoreInstance) -> None:
    """Outside CI, the hint says what to do instead."""
    with pytest.raises(UnauthenticatedError, match="ambient OIDC identity") as caught:
        SigstoreSigner.from_environment(instance.trust_config())
    assert "--key" in caught.value.hint


@pytest.mark.usefixtures("no_ambient_identity")
def test_a_ci_job_without_permission_is_said(instance: SigstoreInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a GitHub workflow without ``id-token: write`` there is no identity to use."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnauthenticatedError, match="cannot be had") as caught:
        SigstoreSigner.from_environment(instance.trust_config())
    assert "permission" in caught.value.hint


def test_a_token_that_expires_before_it_is_used_is_said(instance: SigstoreInstance) -> None:
    """The token was good when the command started; Fulcio is not asked any more."""
    token = IdentityToken(instance.token(WHO, lifetime=2))
    signer = SigstoreSigner(load_trust_config(instance.trust_config()), token)
    eventually(lambda: not token.in_validity_period(), timeout=10, what="the token has expired", every=0.05)
    with pytest.raises(UnauthenticatedError, match="it has expired"):
        signer.sign(DIGEST)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_fulcio_refuses_the_identity(status: int) -> None:
    """What Fulcio says no to is the identity: a fresh one helps, trying again does not."""
    with SigstoreInstance(fulcio_status=status) as instance:
        signer = SigstoreSigner.from_token(instance.token(WHO), instance.trust_config())
        with pytest.raises(UnauthenticatedError, match=str(status)):
            signer.sign(DIGEST)


@pytest.mark.parametrize("statuses", [{"fulcio_status": 503}, {"rekor_status": 503}, {"rekor_status": 400}])
def test_a_service_that_fails_may_work_later(statuses: dict[str, int]) -> None:
    """Errors of Fulcio and of Rekor are *unavailable*, with what they answered."""
    with SigstoreInstance(**statuses) as instance:  # type: ignore[arg-type]
        signer = SigstoreSigner.from_token(instance.token(WHO), instance.trust_config())
        with pytest.raises(UnavailableError, match=str(next(iter(statuses.values())))):
            signer.sign(DIGEST)


def test_a_service_that_is_not_there_may_come_back() -> None:
    """A refused connection is *unavailable*, and the library's own error is its cause."""
    with SigstoreInstance() as instance:
        signer = SigstoreSigner.from_token(instance.token(WHO), instance.trust_config())
    with pytest.raises(UnavailableError, match="no certificate could be had") as caught:
        signer.sign(DIGEST)
    assert isinstance(caught.value.__cause__, requests.ConnectionError)


def test_a_service_that_says_nothing_is_not_waited_for() -> None:
    """The library itself would wait for ever."""
    with SigstoreInstance(silent=True) as instance:
        token = IdentityToken(instance.token(WHO))
        signer = SigstoreSigner(load_trust_config(instance.trust_config()), token, timeout=0.2)
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
            signer.sign(DIGEST)


def test_a_certificate_by_another_instance_is_noticed(instance: SigstoreInstance) -> None:
    """What Fulcio returns is checked against the certificate log that the configuration names."""
    with SigstoreInstance() as other:
        logs = json.loads(other.trust_config())["trustedRoot"]["ctlogs"]
    config = changed_config(instance, lambda it: it["trustedRoot"].update(ctlogs=logs))
    with pytest.raises(IntegrityError, match="not what the trust configuration expects"):
        SigstoreSigner.from_token(instance.token(WHO), config).sign(DIGEST)
