"""Values of one data plane on real Flux and Helm: they arrive as they are, and green means that they were taken.

One story: each test goes on where the last one ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import RunningService

PDP = "acme/tuned"
WHY = ("--reason", "a test")
DEFAULTS: dict[str, Any] = {"size": 1, "gone": {"with": "all"}, "who": "chart", "list": [1, 2]}
TRICKY: dict[str, Any] = {
    "gone": None,
    "who": "registration",
    "list": [{"$patch": "replace"}],
    "$patch": "delete",
    "text": [
        "yes",
        "1e3",
        "0o17",
        "~",
        "",
        "---\n- op: remove",
        "${who} $(who) {{ .Values }}",
        "a \"b\" 'c' \\",
        "ß☃\u2028",
        "2026-12-01",
    ],
    "numbers": [0, -1, 0.5, 1e21, 2**53],
    "nothing": {"empty": {}, "none": []},
    "kind": "List",
    "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "evil"}}],
}
"""What YAML, kustomize, Flux or Helm might take for something else than data."""
NO_IMAGE = f"registry.example.com/none:1@sha256:{'0' * 64}"
"""A chart names one; this runs nothing."""
TEMPLATE = """\
{{- if .Values.refuse }}{{ fail "these values are refused" }}{{ end }}
apiVersion: v1
kind: ConfigMap
metadata: {name: tuned}
data:
  values: {{ omit .Values "global" | toJson | quote }}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[RunningService]:
    """Return a service with one healthy data plane, whose chart writes down the values that it was given."""
    with RunningService(tmp_path_factory.mktemp("service")) as running:
        chart = running.folder / "tuned" / "chart"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: app, version: 1.0.0}\n")
        (chart / "values.yaml").write_text(yaml.safe_dump(DEFAULTS))
        (chart / "templates" / "all.yaml").write_text(TEMPLATE)
        component = {"name": "app", "chart": "chart", "namespace": "tuned", "timeout": "5s", "images": [NO_IMAGE]}
        (chart.parent / "bundle.yaml").write_text(yaml.safe_dump({"name": "tuned", "components": [component]}))
        running.publish(chart.parent, "1.0.0")
        running.promote("tuned@1.0.0")
        running.ums("pdp", "add", PDP, "--channel", "stable", "--bundle", "tuned", "--no-sealed")
        bootstrap(running, cluster, "--unsealed")
        yield running


def bootstrap(service: RunningService, cluster: Cluster, *options: str) -> None:
    """Connect the cluster, and wait until all is well."""
    service.ums("pdp", "bootstrap", PDP, "--file", "bootstrap.yaml", *options)
    cluster.apply((service.folder / "bootstrap.yaml").read_text())
    wait_healthy(service)


def wait_healthy(service: RunningService) -> None:
    """Wait until the service knows that what it offered last is well."""
    eventually(lambda: service.get(f"/pdps/{PDP}")["health"] == "healthy", timeout=180, what="it is healthy", every=0.5)


def given(cluster: Cluster) -> Any:  # noqa: ANN401 - any JSON value
    """Return the values that the chart was given."""
    return json.loads(cluster.get("configmap", "tuned", "tuned")["data"]["values"])


def register(service: RunningService, values: dict[str, Any]) -> int:
    """Give the data plane values, and return the serial of the state with them."""
    path = service.folder / "values.yaml"
    path.write_text(json.dumps({"tuned": {"app": values}}))  # which is YAML, and quotes all text
    (serial,) = service.json("pdp", "set", PDP, "--values", str(path), *WHY)["serials"].values()
    return int(serial)


def owner_keeps(cluster: Cluster, kind: str, values: dict[str, Any]) -> None:
    """Keep values in the cluster, as its owner does; Flux watches what has this label."""
    content = {"data" if kind == "ConfigMap" else "stringData": {"values.yaml": yaml.safe_dump(values)}}
    metadata = {
        "name": "ums-values-tuned-app",
        "namespace": "ums-system",
        "labels": {"reconcile.fluxcd.io/watch": "Enabled"},
    }
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}))


