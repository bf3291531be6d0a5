"""Publishing, registering and promoting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, PREFIX, Stage
from ums.domain.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError, UmsError, UnverifiedError
from ums.domain.identity import Holder, Identity
from ums.domain.oci import SIGSTORE_BUNDLE
from ums.domain.release import ReleaseName
from ums.domain.version import Version

V1 = ReleaseName("platform", Version("1.0.0"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service and a publisher."""
    return Stage(tmp_path)


def signatures(stage: Stage) -> int:
    """Return how many signatures the first release and its components have."""
    entry = stage.repo.read().entry("platform", V1.version)
    found = stage.registry.referrers(PREFIX / "platform", entry.digest, SIGSTORE_BUNDLE)
    per_component = [
        stage.registry.referrers(PREFIX / "platform" / each.name, each.digest, SIGSTORE_BUNDLE)
        for each in entry.release.components
    ]
    return sum(map(len, [found, *per_component]))


def test_a_published_release_is_in_the_catalog_with_its_signers(stage: Stage) -> None:
    """What was published can be named from then on."""
    published = stage.publish("1.0.0")
    entry = stage.repo.read().entry("platform", V1.version)
    assert (entry.digest, entry.signed_by, entry.registered_by) == (published.digest, ("release",), "ada")
    assert stage.repo.file("main", "catalog/platform/1.0.0/release.json") == entry.release.to_bytes()


def test_publishing_again_changes_nothing(stage: Stage) -> None:
    """Not the catalog, and not the number of signatures."""
    stage.publish("1.0.0")
    before = stage.repo.read().base
    stage.publish("1.0.0")
    assert stage.repo.read().base == before
    assert signatures(stage) == 3


def test_interrupted_anywhere_the_same_command_finishes(stage: Stage) -> None:
    """Whichever call to the registry fails, running it again is enough, and nothing is signed twice."""
    for calls in range(1, 200):
        # The next ``calls`` go through, the one after fails: one step further each time.
        try:
            stage.registry.fail_after(calls)
            stage.publish("1.0.0")
        except UmsError:
            continue
        break
    else:
        pytest.fail("it never finished")
    assert calls > 10, "the failures must have hit every step on the way"
    stage.registry.fail_after(None)
    stage.publish("1.0.0")
    assert signatures(stage) == 3


def test_a_version_never_changes(stage: Stage) -> None:
    """Other content under the same version is refused before anything is pushed."""
    stage.publish("1.0.0", {"cilium": "1.0.0"})
    with pytest.raises(ConflictError, match="published before"):
        stage.publish("1.0.0", {"cilium": "1.0.1"})


def test_a_release_by_a_stranger_is_not_registered(stage: Stage) -> None:
    """The registry may hold it; the catalog does not."""
    with pytest.raises(UnverifiedError, match="0 of the 1 signatures"):
        stage.publish("1.0.0", signer="mallory")
    with pytest.raises(NotFoundError):
        stage.repo.read().entry("platform", V1.version)


def test_two_signatures_are_two_where_two_are_demanded(tmp_path: Path) -> None:
    """With a threshold of two, the second signer makes it valid."""
    stage = Stage(tmp_path, threshold=2, signers=("first", "second"))
    with pytest.raises(UnverifiedError, match="1 of the 2 signatures"):
        stage.publish("1.0.0", signer="first")
    stage.publish("1.0.0", signer="second")
    assert stage.repo.read().entry("platform", V1.version).signed_by == ("first", "second")


def test_a_patch_reuses_every_other_component_by_digest(stage: Stage) -> None:
    """One is replaced; the others are neither built nor signed again."""
    stage.publish("1.0.0")
    versions = {"cilium": "1.0.1", "gateway": "9.9.9"}
    stage.publish("1.0.1", versions, patch=stage.patch_of("1.0.0", "cilium"))
    old = stage.repo.read().entry("platform", V1.version).release
    new = stage.repo.read().entry("platform", Version("1.0.1")).release
    assert new.component("gateway") == old.component("gateway")
    assert new.component("cilium") != old.component("cilium")
    assert new.base == V1.version


def test_a_base_that_another_key_signed_is_not_believed(stage: Stage) -> None:
    """Whoever patches vouches for all of it, so it must be theirs."""
    stage.publish("1.0.0")
    with pytest.raises(UnverifiedError, match="not signed by mallory"):
        stage.read_base(PREFIX, V1, stage.make_key("mallory").signatory())


def test_a_promotion_needs_the_feeder_and_says_all_that_is_wrong(stage: Stage) -> None:
    """Every rule is asked."""
    stage.publish("1.0.0")
    stage.publish("1.1.0")
    stage.promote("1.1.0")
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(V1, to="stable", by=ADMIN)
    assert [reason.code for reason in caught.value.reasons] == ["gate-feeder", "gate-order"]


def test_a_promotion_moves_who_follows_once(stage: Stage) -> None:
    """The same promotion again is no new decision; a dry run is none at all."""
    stage.add_plane()
    stage.publish("1.0.0")
    stage.services.promote(V1, to="edge", by=ADMIN)
    outcome = stage.services.promote(V1, to="stable", by=ADMIN, dry_run=True)
    assert (outcome.recorded, len(outcome.plan.moves), stage.running()) == (False, 1, {})
    stage.promote("1.0.0", "stable")
    assert stage.running() == {"cilium": "1.0.0", "gateway": "1.0.0"}
    assert not stage.services.promote(V1, to="stable", by=ADMIN).recorded


def test_a_key_that_lost_trust_stops_promotions(stage: Stage) -> None:
    """Signatures are verified again: what was fine when it was registered may not be now."""
    stage.publish("1.0.0")
    stage.seed({"release": stage.make_key("newer")}, 1)
    with pytest.raises(RefusedError) as caught:
        stage.services.promote(V1, to="edge", by=ADMIN)
    assert [reason.code for reason in caught.value.reasons] == ["gate-signatures"]


@pytest.mark.parametrize(
    ("identity", "may_publish", "may_promote"),
    [
        (Holder("v", frozenset({"viewer"})).identity, False, False),
        (Holder("p", frozenset({"publisher"})).identity, True, False),
        (Holder("p", frozenset({"publisher"}), frozenset({"flux"})).identity, False, False),
        (Holder("o", frozenset({"operator"})).identity, False, False),
        (Holder("e", frozenset({"release-engineer"})).identity, True, True),
        (Holder("x", frozenset({"no-such-group"})).identity, False, False),
    ],
)
def test_roles_decide_who_publishes_and_who_promotes(
    stage: Stage, identity: Identity, *, may_publish: bool, may_promote: bool
) -> None:
    """A token is good for its groups and its bundles, and nothing else."""
    published = stage.publish("1.0.0")
    for allowed, act in (
        (may_publish, lambda: stage.services.register_release(V1, published.digest, by=identity)),
        (may_promote, lambda: stage.services.promote(V1, to="edge", by=identity)),
    ):
        if allowed:
            act()
        else:
            with pytest.raises(ForbiddenError):
                act()
