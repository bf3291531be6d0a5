"""With the state key, and a chart that the release key signed: whose Helm release it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.e2e.attacks.stage import FOLDER, NAME, Attacker, Files, connect, content, root, told
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import PASSWORD, RunningService
from ums.adapters import bundle_folder
from ums.adapters.cosign_bundle import CosignBundleSigner
from ums.domain.digest import Digest
from ums.domain.fleet import BundleState
from ums.domain.names import PDPName
from ums.domain.oci import Repository
from ums.domain.release import Release
from ums.domain.rendering import render_objects, render_wrapper
from ums.domain.version import Version
from ums.domain.world import FleetSettings, Raw
from ums.publisher import make_publisher

NO_IMAGE = f"registry.example.com/none:1@sha256:{'0' * 64}"
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-{{ .Values.by }}}\n"


def write_chart(folder: Path, by: str) -> Path:
    """Write a chart of one ConfigMap, whose name says which release it is of, and whose chart."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: web, version: 1.0.0}\n")
    (folder / "values.yaml").write_text(f"by: {by}\n")
    (folder / "templates" / "all.yaml").write_text(TEMPLATE)
    return folder


def write_bundle(folder: Path) -> Path:
    """Write a bundle with a chart."""
    write_chart(folder / "chart", "ums")
    component = {"name": "app", "chart": "chart", "namespace": "web", "timeout": "5s", "images": [NO_IMAGE]}
    (folder / "bundle.yaml").write_text(yaml.safe_dump({"name": "web", "components": [component]}))
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[RunningService]:
    """Return a service whose data plane is healthy, and a release that it does not subscribe to."""
    with RunningService(tmp_path_factory.mktemp("attacked"), reconcile="1h", topology="shared") as running:
        connect(running, cluster)
        running.publish(write_bundle(running.folder / "web"), "1.0.0")
        cluster.helm(
            "install",
            "theirs",
            str(write_chart(running.folder / "theirs", "hand")),
            "-n",
            "theirs",
            "--create-namespace",
        )
        yield running


def taken_over(attacker: Attacker, service: RunningService, digest: Digest | None = None) -> Files:
    """Return the files that bring the chart as the Helm release of somebody else."""
    release = Release.from_bytes(attacker.git("show", "main:catalog/web/1.0.0/release.json").encode())
    (component,) = release.components
    place = {"release_name": "theirs", "namespace": "theirs", "storage_namespace": "theirs"}
    component = replace(component, digest=digest or component.digest, **place)  # type: ignore[arg-type] # texts
    release = replace(release, components=(component,))
    prefix = Repository(service.url.removeprefix("http://"), "ums")
    settings = FleetSettings(service.url, prefix, plain_http=True, registry_login=True, interval=timedelta(seconds=3))
    state = BundleState(Version("1.0.0"), {"app": Version("1.0.0")})
    wrapper = render_wrapper(PDPName.parse(NAME), release, component, state, settings)
    listing = attacker.read("kustomization.yaml")
    listing["resources"].append("web-app.yaml")
    return {
        f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode()),
        f"{FOLDER}/web-app.yaml": Raw(yaml.safe_dump(wrapper).encode()),
        f"{FOLDER}/web/app/1.0.0/objects.yaml": Raw(
            yaml.safe_dump_all(render_objects("web", component, settings)).encode()
        ),
    }


def test_a_signed_chart_takes_over_nobody_else_s_release(cluster: Cluster, service: RunningService) -> None:
    """The guard cannot know where a chart belongs that is not installed yet. The chart does."""
    attacker = Attacker(service)
    attacker.commit(lambda _: None, taken_over(attacker, service))
    message = cluster.wait_message("helmrelease", "web-app", "signed to be installed as release app in namespace web")
    assert cluster.exists("configmap", "theirs-hand", "theirs"), "what they installed is there"
    assert not cluster.exists("configmap", "theirs-ums", "theirs")
    assert content(cluster) == "1"
    told("a signed chart as somebody else's Helm release", "helm-controller", message)


def test_a_chart_that_does_not_say_where_it_belongs_takes_it_over(
    cluster: Cluster, service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a chart that the release key signed without its place: what they installed is gone."""
    monkeypatch.setattr(bundle_folder, "place_chart", lambda files, *_: files)
    signer = CosignBundleSigner.from_file(service.key, PASSWORD.encode(), name="release")
    publisher = make_publisher(signer=signer, registrar=None, login=("x", service.token), plain_http=True)
    built = publisher.build(service.folder / "web", Version("6.6.6"))
    assert publisher.publish is not None
    publisher.publish(built, Repository(service.url.removeprefix("http://"), "ums"))
    attacker = Attacker(service)
    attacker.commit(lambda _: None, taken_over(attacker, service, built.components["app"].descriptor.digest))
    eventually(
        lambda: cluster.exists("configmap", "theirs-ums", "theirs"), timeout=180, what="it is taken over", every=0.5
    )
    assert not cluster.exists("configmap", "theirs-hand", "theirs")
    told("nothing, without its place in the chart: somebody else's Helm release", "nobody", str(root(cluster)))
