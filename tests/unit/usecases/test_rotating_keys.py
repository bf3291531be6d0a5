"""Release keys rotated from end to end: trust.yaml, a release of bundle ``trust``, and the end of the old key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.state_keys import FIRST
from tests.unit.usecases.stage import ADMIN, PREFIX, PROD, Stage
from ums.adapters.trust_folder import write_trust_folder
from ums.domain.artifact import Artifact, Blob
from ums.domain.errors import (
    ForbiddenError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnverifiedError,
)
from ums.domain.fleet import Health
from ums.domain.freezes import Freeze, Scope
from ums.domain.identity import Holder
from ums.domain.oci import FLUX_CONTENT
from ums.domain.release import ReleaseName
from ums.domain.trust import KeySigner
from ums.domain.trusting import COMPONENT, newest_trust, number_of, render_trust, trust_version
from ums.domain.version import Version
from ums.domain.world import Edited
from ums.usecases.instruct import Subject, Why
from ums.usecases.publish import Publish
from ums.usecases.record import Change
from ums.usecases.rotate_keys import KeyChange
from ums.usecases.sign import SignArtifact, SignRelease
from ums.web.freezes import freeze_view

WHY = Why(ADMIN, "once a year")
V1 = ReleaseName("platform", Version("1.0.0"))
STATE_KEY = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def pem(stage: Stage, name: str) -> str:
    """Return the public half of a release key, made if there is none of the name."""
    stage.keys.setdefault(name, stage.make_key(name))
    signatory = stage.keys[name].signatory()
    assert isinstance(signatory, KeySigner)
    return signatory.public_key


def rotate(stage: Stage, **change: object) -> list[str]:
    """Change trust.yaml, and return the signers that remain."""
    stage.services.rotate_keys(KeyChange(**change), WHY)  # type: ignore[arg-type] # any of its fields
    return list(stage.world().trust.signers)


def publish_trust(stage: Stage, *signers: str, tampered: bool = False, skipped: int = 0) -> ReleaseName:
    """Publish the next release of bundle trust, signed with these keys."""
    world = stage.world()
    number = number_of(newest_trust(world)) + 1 + skipped
    objects = render_trust(world.trust.trusted, world.settings, number)
    if tampered:
        objects[0]["rules"] = []
    folder = stage.folder / f"trust-{number}-{'-'.join(signers)}-{tampered}"
    write_trust_folder(folder, objects, version=str(trust_version(number)), notes="- a change\n")
    built = stage.build(folder, trust_version(number))
    for name in signers:
        registrar = stage.registrar if name == signers[-1] else None
        Publish(stage.registry, stage.keys[name], stage.verify, registrar)(built, PREFIX)
    return ReleaseName("trust", trust_version(number))


def promote(stage: Stage, name: ReleaseName) -> None:
    """Promote it everywhere, and let data planes take it."""
    for channel in ("edge", "stable"):
        stage.services.promote(name, to=channel, by=ADMIN)
    stage.services.reconcile()
    stage.hear(Health.HEALTHY, PROD)


def sign(stage: Stage, name: ReleaseName, signer: str) -> tuple[str, ...]:
    """Sign a release with one more key; return who signed it then."""
    signing = SignRelease(stage.registry, stage.verify, SignArtifact(stage.registry, stage.keys[signer], stage.verify))
    world = stage.world()
    signing(PREFIX, name, world.entry(name.bundle, name.version).digest, world.trust)
    return stage.services.register_release.look_again(name, by=ADMIN).signed_by


def brought(stage: Stage) -> set[str]:
    """Return the release keys that a cluster would be bootstrapped with."""
    objects = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    return set(next(each["data"] for each in objects if each["metadata"]["name"] == "ums-release-keys"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a data plane that is well on platform@1.0.0."""
    made = Stage(tmp_path)
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.add_plane()
    made.services.reconcile()
    made.hear(Health.HEALTHY, PROD)
    return made


def test_a_release_key_is_rotated_without_a_moment_in_which_somebody_knows_none(stage: Stage) -> None:
    """Both, then the new one alone; and what runs was signed with it before."""
    assert rotate(stage, add={"second": pem(stage, "second")}) == ["release", "second"]
    assert brought(stage) == {"release.pub"}, "editing trust.yaml alone changes nothing in clusters"
    promote(stage, publish_trust(stage, "release", "second"))
    assert brought(stage) == {"release.pub", "second.pub"}
    with pytest.raises(RefusedError, match="cannot be dropped yet") as refused:
        rotate(stage, drop=("release",))
    assert [reason.code for reason in refused.value.reasons] == ["signed-by-none"]
    assert sign(stage, V1, "second") == ("release", "second")
    assert rotate(stage, drop=("release",)) == ["second"]
    promote(stage, publish_trust(stage, "second"))
    assert brought(stage) == {"second.pub"}
    stage.publish("1.1.0", signer="second")
    stage.promote("1.1.0")
    assert set(stage.running().values()) == {"1.1.0"}


