"""Releases of bundle ``trust``: what they hold, what speaks against one, and how data planes come by them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.domain.worlds import AT_ONCE, NOW, PROD, make_component, make_release, make_world, settle
from ums.domain.bundle import ComponentKind, Requires, UpgradeRules
from ums.domain.channels import Channel, Promoted, Track
from ums.domain.deciding import decide
from ums.domain.digest import Digest
from ums.domain.fleet import Given, Health, Report
from ums.domain.guard import TRUST_POLICY
from ums.domain.oci import Repository
from ums.domain.policy import Policy
from ums.domain.release import Release
from ums.domain.trust import TRUST, KeySigner, SigningRule, Trusted, TrustPolicy
from ums.domain.trusting import (
    COMPONENT,
    key_changes,
    render_trust,
    stranded_by,
    trust_problems,
    trust_version,
    unaware_of_release_key,
    unaware_of_state_key,
)
from ums.domain.version import Version, VersionRange
from ums.domain.world import CatalogEntry, FleetSettings, World

SETTINGS = FleetSettings("https://ums.example.com", Repository("registry.example.com", "ums"))
OLD, BOTH, NEW = {"old": "PEM of old"}, {"old": "PEM of old", "new": "PEM of new"}, {"new": "PEM of new"}
STATE = ("ssh-ed25519 ONE", "ssh-ed25519 TWO")
NUMBERS = (1, 2, 3)


def trust_release(number: int, **fields: Any) -> Release:  # noqa: ANN401 - any of its fields
    """Return a release of the bundle."""
    component = replace(
        make_component(COMPONENT, f"{number}.0.0"),
        kind=ComponentKind.MANIFESTS,
        namespace="ums-system",
        workloads=(),
        images=(),
    )
    release = make_release(f"{number}.0.0", {}, bundle=TRUST, barrier="keys", irreversible=True)
    return replace(release, **{"components": (component,), **fields})


def trusting(world: World, keys: Mapping[str, str], state_keys: tuple[str, ...] = STATE) -> World:
    """Return the world with these keys in trust.yaml."""
    signers = {name: KeySigner(name, key) for name, key in keys.items()}
    return replace(world, trust=TrustPolicy(signers, {"*": SigningRule(tuple(keys))}, state_keys))


def with_trust(world: World, *releases: tuple[int, Mapping[str, str], tuple[str, ...]], promoted: int = 0) -> World:
    """Return the world with releases of the bundle – number, keys, signers –, of which some were promoted."""
    entries = {
        trust_version(number): CatalogEntry(
            trust_release(number), Digest.of(b"%d" % number), signers, NOW, "p", trusted=Trusted(keys, STATE)
        )
        for number, keys, signers in releases
    }
    world = replace(world, catalog={**world.catalog, TRUST: entries})
    history = tuple(
        Promoted(trust_version(number), Given("r", "x", NOW)) for number, *_ in releases if number <= promoted
    )
    if not history:
        return world
    channel = world.channel("stable")
    return world.with_channel(replace(channel, tracks={**channel.tracks, TRUST: Track(history)}))


def make(signed_by: tuple[str, ...] = ("old",)) -> World:
    """Return a data plane that is well on platform@1.0.0, and was bootstrapped with the old key."""
    world = make_world([make_release("1.0.0", {"cilium": "1.0.0"})], promoted=["1.0.0"])
    world = world.with_entry(replace(world.entry("platform", Version("1.0.0")), signed_by=signed_by))
    world = trusting(replace(world, at_bootstrap=Trusted(OLD, STATE)), OLD)
    return settle(world.with_channel(replace(world.channel("stable"), policy=Policy(rollout=AT_ONCE))), NOW)


def has(world: World) -> str:
    """Return the release of the bundle that the data plane was offered last."""
    desired = world.plane(PROD).desired
    state = desired.bundles.get(TRUST) if desired else None
    return str(state.release) if state else "nothing"


def well(world: World, now: datetime) -> World:
    """Return the world after the data plane took what it was offered."""
    plane = world.plane(PROD)
    assert plane.desired is not None
    report = Report(plane.desired.serial, Health.HEALTHY, "", "", now, now)
    return world.with_plane(replace(plane, report=report))


def test_a_release_holds_keys_guard_and_a_number_and_none_of_it_can_be_pruned() -> None:
    """Whatever else is once applied under the component's name: it takes nothing away."""
    objects = render_trust(Trusted(BOTH, STATE), SETTINGS, 7)
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    keys = by_name["Secret", "ums-release-keys"]["data"]
    assert {name: base64.b64decode(key).decode() for name, key in keys.items()} == {
        "old.pub": "PEM of old",
        "new.pub": "PEM of new",
    }
    assert set(by_name["Secret", "ums-state-keys"]["data"]) == {"state-1.sshpub", "state-2.sshpub"}
    assert by_name["ConfigMap", "ums-trust"]["data"] == {"number": "7"}
    assert ("ValidatingAdmissionPolicyBinding", "ums-guard") in by_name
    prune = {each["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] for each in objects}
    assert prune == {"disabled"}


def test_a_release_is_the_same_for_every_data_plane_and_holds_nothing_that_is_applied_before_the_rest() -> None:
    """What kustomize-controller applies first would stay where the number is then refused."""
    objects = render_trust(Trusted(OLD, STATE), SETTINGS, 1)
    kinds = {each["kind"] for each in objects}
    assert kinds == {
        "Role",
        "Secret",
        "ConfigMap",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    assert str(PROD) not in str(objects)
    (policy, _) = (each for each in objects if each["metadata"]["name"] == TRUST_POLICY)
    assert policy["spec"]["matchConstraints"]["resourceRules"][0]["resourceNames"] == ["ums-trust"]


@pytest.mark.parametrize(
    ("keys", "state_keys", "signed_by", "release", "problem"),
    [
        (BOTH, STATE, ("new",), trust_release(1), "no key that data planes know has signed it"),
        (NEW, STATE, ("old",), trust_release(1), "no key that it brings has signed it"),
        (BOTH, STATE[1:], ("old", "new"), trust_release(1), "does not bring the key that this service signs"),
        ({"old": "another PEM"}, STATE, ("old",), trust_release(1), "is another one than data planes know"),
        (BOTH, STATE, ("old", "new"), trust_release(0), "the next release of bundle trust is 1.0.0"),
        (BOTH, STATE, ("old", "new"), trust_release(1, upgrade=UpgradeRules()), "must be a barrier"),
        (
            BOTH,
            STATE,
            ("old", "new"),
            trust_release(1, requires=Requires(bundles={"platform": VersionRange(">=1")})),
            "may require nothing",
        ),
        (BOTH, STATE, ("old", "new"), trust_release(1, components=()), "must have one component"),
        (
            BOTH,
            STATE,
            ("old", "new"),
            trust_release(1, components=(replace(make_component(COMPONENT, "1.0.0"), namespace="ums-system"),)),
            "of manifests",
        ),
        (NEW, STATE, ("old", "new"), trust_release(1), "platform@1.0.0 is in use, and was signed by old alone"),
    ],
)
def test_what_would_leave_somebody_without_a_key_is_not_let_in(
    keys: Mapping[str, str], state_keys: tuple[str, ...], signed_by: tuple[str, ...], release: Release, problem: str
) -> None:
    """Each problem is named, and only that."""
    world = trusting(make(("old",) if "in use" in problem else ("old", "new")), keys, state_keys)
    (found,) = trust_problems(world, release, signed_by, state_key=STATE[0])
    assert problem in found.message


def test_a_name_is_for_one_key_for_ever() -> None:
    """A data plane of long ago would be taken to know a key of which it knows the name alone."""
    world = with_trust(make(("new", "old")), (1, BOTH, ("new", "old")), (2, NEW, ("new",)))
    again = trusting(world, {"new": "PEM of new", "old": "another PEM"})
    (found,) = trust_problems(again, trust_release(3), ("new",), state_key=STATE[0])
    assert "release key old is another one" in found.message


def test_the_next_is_compared_with_the_newest_and_not_with_what_was_bootstrapped() -> None:
    """Once both keys are everywhere, the old one may go, if what runs was signed by the new one too."""
    world = trusting(with_trust(make(("new", "old")), (1, BOTH, ("new", "old"))), NEW)
    assert trust_problems(world, trust_release(2), ("new",), state_key=STATE[0]) == ()


def test_releases_are_taken_one_by_one_each_confirmed_before_the_next() -> None:
    """So a data plane that was away for long still knows a key that signed the next."""
    world = with_trust(
        make(), (1, BOTH, ("old", "new")), (2, NEW, ("new", "old")), (3, NEW, ("new",)), promoted=NUMBERS[-1]
    )
    taken, now = [], NOW
    for _ in NUMBERS:
        now += timedelta(minutes=10)
        world = settle(world, now)
        taken.append(has(world))
    assert taken == ["1.0.0", "2.0.0", "3.0.0"]


def test_the_next_waits_until_the_one_before_was_taken() -> None:
    """An offer proves nothing."""
    world = with_trust(make(), (1, BOTH, ("old", "new")), (2, NEW, ("new", "old")), promoted=2)
    world = settle(world, NOW + timedelta(minutes=10), healthy=False)
    plan = decide(world, NOW + timedelta(minutes=20))
    assert has(world) == "1.0.0"
    assert TRUST not in {move.bundle for move in plan.moves}


def test_what_the_new_key_alone_signed_waits_for_the_release_that_brings_it() -> None:
    """It comes as soon as the data plane has said that it took the key."""
    world = make()
    entry = replace(
        world.entry("platform", Version("1.0.0")),
        release=make_release("1.1.0", {"cilium": "1.1.0"}),
        signed_by=("new",),
    )
    world = world.with_entry(entry)
    channel = world.channel("stable")
    promoted = Promoted(Version("1.1.0"), Given("r", "x", NOW))
    track = Track((*channel.tracks["platform"].history, promoted))
    world = world.with_channel(replace(channel, tracks={"platform": track}))
    (withheld,) = decide(world, NOW).withheld
    assert [reason.code for reason in withheld.reasons] == ["key-not-known"]
    world = with_trust(world, (1, BOTH, ("old", "new")), promoted=1)
    world = settle(world, NOW + timedelta(minutes=10), healthy=False)
    assert [each.bundle for each in decide(world, NOW + timedelta(minutes=20)).withheld] == ["platform"]
    world = settle(well(world, NOW + timedelta(minutes=30)), NOW + timedelta(minutes=40))
    desired = world.plane(PROD).desired
    assert desired is not None
    assert str(desired.bundles["platform"].release) == "1.1.0"


def test_a_new_data_plane_begins_with_the_newest() -> None:
    """Bootstrap brings those keys, so it has no way to go."""
    world = with_trust(make(), (1, BOTH, ("old", "new")), (2, NEW, ("new", "old")), promoted=2)
    plane = replace(world.plane(PROD), desired=None, report=None)
    moves = {move.bundle: str(move.after.release) for move in decide(world.with_plane(plane), NOW).moves}
    assert moves == {"platform": "1.0.0", TRUST: "2.0.0"}


def test_whoever_was_offered_a_key_may_not_have_it_yet() -> None:
    """Nobody counts as knowing a key before it was confirmed."""
    world = with_trust(make(), (1, BOTH, ("old", "new")), promoted=1)
    assert unaware_of_release_key(world, "new") == [PROD]
    offered = settle(world, NOW + timedelta(minutes=10), healthy=False)
    assert unaware_of_release_key(offered, "new") == [PROD]
    assert unaware_of_release_key(offered, "old") == []
    assert unaware_of_release_key(well(offered, NOW + timedelta(minutes=20)), "new") == []
    assert unaware_of_state_key(world, "ssh-ed25519 THREE") == [PROD]
    assert unaware_of_state_key(world, STATE[0]) == []


def test_what_a_channel_gives_counts_as_in_use() -> None:
    """Who joins tomorrow would get it."""
    world = make()
    assert [each.message.partition(" ")[0] for each in stranded_by(world, Trusted(NEW, STATE))] == ["platform@1.0.0"]
    assert stranded_by(world.with_planes({}), Trusted(OLD, STATE)) == ()
    assert stranded_by(world.with_planes({}), Trusted(NEW, STATE)) != ()
    nowhere = replace(world.with_planes({}), channels={"stable": Channel("stable")})
    assert stranded_by(nowhere, Trusted(NEW, STATE)) == ()


def test_changes_of_keys_are_told_in_words() -> None:
    """Who approves a release of the bundle sees what it does."""
    after = Trusted(NEW, ("ssh-ed25519 TWO", "ssh-ed25519 THREE"))
    assert key_changes(Trusted(OLD, STATE), after) == (
        "adds release key new",
        "drops release key old",
        "adds state key ssh-ed25519 THREE",
        "drops state key ssh-ed25519 ONE",
    )