def test_values_reach_the_chart_as_they_were_written(cluster: Cluster, service: RunningService) -> None:
    """At the next poll, whatever they look like; ``null`` is Helm's own way to take a default away."""
    assert given(cluster) == DEFAULTS
    register(service, TRICKY)
    wait_healthy(service)
    kept = {name: value for name, value in TRICKY.items() if value is not None}
    assert given(cluster) == {"size": 1, **kept}


def test_the_owner_s_values_are_taken_below_the_registration_s(cluster: Cluster, service: RunningService) -> None:
    """Chart, then the owner's ConfigMap, then its Secret, then the registration: the later wins."""
    register(service, {"who": "registration"})
    wait_healthy(service)
    owner_keeps(cluster, "ConfigMap", {"who": "owner", "size": 2, "list": ["config map"]})
    eventually(lambda: given(cluster)["size"] == 2, timeout=60, what="the ConfigMap was taken", every=0.5)
    owner_keeps(cluster, "Secret", {"who": "owner", "size": 3})
    eventually(lambda: given(cluster)["size"] == 3, timeout=60, what="the Secret was taken", every=0.5)
    assert given(cluster) == {**DEFAULTS, "size": 3, "list": ["config map"], "who": "registration"}


def test_a_state_is_not_green_before_its_values_were_taken(cluster: Cluster, service: RunningService) -> None:
    """The chart is the same, healthy one; with values that it refuses, this state was never healthy."""
    serial = register(service, {"who": "registration", "refuse": True})
    eventually(
        lambda: (
            (service.get(f"/pdps/{PDP}")["reported"]["serial"], service.get(f"/pdps/{PDP}")["health"])
            == (serial, "failed")
        ),
        timeout=120,
        what="it says that it failed",
        every=0.5,
    )
    history = service.get(f"/pdps/{PDP}/history")["items"]
    assert not [each for each in history if each["serial"] == serial and each["health"] == "healthy"]
    assert given(cluster)["who"] == "registration", "what ran goes on"


def test_without_values_the_owner_s_alone_count(cluster: Cluster, service: RunningService) -> None:
    """Removed as easily as they were given, also when they are what failed; then the data plane can be sealed."""
    service.ums("pdp", "set", PDP, "--no-values", "--sealed", *WHY)
    bootstrap(service, cluster)
    assert given(cluster)["who"] == "owner"
    annotations = cluster.get("namespace", "ums-system")["metadata"]["annotations"]
    assert annotations["ums/sealed"] == "true"
    path = service.folder / "values.yaml"
    path.write_text("tuned: {app: {who: registration}}\n")
    refused = service.run("pdp", "set", PDP, "--values", str(path), *WHY)
    assert refused.returncode == 2
    assert "is sealed" in refused.stderr


def test_the_printed_command_begins_nothing_where_there_would_be_no_guard(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """Kubernetes before 1.30 does not know the guard's kind: kubectl would leave it out and apply the rest."""
    command = service.ums("pdp", "bootstrap", PDP, "--file", "bootstrap.yaml").splitlines()[1].strip()
    check, _, apply = command.partition(" >/dev/null && ")
    assert apply == "kubectl apply -f bootstrap.yaml"
    assert "ValidatingAdmissionPolicy" in cluster.kubectl(*check.split()[1:])
    unknown = [word.replace("k8s.io/v1", "k8s.io/v9") for word in check.split()[1:]]
    assert "couldn't find resource" in cluster.kubectl(*unknown, check=False)
    objects = [
        {
            "apiVersion": "admissionregistration.k8s.io/v9",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "x"},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after", "namespace": "default"}},
    ]
    path = tmp_path / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    said = cluster.kubectl("apply", "-f", str(path), check=False)
    assert "no matches for kind" in said
    assert cluster.exists("configmap", "after", "default"), "this is why the command is what it is"