def test_what_the_new_key_alone_signed_waits_for_it(stage: Stage) -> None:
    """Flux would refuse it: the promotion says so at once."""
    rotate(stage, add={"second": pem(stage, "second")})
    stage.publish("1.1.0", signer="second")
    with pytest.raises(RefusedError) as refused:
        stage.promote("1.1.0")
    assert any("cannot run it" in reason.message for reason in refused.value.reasons)
    promote(stage, publish_trust(stage, "release", "second"))
    stage.promote("1.1.0")
    assert set(stage.running().values()) == {"1.1.0"}


def test_a_release_that_nobody_in_the_field_could_verify_is_not_let_in(stage: Stage) -> None:
    """Enough for trust.yaml is not enough for data planes."""
    rotate(stage, add={"second": pem(stage, "second")})
    with pytest.raises(RefusedError) as refused:
        publish_trust(stage, "second")
    assert ["no key that data planes know" in reason.message for reason in refused.value.reasons] == [True]
    assert newest_trust(stage.world()) is None


def test_a_release_that_holds_something_else_is_not_let_in(stage: Stage) -> None:
    """A release key alone replaces no guard: the service offers only what it makes itself."""
    with pytest.raises(RefusedError) as refused:
        publish_trust(stage, "release", tampered=True)
    assert "does not hold what trust.yaml" in refused.value.reasons[0].message
    publish_trust(stage, "release", skipped=1)
    assert newest_trust(stage.world()) == Version("2.0.0"), "what was pushed and refused leaves a gap"


def test_a_release_far_ahead_is_not_let_in(stage: Stage) -> None:
    """A release key alone does not use up the numbers: the guard reads them as integers of 64 bits."""
    for skipped in (1001, 2**63 - 3, 10**30):
        with pytest.raises(RefusedError) as refused:
            publish_trust(stage, "release", skipped=skipped)
        assert ["the next release of bundle trust is 1.0.0" in each.message for each in refused.value.reasons] == [True]
    assert newest_trust(stage.world()) is None


def test_a_layer_beside_the_one_that_is_looked_at_is_not_let_in(stage: Stage) -> None:
    """Flux takes a layer by its type; a decoy must not be what the service compares."""
    world = stage.world()
    folder = stage.folder / "decoy"
    write_trust_folder(folder, render_trust(world.trust.trusted, world.settings, 1), version="1.0.0", notes="")
    built = stage.build(folder, trust_version(1))
    component, repository = built.components[COMPONENT], PREFIX / "trust" / COMPONENT
    decoy = Blob(
        replace(component.blobs[1].descriptor, media_type="application/octet-stream"), component.blobs[1].content
    )
    evil = Blob.of(b"evil", FLUX_CONTENT)
    made = Artifact.assemble(config=component.blobs[0], layers=(decoy, evil), annotations={})
    release = replace(built.release, components=(replace(built.release.components[0], digest=made.descriptor.digest),))
    tampered = replace(built, release=release, artifact=release.to_artifact(""), components={COMPONENT: made})
    with pytest.raises(IntegrityError, match="something else than one layer"):
        Publish(stage.registry, stage.keys["release"], stage.verify, stage.registrar)(tampered, PREFIX)
    assert stage.registry.find(repository, "1.0.0") is not None, "it was pushed; the service did not take it"
    assert newest_trust(stage.world()) is None


def test_a_release_cannot_be_rolled_back(stage: Stage) -> None:
    """Keys that were dropped do not come back."""
    promote(stage, publish_trust(stage, "release"))
    rotate(stage, add={"second": pem(stage, "second")})
    promote(stage, publish_trust(stage, "release", "second"))
    plane = stage.world().plane(PROD)
    assert plane.desired is not None
    assert str(plane.desired.bundles["trust"].release) == "2.0.0"
    with pytest.raises((RefusedError, InvalidInputError)):
        stage.services.promote(ReleaseName("trust", Version("1.0.0")), to="edge", by=ADMIN)


def test_everybody_subscribes_once_the_channel_has_it(stage: Stage) -> None:
    """A freeze of it stops them, and a hold keeps one where it is."""
    hold = Subject("trust")
    with pytest.raises(NotFoundError, match="there is no release"):
        stage.services.instruct.hold(PROD, hold, Version("1.0.0"), WHY)
    promote(stage, publish_trust(stage, "release"))
    scope = Freeze("keys", Scope(bundle="trust"), WHY.given(stage.clock.now()))
    assert freeze_view(scope, stage.world())["dataPlanes"] == 1
    stage.services.instruct.hold(PROD, hold, Version("1.0.0"), WHY)
    rotate(stage, add={"second": pem(stage, "second")})
    promote(stage, publish_trust(stage, "release", "second"))
    desired = stage.world().plane(PROD).desired
    assert desired is not None
    assert str(desired.bundles["trust"].release) == "1.0.0"


