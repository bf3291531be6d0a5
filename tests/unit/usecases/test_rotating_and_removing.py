"""The life of a data plane's registration and credentials: new ones without downtime, an end, and a new beginning."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnauthenticatedError,
)
from ums.domain.fleet import Health, Registration
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.domain.world import Decision, Raw
from ums.usecases.instruct import Why

WHY = Why(ADMIN, "the yearly change")
DAY = timedelta(days=1)
OTHER = PDPName("acme", "other")
FOLDER = f"fleet/{PROD}"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a service with two data planes that run something."""
    made = Stage(tmp_path)
    made.add_plane()
    made.add_plane(OTHER)
    made.publish("1.0.0")
    made.promote("1.0.0")
    yield made
    made.store.close()


def secrets(objects: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the content of Secrets with credentials, by name."""
    return {each["metadata"]["name"]: each["stringData"] for each in objects if "stringData" in each}


def accepted(stage: Stage, objects: list[dict[str, Any]], pdp: PDPName = PROD) -> tuple[bool, bool]:
    """Return whether the password and the events key in them are accepted."""
    mine, check = secrets(objects), stage.services.authenticate_plane
    signature = hmac.new(mine["ums-events"]["token"].encode(), b"{}", hashlib.sha256).hexdigest()
    try:
        check.by_signature(pdp, b"{}", f"sha256={signature}")
    except UnauthenticatedError:
        signed = False
    else:
        signed = True
    return check.by_password(str(pdp), mine["ums-git"]["password"]) == pdp, signed


BOTH, NEITHER = (True, True), (False, False)


def told(stage: Stage) -> list[str]:
    """Return what the security log tells, oldest first."""
    return [each.kind for each in stage.services.security.log.read(after=0, limit=99)]


def serial(stage: Stage, pdp: PDPName = PROD) -> int:
    """Return what was offered last."""
    desired = stage.world().plane(pdp).desired
    assert desired is not None
    return desired.serial


def add_again(stage: Stage) -> None:
    """Register the data plane anew."""
    stage.services.add_data_plane(Registration(PROD, "stable", ("platform",)), by=ADMIN)


def test_old_and_new_credentials_are_good_until_the_overlap_ends(stage: Stage) -> None:
    """So that an administrator has a week, and the cluster not a minute without; another's are never good."""
    old = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    rotated = stage.services.rotate_credentials(PROD, WHY)
    assert (rotated.plane.generation, rotated.plane.previous_until) == (2, stage.clock.now() + 7 * DAY)
    assert set(secrets(rotated.secrets)) == {"ums-git", "ums-events"}
    assert len(rotated.secrets) == 2
    assert accepted(stage, old) == accepted(stage, rotated.secrets) == BOTH
    assert accepted(stage, rotated.secrets, OTHER) == NEITHER
    assert secrets(stage.services.bootstrap_data_plane(PROD, by=ADMIN)) == secrets(rotated.secrets)
    stage.clock.advance(7 * DAY - timedelta(seconds=1))
    assert accepted(stage, old) == BOTH
    stage.clock.advance(timedelta(seconds=1))
    assert accepted(stage, old) == NEITHER
    assert accepted(stage, rotated.secrets) == BOTH


def test_a_rotation_is_a_decision_in_git(stage: Stage) -> None:
    """By whom and why, in a file that UMS writes; what people wrote stays as it was, and no secret is there."""
    before = stage.repo.file("main", f"{FOLDER}/registration.yaml")
    stage.services.rotate_credentials(PROD, WHY)
    (entry,) = stage.repo.log(limit=1)
    assert (entry.action, entry.actor, entry.reason) == ("pdp-rotate", "ada", "the yearly change")
    assert entry.subject == "fleet/acme/prod: Rotate the credentials"
    assert stage.repo.file("main", f"{FOLDER}/registration.yaml") == before
    decisions = stage.repo.file("main", f"{FOLDER}/decisions.yaml") or b""
    assert b"generation: 2" in decisions
    assert b"previousUntil: '2026-11-30T12:00:00Z'" in decisions
    assert [each.kind for each in stage.services.see.events(ADMIN, after=parent(stage))[0]] == ["pdp.rotated"]


def parent(stage: Stage) -> str:
    """Return the commit before the newest."""
    return stage.repo.log(limit=2)[1].commit_id


def test_an_overlap_is_finished_at_once_if_so_told(stage: Stage) -> None:
    """Once the cluster has the new ones; telling it twice, or where there is none, changes nothing."""
    old = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    assert not stage.services.rotate_credentials.finish(PROD, WHY).recorded
    new = stage.services.rotate_credentials(PROD, WHY).secrets
    assert stage.services.rotate_credentials.finish(PROD, WHY).recorded
    assert [each.kind for each in stage.services.see.events(ADMIN, after=parent(stage))[0]] == ["pdp.rotation-finished"]
    assert not stage.services.rotate_credentials.finish(PROD, WHY).recorded
    assert (accepted(stage, old), accepted(stage, new)) == (NEITHER, BOTH)


def test_a_second_rotation_waits_for_the_overlap_to_end(stage: Stage) -> None:
    """Otherwise the cluster would be left with none; the refusal says until when, and how to go on."""
    first = stage.services.rotate_credentials(PROD, WHY).secrets
    with pytest.raises(ConflictError, match="until 2026-11-30T12:00:00Z") as refused:
        stage.services.rotate_credentials(PROD, WHY)
    assert "--finish" in refused.value.hint
    stage.clock.advance(7 * DAY)
    second = stage.services.rotate_credentials(PROD, WHY)
    assert second.plane.generation == 3
    assert accepted(stage, first) == accepted(stage, second.secrets) == BOTH


def test_a_stolen_credential_ends_at_once(stage: Stage) -> None:
    """With all before it, also in the middle of an overlap."""
    first = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    second = stage.services.rotate_credentials(PROD, WHY).secrets
    third = stage.services.rotate_credentials(PROD, WHY, overlap=None)
    assert (third.plane.generation, third.plane.previous_until) == (3, None)
    assert [accepted(stage, each) for each in (first, second, third.secrets)] == [NEITHER, NEITHER, BOTH]


def test_a_dry_run_of_a_rotation_shows_no_secret(stage: Stage) -> None:
    """It tells the generation, and changes nothing."""
    base = stage.repo.read().base
    tried = stage.services.rotate_credentials(PROD, WHY, dry_run=True)
    assert (tried.plane.generation, tried.secrets, tried.outcome.recorded) == (2, [], False)
    assert stage.repo.read().base == base
    assert told(stage) == []


@pytest.mark.parametrize("overlap", [timedelta(0), -DAY, timedelta(days=91)])
def test_an_overlap_has_bounds(stage: Stage, overlap: timedelta) -> None:
    """Nobody keeps an old credential alive for ever by a slip."""
    with pytest.raises(InvalidInputError, match="an overlap lasts up to"):
        stage.services.rotate_credentials(PROD, WHY, overlap=overlap)


def test_the_security_log_tells_of_rotations_and_of_outdated_credentials(stage: Stage) -> None:
    """Which generation was shown to whom, and that one was used after its end; never a secret."""
    old = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    stage.services.rotate_credentials(PROD, WHY)
    assert accepted(stage, old) == BOTH
    stage.services.rotate_credentials.finish(PROD, WHY)
    assert accepted(stage, old) == NEITHER
    assert told(stage) == [
        "data-plane.bootstrapped",
        "data-plane.rotated",
        "data-plane.rotation-finished",
        "data-plane.outdated",
        "data-plane.refused",
    ]
    entries = [each.what for each in stage.services.security.log.read(after=0, limit=99)]
    assert entries[1] == '{"generation":2,"pdp":"acme/prod","previousUntil":"2026-11-30T12:00:00Z"}'
    assert entries[3] == '{"claims":"acme/prod","generation":1,"proof":"signature"}'
    mine = secrets(old)
    assert not any(text in "".join(entries) for text in (mine["ums-git"]["password"], mine["ums-events"]["token"]))


def test_secrets_that_cannot_be_told_of_are_not_shown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rotation stands; ums pdp bootstrap shows the new ones once it can be told of."""

    def refuse(_event: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(stage.services.security.log, "append", refuse)
        with pytest.raises(StorageError):
            stage.services.rotate_credentials(PROD, WHY)
    assert stage.world().plane(PROD).generation == 2
    assert accepted(stage, stage.services.bootstrap_data_plane(PROD, by=ADMIN)) == BOTH


def test_a_generation_that_people_raise_counts_without_an_overlap(stage: Stage) -> None:
    """As it always did; and one that they lower brings nothing back."""
    first = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    second = stage.services.rotate_credentials(PROD, WHY).secrets
    registered = (stage.repo.file("main", f"{FOLDER}/registration.yaml") or b"").decode()
    for generation, expected in ((3, [NEITHER, NEITHER]), (1, [BOTH, BOTH])):
        text = Raw(f"{registered}credentialGeneration: {generation}\n".encode())
        push(stage, {f"{FOLDER}/registration.yaml": text})
        assert [accepted(stage, each) for each in (first, second)] == expected
        assert stage.world().plane(PROD).generation == max(generation, 2)


def push(stage: Stage, files: dict[str, Raw | None]) -> None:
    """Write to ``main`` as people do."""
    stage.repo.commit(Decision("x", "x", "people", "x", stage.clock.now(), {**files}), base=stage.repo.read().base)


def test_a_removed_data_plane_is_gone_everywhere(stage: Stage) -> None:
    """From both branches in one decision; nothing lists it, waits for it, or lets it in. Others stay as they are."""
    stage.hear(Health.HEALTHY, PROD, OTHER)
    old, last = stage.services.bootstrap_data_plane(PROD, by=ADMIN), serial(stage)
    others = serial(stage, OTHER)
    commits = len(stage.repo.log(limit=99))
    outcome = stage.services.remove_data_plane(PROD, Why(ADMIN, "the site is closed"))
    assert outcome.recorded
    assert len(stage.repo.log(limit=99)) == commits + 1
    world = stage.world()
    assert (list(world.planes), serial(stage, OTHER)) == ([OTHER], others)
    assert (world.retired[PROD].last_serial, world.retired[PROD].generation) == (last, 1)
    files = ("registration.yaml", "decisions.yaml")
    assert [stage.repo.file("main", f"{FOLDER}/{name}") for name in files] == [None, None]
    assert stage.repo.file("delivery", f"pdps/{PROD}/kustomization.yaml") is None
    assert stage.repo.file("delivery", f"pdps/{OTHER}/kustomization.yaml")
    assert b"reason: the site is closed" in (stage.repo.file("main", f"{FOLDER}/retired.yaml") or b"")
    assert accepted(stage, old) == NEITHER
    assert set(stage.store.reports()) == {OTHER}
    assert stage.store.list_health_changes(PROD, limit=9)
    assert not stage.services.plan().moves
    assert "data-plane.removed" in told(stage)
    assert [each.kind for each in stage.services.see.events(ADMIN, after=parent(stage))[0]] == ["pdp.removed"]


def test_removing_again_is_nothing_to_do(stage: Stage) -> None:
    """But what never was cannot be removed, and a dry run removes nothing."""
    why = Why(ADMIN, "the site is closed")
    assert not stage.services.remove_data_plane(PROD, why, dry_run=True).recorded
    assert PROD in stage.world().planes
    stage.services.remove_data_plane(PROD, why)
    base = stage.repo.read().base
    assert not stage.services.remove_data_plane(PROD, why).recorded
    assert stage.repo.read().base == base
    with pytest.raises(NotFoundError):
        stage.services.remove_data_plane(PDPName("acme", "never"), why)
    with pytest.raises(InvalidInputError, match="reason"):
        stage.services.remove_data_plane(OTHER, Why(ADMIN, " "))


def test_a_data_plane_that_was_offered_nothing_can_be_removed(tmp_path: Path) -> None:
    """It has neither a state nor decisions."""
    stage = Stage(tmp_path)
    push(stage, {f"{FOLDER}/registration.yaml": Raw(b"channel: stable\nbundles: [platform]\n")})
    stage.services.remove_data_plane(PROD, Why(ADMIN, "a slip"))
    assert (stage.world().planes, stage.world().retired[PROD].last_serial) == ({}, 0)


def test_what_comes_again_goes_on_upwards(stage: Stage) -> None:
    """Also when the clock is put back, its serials rise; and none of its old credentials is good ever again."""
    shown = [stage.services.bootstrap_data_plane(PROD, by=ADMIN)]
    shown.append(stage.services.rotate_credentials(PROD, WHY).secrets)
    serials, generations = [serial(stage)], [2]
    for _ in range(2):
        stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
        stage.clock.time -= timedelta(hours=11)
        add_again(stage)
        assert [accepted(stage, each) for each in shown] == [NEITHER] * len(shown)
        shown.append(stage.services.bootstrap_data_plane(PROD, by=ADMIN))
        assert accepted(stage, shown[-1]) == BOTH
        serials.append(serial(stage))
        generations.append(stage.world().plane(PROD).generation)
    assert generations == [2, 3, 4]
    assert serials == sorted(set(serials))
    stage.clock.time += 2 * DAY
    stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
    add_again(stage)
    assert serial(stage) == int(stage.clock.now().timestamp())


def test_what_comes_again_begins_anew(stage: Stage) -> None:
    """Without the pins and reports of the one before; its first rotation has an overlap like any other."""
    stage.hear(Health.FAILED, PROD)
    stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
    add_again(stage)
    plane = stage.world().plane(PROD)
    assert (plane.report, plane.health(stage.clock.now())) == (None, Health.UNKNOWN)
    again = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    rotated = stage.services.rotate_credentials(PROD, WHY)
    assert rotated.plane.generation == 3
    assert accepted(stage, again) == accepted(stage, rotated.secrets) == BOTH


def test_a_registration_that_people_bring_back_has_new_credentials_too(stage: Stage) -> None:
    """What is kept counts however it comes again; if it cannot be read, the data plane is left out."""
    registered = Raw(stage.repo.file("main", f"{FOLDER}/registration.yaml") or b"")
    old = stage.services.bootstrap_data_plane(PROD, by=ADMIN)
    stage.services.remove_data_plane(PROD, Why(ADMIN, "moved"))
    push(stage, {f"{FOLDER}/registration.yaml": registered})
    assert stage.world().plane(PROD).generation == 2
    assert accepted(stage, old) == NEITHER
    push(stage, {f"{FOLDER}/retired.yaml": Raw(b"lastSerial: many\n")})
    assert PROD not in stage.world().planes
    assert [each.file for each in stage.world().problems] == [f"{FOLDER}/retired.yaml"]


def test_only_who_may_register_rotates_and_removes(stage: Stage) -> None:
    """An administrator of another organization may not."""
    for holder in (Holder("o", frozenset({"operator"})), Holder("g", frozenset({"admin"}), orgs=frozenset({"globex"}))):
        why, rotate = Why(holder.identity, "x"), stage.services.rotate_credentials
        for act in (rotate, rotate.finish, stage.services.remove_data_plane):
            with pytest.raises(ForbiddenError):
                act(PROD, why)
