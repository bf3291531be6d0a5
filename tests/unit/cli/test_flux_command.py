"""``ums flux migrate``, against a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.adapters.test_kube_custom_resources import CRD, CRDS, OBJECTS
from tests.unit.adapters.test_kube_reader import Kube, running_kube
from tests.unit.cli.test_commands import Ended, Run, stage, ums, url

__all__ = ["stage", "ums", "url"]


@dataclass
class Migrating:
    """A cluster, and the command beside it."""

    kube: Kube
    run: Run
    token: Path

    def __call__(self, *arguments: str) -> Ended:
        """Run ``ums flux migrate``."""
        kube = ("--kube-url", self.kube.url, "--kube-ca", str(self.kube.authorities))
        return self.run("flux", "migrate", *kube, "--kube-token-file", str(self.token), *arguments)


@pytest.fixture
def migrate(ums: Run, tmp_path: Path) -> Iterator[Migrating]:
    """Give a cluster with two objects that may be old."""
    token = tmp_path / "token"
    token.write_text("a-token\n")
    with running_kube(tmp_path) as kube:
        kube.answers[CRDS] = [{"items": [CRD]}]
        kube.answers[OBJECTS] = [{"items": [{"metadata": {"name": name, "namespace": "x"}} for name in "ab"]}]
        yield Migrating(kube, ums, token)


def test_what_was_written_is_said(migrate: Migrating) -> None:
    """Each definition with its versions, and how many objects."""
    done = migrate()
    assert (done.code, done.out) == (0, "helmreleases.helm.toolkit.fluxcd.io: v2beta2 -> v2, 2 objects written\n")
    assert [path for path, _ in migrate.kube.patched] == [
        "/apis/helm.toolkit.fluxcd.io/v2/namespaces/x/helmreleases/a",
        "/apis/helm.toolkit.fluxcd.io/v2/namespaces/x/helmreleases/b",
        f"{CRDS}/helmreleases.helm.toolkit.fluxcd.io/status",
    ]


def test_a_dry_run_says_it_and_writes_nothing(migrate: Migrating) -> None:
    """In words, and for programs."""
    assert "2 objects would be written" in migrate("--dry-run").out
    said: dict[str, Any] = json.loads(migrate("--dry-run", "-o", "json").out)
    assert said == {
        "dryRun": True,
        "definitions": [
            {"name": "helmreleases.helm.toolkit.fluxcd.io", "storage": "v2", "outdated": ["v2beta2"], "objects": 2}
        ],
    }
    assert not migrate.kube.patched


def test_where_nothing_is_old_there_is_nothing_to_do(migrate: Migrating) -> None:
    """It says so, and ends well: it runs before every update."""
    migrate.kube.answers[CRDS] = [{"items": [{**CRD, "status": {"storedVersions": ["v2"]}}]}]
    done = migrate()
    assert (done.code, done.out) == (0, "every object is stored in the version of today\n")
    assert not migrate.kube.patched


def test_an_object_that_is_refused_ends_it_and_nothing_is_trimmed(migrate: Migrating) -> None:
    """With the object, and the reason that the server gives."""
    refused = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/x/helmreleases/b"
    migrate.kube.statuses[refused] = 422
    migrate.kube.answers[refused] = [{"message": "spec.interval: Required value"}]
    done = migrate()
    assert (done.code, refused in done.err, "spec.interval: Required value" in done.err) == (2, True, True)
    assert [path for path, _ in migrate.kube.patched if path.startswith(CRDS)] == []


def test_without_the_right_it_says_which_one(migrate: Migrating) -> None:
    """Nothing was written before."""
    migrate.kube.statuses[CRDS] = 403
    done = migrate()
    assert (done.code, "list of customresourcedefinitions" in done.err) == (6, True)


def test_outside_of_a_cluster_it_wants_to_know_where_one_is(ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every command that runs in one."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = ums("flux", "migrate", "--dry-run")
    assert (done.code, "--kube-url" in done.err) == (2, True)