def test_a_signature_that_came_later_is_taken_down(stage: Stage) -> None:
    """And nothing is recorded where there is none."""
    stage.services.reconcile()
    before = stage.repo.read().base
    assert stage.services.register_release.look_again(V1, by=ADMIN).signed_by == ("release",)
    assert stage.repo.read().base == before
    rotate(stage, add={"second": pem(stage, "second")})
    assert sign(stage, V1, "second") == ("release", "second")


def test_only_what_was_verified_is_signed(stage: Stage) -> None:
    """A key that signs whatever the registry holds would sign what somebody put there."""
    rotate(stage, add={"second": pem(stage, "second")})
    stage.keys["stranger"] = stage.make_key("stranger")
    stage.seed({"stranger": stage.keys["stranger"]}, 1)
    with pytest.raises(UnverifiedError):
        sign(stage, V1, "second")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"add": {"release": "OTHER"}}, "is somebody else already"),
        ({"add": {"second": "no key"}}, "not a public release key"),
        ({"add": {"Se cond": "SECOND"}}, "name of a signer"),
        ({"add": {"second": "SECOND"}, "like": "nobody"}, "there is no signer nobody"),
        ({"drop": ("nobody",)}, "there is no signer nobody"),
        ({"drop": ("release",)}, "would demand 1 signatures of 0 signers"),
        ({"add_state_keys": ("no key",)}, "is not a public state key"),
        ({"add_state_keys": (f"{STATE_KEY}\n{FIRST}",)}, "is not a public state key"),
        ({"drop_state_keys": (STATE_KEY,)}, "is no state key"),
        ({"drop_state_keys": (FIRST,)}, "this service signs with that state key"),
    ],
)
def test_a_wrong_change_is_refused_and_nothing_recorded(stage: Stage, change: dict[str, object], says: str) -> None:
    """By what is wrong with it."""
    before = stage.repo.read().base
    keys = {"SECOND": pem(stage, "second"), "OTHER": pem(stage, "other")}
    if isinstance(add := change.get("add"), dict):
        change = {**change, "add": {name: keys.get(key, key) for name, key in add.items()}}
    with pytest.raises(InvalidInputError, match=says):
        rotate(stage, **change)
    assert stage.repo.read().base == before


def test_a_state_key_is_added_and_the_rest_of_trust_yaml_stays_as_it_is(stage: Stage) -> None:
    """People edit the file, too; the same again changes nothing."""
    outcome = stage.services.rotate_keys(KeyChange(add_state_keys=(STATE_KEY,)), WHY, dry_run=True)
    assert (outcome.recorded, outcome.world.trust.state_keys) == (False, (FIRST, STATE_KEY))
    rotate(stage, add_state_keys=(STATE_KEY,))
    assert stage.world().trust.state_keys == (FIRST, STATE_KEY)
    assert not stage.services.rotate_keys(KeyChange(add_state_keys=(STATE_KEY,)), WHY).recorded


def test_a_new_key_may_sign_what_another_may_and_no_more(tmp_path: Path) -> None:
    """Whoever rotates one of several keys widens nobody's reach."""
    stage = Stage(tmp_path)
    stage.services.rotate_keys(KeyChange(add={"ops": pem(stage, "ops")}), WHY)
    rules = {"platform": {"signers": ["ops"], "threshold": 1}, "*": {"signers": ["release"], "threshold": 1}}
    stage.services.rotate_keys.record(
        lambda world, _now: Change(world, {"trust.yaml": Edited({"bundles": rules})}),
        subject="trust: Divide",
        action="test",
        by=ADMIN,
        reason="a test",
    )
    with pytest.raises(InvalidInputError, match="Not all have the same signers"):
        rotate(stage, add={"ops-2": pem(stage, "ops-2")})
    rotate(stage, add={"ops-2": pem(stage, "ops-2")}, like="ops")
    assert {name: rule.signers for name, rule in stage.world().trust.rules.items()} == {
        "platform": ("ops", "ops-2"),
        "*": ("release",),
    }


def test_only_an_admin_without_limits_rotates(stage: Stage) -> None:
    """Keys concern everybody."""
    limited = Holder("x", frozenset({"admin"}), orgs=frozenset({"acme"})).identity
    for identity in (limited, Holder("x", frozenset({"release-engineer"})).identity):
        with pytest.raises(ForbiddenError):
            stage.services.rotate_keys(KeyChange(add_state_keys=(STATE_KEY,)), Why(identity, "x"))


def test_the_keys_of_the_beginning_are_written_down_once(stage: Stage) -> None:
    """Of a release repo from before: what data planes know is not what trust.yaml says later."""
    path = "trust.at-bootstrap.yaml"
    assert yaml.safe_load(stage.repo.file("main", path) or b"")["releaseKeys"].keys() == {"release"}
    rotate(stage, add={"second": pem(stage, "second")})
    stage.services.reconcile()
    assert yaml.safe_load(stage.repo.file("main", path) or b"")["releaseKeys"].keys() == {"release"}
