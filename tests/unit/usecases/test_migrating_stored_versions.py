"""Objects are written in the version of today before anybody says that they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.doubles.memory_custom_resources import MemoryCustomResources
from tests.unit.domain.test_stored_versions import RELEASES
from ums.domain.errors import ConflictError, InvalidInputError
from ums.domain.stored_versions import StoredObject
from ums.usecases.migrate_stored_versions import Migrated, MigrateStoredVersions


@pytest.fixture
def cluster() -> MemoryCustomResources:
    """Give a cluster with two objects, one of them old, and a definition that nobody touches."""
    resources = MemoryCustomResources()
    resources.define(RELEASES, old="v2beta2", new="v2")
    resources.define(replace(RELEASES, name="other", group="example.com"), foreign="v2beta2")
    return resources


def migrate(cluster: MemoryCustomResources, *, dry_run: bool = False) -> list[Migrated]:
    """Run it to its end."""
    return list(MigrateStoredVersions(cluster)(dry_run=dry_run))


def versions(cluster: MemoryCustomResources) -> set[str]:
    """Return in which versions objects are stored."""
    return set(cluster.stored[RELEASES.name].values())


def test_every_object_is_written_and_the_list_trimmed(cluster: MemoryCustomResources) -> None:
    """The second time there is nothing to do; what is not of Flux stays as it is."""
    assert migrate(cluster) == [Migrated(RELEASES, 2)]
    assert (versions(cluster), cluster.known[RELEASES.name].stored) == ({"v2"}, ("v2",))
    assert set(cluster.stored["other"].values()) == {"v2beta2"}
    assert migrate(cluster) == []


def test_a_dry_run_writes_nothing(cluster: MemoryCustomResources) -> None:
    """It counts what it would write."""
    assert migrate(cluster, dry_run=True) == [Migrated(RELEASES, 2)]
    assert versions(cluster) == {"v2beta2", "v2"}
    assert cluster.known[RELEASES.name] == RELEASES


def test_what_is_gone_or_just_written_needs_nothing(cluster: MemoryCustomResources) -> None:
    """Somebody else did it."""
    cluster.vanishing, cluster.busy = StoredObject("apps", "old"), StoredObject("apps", "new")
    assert migrate(cluster) == [Migrated(RELEASES, 2)]
    assert cluster.known[RELEASES.name].stored == ("v2",)


def test_a_definition_that_changed_meanwhile_is_looked_at_anew(cluster: MemoryCustomResources) -> None:
    """Its storage version may be another one; whoever changes it all the time is not waited for."""
    cluster.restless = 2
    assert migrate(cluster) == [Migrated(RELEASES, 2)]
    cluster.define(RELEASES, old="v2beta2")
    cluster.restless = 3
    with pytest.raises(ConflictError, match="again and again"):
        migrate(cluster)
    assert cluster.known[RELEASES.name].stored == RELEASES.stored


def test_what_nobody_serves_cannot_be_written(cluster: MemoryCustomResources) -> None:
    """It is said, before anything is trimmed."""
    cluster.define(replace(RELEASES, served=""), old="v2beta2")
    with pytest.raises(InvalidInputError, match="serves no version"):
        migrate(cluster)
    assert cluster.known[RELEASES.name].stored == RELEASES.stored
