"""Editing ``policy.yaml`` in the release repo, past the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.usecases.stage import ADMIN, Stage
from ums.domain.linting import refused_policies
from ums.domain.world import Base, Decision, Raw
from ums.usecases.instruct import Why


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a stage with channels edge and stable."""
    return Stage(tmp_path)


def edit(stage: Stage, text: str, channel: str = "stable") -> None:
    """Commit a policy as people do."""
    base: Base = stage.repo.read().base
    path = f"channels/{channel}/policy.yaml"
    stage.repo.commit(
        Decision("edit", "edit", "bob", "by hand", stage.clock.now(), {path: Raw(text.encode())}), base=base
    )


def described(stage: Stage) -> dict[str, str]:
    """Return the descriptions in force."""
    return {name: channel.policy.description for name, channel in stage.repo.read().channels.items()}


def test_an_edit_counts_once_the_loop_accepted_it(stage: Stage) -> None:
    """Not before: nothing acts on what nobody validated."""
    edit(stage, "{feeder: edge, description: edited}")
    assert described(stage) == {"edge": "first", "stable": ""}
    assert stage.services.reconcile().recorded
    assert described(stage) == {"edge": "first", "stable": "edited"}
    assert not stage.services.reconcile().recorded


@pytest.mark.parametrize("text", ["{feeder: stable, description: edited}", "{feder: edge}", "{feeder: lost}"])
def test_a_wrong_edit_changes_nothing_and_everybody_sees_why(stage: Stage, text: str) -> None:
    """Until it is mended, also by setting the policy that is in force anyway."""
    before = stage.repo.read().channels["stable"]
    edit(stage, text)
    assert not stage.services.reconcile().recorded
    world = stage.repo.read()
    assert world.channels["stable"] == before
    (problem,) = (*world.problems, *refused_policies(world, stage.clock.now()))
    assert problem.file == "channels/stable/policy.yaml"
    assert stage.services.set_policy.lint("stable") == (str(problem),)
    stage.services.set_policy("stable", before.policy.source, Why(ADMIN, "as it was"))
    assert stage.services.set_policy.lint("stable") == ()


def test_a_new_channel_comes_with_its_policy(stage: Stage) -> None:
    """A folder with a file is all it takes."""
    edit(stage, "{feeder: stable, description: slow}", "lts")
    assert "lts" not in stage.repo.read().channels
    stage.services.reconcile()
    assert described(stage)["lts"] == "slow"
