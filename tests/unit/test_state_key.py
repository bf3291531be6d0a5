"""The state key of a service, rotated in its data folder; and what an audit says of commits by keys of old."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.data_folder import make_data
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters._git import Git
from ums.adapters.git_history import GitHistory
from ums.adapters.git_release_repo import GitReleaseRepo
from ums.adapters.ssh_signature import SSHStateSigner
from ums.bootstrap import COMMIT_AUTHOR, StateKeyRotated, make_services, rotate_state_key
from ums.config import Settings
from ums.domain.auditing import Audited
from ums.domain.errors import InvalidInputError, RefusedError
from ums.domain.fleet import Registration
from ums.domain.world import Decision, Raw
from ums.services import Services
from ums.usecases.audit import Audit
from ums.usecases.instruct import Why
from ums.usecases.rotate_keys import KeyChange

WHY = Why(ADMIN, "once a year")


def rotate(settings: Settings, *, dry_run: bool = False) -> StateKeyRotated:
    """Go one step."""
    return rotate_state_key(settings, reason="once a year", dry_run=dry_run)


def start(settings: Settings) -> Services:
    """Return a service that was started anew."""
    services = make_services(settings)
    services.health.store.close()  # type: ignore[attr-defined] # this one can, and opens again when asked
    return services


def audit(settings: Settings) -> Audited:
    """Let the release repo vouch for itself."""
    return Audit(GitHistory(settings.release_repo))()


def attack(settings: Settings, key: Path, *, branch: str) -> None:
    """Commit with a key, as somebody does who has it and can write to the repository."""
    repo = GitReleaseRepo(settings.release_repo, SSHStateSigner.load(key), author=COMMIT_AUTHOR)
    files = {"pdps/acme/prod/evil.yaml": Raw(b"evil: true\n")}
    decision = Decision("evil", "evil", "mallory", "gain", datetime.now(UTC), {}, files)
    base = repo.read().base
    repo.commit(decision, base=base)
    if branch == "delivery":
        # The decision of old that it names is one of ours.
        Git(settings.release_repo).run("update-ref", "refs/heads/main", base.main)


def test_a_state_key_is_rotated_in_steps_and_all_commits_hold(tmp_path: Path) -> None:
    """Each key counts as long as trust.yaml names it: what it signed then is good for ever."""
    settings, _ = make_data(tmp_path)
    old = SSHStateSigner.load(settings.state_key).public_key
    assert rotate(settings, dry_run=True).replaced is None
    assert not settings.next_state_key.exists()
    first = rotate(settings)
    assert first.replaced is None
    assert (rotate(settings, dry_run=True).replaced, settings.next_state_key.exists()) == (settings.old_state_key, True)
    second = rotate(settings)
    assert (second.key, second.replaced) == (first.key, settings.old_state_key)
    assert SSHStateSigner.load(settings.state_key).public_key == first.key
    assert settings.old_state_key.read_text().strip() == old
    services = start(settings)
    services.add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    with pytest.raises(InvalidInputError, match="signs with that state key"):
        services.rotate_keys(KeyChange(drop_state_keys=(first.key,)), WHY)
    services.rotate_keys(KeyChange(drop_state_keys=(old,)), WHY)
    services.reconcile()
    found = audit(settings)
    assert (found.flaws, found.by_people) == ((), 0)


def test_the_next_state_key_waits_until_every_data_plane_knows_it(tmp_path: Path) -> None:
    """Whoever does not would refuse everything from then on."""
    settings, _ = make_data(tmp_path)
    start(settings).add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    rotate(settings)
    before = settings.state_key.read_bytes()
    with pytest.raises(RefusedError, match="would refuse what it signs") as refused:
        rotate(settings)
    assert [reason.message for reason in refused.value.reasons] == ["acme/prod may not know it yet"]
    assert settings.state_key.read_bytes() == before


def test_what_is_offered_is_signed_anew_before_the_key_that_signed_it_is_dropped(tmp_path: Path) -> None:
    """Else nothing on delivery would be signed by anybody who counts, and nothing could be decided."""
    settings, _ = make_data(tmp_path)
    rotate(settings)
    start(settings).add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    old = SSHStateSigner.load(settings.state_key).public_key
    settings.next_state_key.replace(settings.state_key)
    services = start(settings)
    services.rotate_keys(KeyChange(drop_state_keys=(old,)), WHY)
    assert start(settings).record.world().plane(PROD).desired is not None
    assert audit(settings).flaws == ()


@pytest.mark.parametrize("branch", ["main", "delivery"])
def test_a_key_of_old_signs_nothing_that_counts(tmp_path: Path, branch: str) -> None:
    """A stolen key that was dropped: what it signs afterwards is named."""
    settings, _ = make_data(tmp_path)
    rotate(settings)
    start(settings).add_data_plane(Registration(PROD, "edge", ("platform",)), by=ADMIN)
    stolen = tmp_path / "stolen.key"
    stolen.write_bytes(settings.state_key.read_bytes())
    old = SSHStateSigner.load(stolen).public_key
    settings.next_state_key.replace(settings.state_key)
    start(settings).rotate_keys(KeyChange(drop_state_keys=(old,)), WHY)
    assert audit(settings).flaws == ()
    attack(settings, stolen, branch=branch)
    assert {flaw.branch for flaw in audit(settings).flaws} == {"delivery"}
    assert audit(settings).by_people == (1 if branch == "main" else 0)
