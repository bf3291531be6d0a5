"""``ums report``, from a cluster to the service; and ``ums pdp bootstrap --reporter``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.unit.adapters.test_kube_reader import DEPLOYMENTS, Kube, running_kube
from tests.unit.cli.test_commands import Ended, Run, stage, ums, url
from tests.unit.usecases.stage import PROD, Stage
from tests.unit.web.test_event_route import key_of
from ums import __version__
from ums.domain.fleet import MAX_IMAGES, Facts, fitting
from ums.domain.version import Version
from ums.web.requests import MAX_BODY_BYTES

__all__ = ["stage", "ums", "url"]


@dataclass
class Reporting:
    """A cluster, and the command beside it."""

    kube: Kube
    run: Run
    folder: Path

    def __call__(self, *arguments: str) -> Ended:
        """Run ``ums report``."""
        kube = ("--kube-url", self.kube.url, "--kube-ca", str(self.kube.authorities))
        files = ("--kube-token-file", str(self.folder / "token"), "--key-file", str(self.folder / "key"))
        return self.run("report", "--pdp", str(PROD), *kube, *files, *arguments)


@pytest.fixture
def report(stage: Stage, ums: Run, tmp_path: Path) -> Iterator[Reporting]:
    """Give a cluster with two Flux versions, as while it is updated, and one image, and both clocks agree."""
    stage.clock.time = datetime.now(UTC)
    (tmp_path / "token").write_text("a-token\n")
    (tmp_path / "key").write_bytes(key_of(stage))
    with running_kube(tmp_path) as kube:
        labels = ["v2.9.1", "2.9.0", "main-abc"]
        found = [{"metadata": {"labels": {"app.kubernetes.io/version": each}}} for each in labels]
        kube.answers = {
            "/version": [{"gitVersion": "v1.34.1+k3s1"}],
            DEPLOYMENTS: [{"items": found}],
            "/api/v1/pods": [{"items": pods("r/a:1", "r/a:1")}],
        }
        yield Reporting(kube, ums, tmp_path)


def pods(*images: str) -> list[dict[str, Any]]:
    """Return pods that run images."""
    return [{"spec": {"containers": [{"image": image}]}} for image in images]


def test_what_a_cluster_has_reaches_the_service(stage: Stage, report: Reporting, ums: Run) -> None:
    """The lower of two versions, each image once; and it is shown."""
    assert "as registered" in ums("pdp", "show", "acme/prod").out
    done = report()
    assert (done.code, done.out) == (0, "acme/prod: Kubernetes v1.34.1+k3s1, Flux 2.9.0, 1 images: sent\n")
    cluster = stage.store.cluster(PROD)
    assert cluster is not None
    assert (cluster.facts, cluster.images) == (Facts(Version("1.34.1"), Version("2.9.0")), ("r/a:1",))
    assert "Kubernetes 1.34.1, Flux 2.9.0  (1 images, heard" in ums("pdp", "show", "acme/prod").out


def test_a_report_carries_a_signature_and_no_token(
    report: Reporting, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even an empty one; whatever else the environment holds."""
    sent: list[Mapping[str, str]] = []
    send = requests.Session.send

    def listen(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401 - passes through
        if str(request.url).startswith(url):
            sent.append(request.headers)
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", listen)
    assert report().code == 0
    (headers,) = sent
    assert headers["X-Signature"].startswith("sha256=")
    assert "Authorization" not in headers


def test_a_dry_run_sends_nothing(stage: Stage, report: Reporting) -> None:
    """It prints all that would be."""
    done = report("--dry-run", "-o", "json")
    assert done.code == 0
    said = json.loads(done.out)
    assert said.keys() == {"at", "kubernetes", "flux", "images", "leftOut", "recorded"}
    assert (said["images"], said["recorded"]) == (["r/a:1"], None)
    assert stage.store.cluster(PROD) is None
    assert "would be sent" in report("--dry-run").out


def test_a_cluster_with_more_than_fits_is_told_of_in_part(stage: Stage, report: Reporting) -> None:
    """As much as the service takes; how much is left out is said."""
    images = [f"r/{number:05}" + "a" * 490 for number in range(1200)]
    report.kube.answers["/api/v1/pods"] = [{"items": pods(*images)}]
    done = report("-o", "json")
    assert done.code == 0
    kept = len(json.loads(done.out)["images"])
    assert json.loads(done.out)["leftOut"] == 1200 - kept
    cluster = stage.store.cluster(PROD)
    assert cluster is not None
    assert cluster.images == tuple(images[:kept])


def test_what_fits_is_within_every_limit() -> None:
    """In number, in bytes, and each of them; whatever is no image is left out."""
    assert len(fitting([f"r/{number}" for number in range(2000)])) == MAX_IMAGES
    assert len(json.dumps(fitting([f"{number:04}" + '"' * 500 for number in range(1000)]))) < MAX_BODY_BYTES
    assert fitting(["b", "a", "b", "", "a b", "x" * 513, "é"]) == ("a", "b")


def test_a_wrong_key_is_refused_and_said_so(report: Reporting) -> None:
    """With what to do."""
    (report.folder / "key").write_text("wrong")
    done = report()
    assert (done.code, "ums pdp bootstrap" in done.err) == (6, True)


def test_a_right_that_is_missing_is_said_so(stage: Stage, report: Reporting) -> None:
    """Nothing is sent by halves."""
    report.kube.statuses["/api/v1/pods"] = 403
    done = report()
    assert (done.code, "ums pdp bootstrap --reporter" in done.err) == (6, True)
    assert stage.store.cluster(PROD) is None


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
@pytest.mark.parametrize("name", ["token", "key"])
def test_a_file_that_is_not_there_is_said_so(report: Reporting, name: str, content: bytes | None) -> None:
    """By its name, and never by what is in it."""
    file = report.folder / name
    file.unlink() if content is None else file.write_bytes(content)
    done = report()
    assert (done.code, str(file) in done.err) == (2, True)


def test_outside_of_a_cluster_it_wants_to_know_where_one_is(ums: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And, without a dry run, where to tell it."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = ums("report", "--pdp", "acme/prod", "--dry-run")
    assert (done.code, "--kube-url" in done.err) == (2, True)
    assert "--key-file" in ums("report", "--pdp", "acme/prod").err


def test_a_bootstrap_has_a_reporter_where_one_is_wanted(ums: Run) -> None:
    """From one's own image, or the one of this version beside the bundles."""

    def image(*arguments: str) -> str | None:
        done = ums("pdp", "bootstrap", "acme/prod", "--stdout", *arguments)
        assert done.code == 0, done.err
        jobs = [each for each in yaml.safe_load_all(done.out) if each["kind"] == "CronJob"]
        if not jobs:
            return None
        found: str = jobs[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    assert image() is None
    assert image("--reporter") == f"registry.example.com/ums/ums:{__version__}"
    assert image("--reporter", "--reporter-image", "r.example.com/ums:1") == "r.example.com/ums:1"
    assert ums("pdp", "bootstrap", "acme/prod", "--stdout", "--reporter-image", "r/ums:1").code == 2
    assert ums("pdp", "bootstrap", "acme/prod", "--stdout", "--reporter", "--reporter-image", "a b").code == 2
