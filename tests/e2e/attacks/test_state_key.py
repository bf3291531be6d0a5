"""With the state key, and write access to the release repo: what the cluster refuses all the same.

Nothing of it is ever applied, and what runs goes on running.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.attacks.stage import (
    FOLDER,
    Attacker,
    Files,
    content,
    evil,
    health,
    leave_out,
    pruning_allowed,
    root,
    small_bundle,
    told,
)
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.oci import FLUX_CONTENT
from ums.domain.rendering import (
    HELM_RELEASE,
    KUSTOMIZATION,
    SOURCE_API,
    applier_reference,
    content_spec,
    health_of,
    release_spec,
    source_spec,
    wrapper_spec,
)
from ums.domain.world import Raw


def test_an_unsigned_commit_is_refused_by_source_controller(cluster: Cluster, attacker: Attacker) -> None:
    """Write access to the repository alone moves nothing."""
    tree = attacker.git("rev-parse", "delivery^{tree}")
    commit = attacker.git("-c", "user.name=m", "-c", "user.email=m@x", "commit-tree", tree, "-p", "delivery", "-m", "x")
    attacker.git("update-ref", "refs/heads/delivery", commit)
    message = cluster.wait_message("gitrepository", "ums", "InvalidCommitSignature")
    assert content(cluster) == "1", "what runs goes on running"
    told("an unsigned commit", "source-controller", message)


def test_a_commit_by_another_key_is_refused_by_source_controller(
    cluster: Cluster, attacker: Attacker, tmp_path: Path
) -> None:
    """A signature by a key that bootstrap did not bring counts for nothing."""
    SSHStateSigner.generate(tmp_path / "other.key")
    attacker._key = tmp_path / "other.key"
    attacker.commit(lambda _: None)
    message = cluster.wait_message("gitrepository", "ums", "InvalidCommitSignature")
    assert content(cluster) == "1"
    told("a commit by another key", "source-controller", message)


DIGEST = "sha256:" + "0" * 64
MARKS = {"ums/release": "evil@1.0.0", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def flux_object(kind: str, api: str, name: str, spec: dict[str, Any], metadata: dict[str, Any] | None = None) -> Raw:
    """Return an object with the annotations that are demanded; what is ``None`` in its spec is left out."""
    full = {"name": name, "namespace": "ums-system", "annotations": {**MARKS, "ums/digest": DIGEST}}
    kept = {field: value for field, value in spec.items() if value is not None}
    return evil(kind, api, name, metadata={**full, **(metadata or {})}, spec=kept)


def release(metadata: dict[str, Any] | None = None, **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return a HelmRelease of the attacker's, right but for what is given."""
    spec = release_spec(
        "evil-x",
        release="evil",
        namespace="evil",
        storage_namespace="evil",
        interval="1m",
        timeout="1m",
        on_failure=OnFailure.RETRY,
    )
    return flux_object("HelmRelease", HELM_RELEASE, "evil-x", {**spec, **fields}, metadata)


OWNER_VALUES: list[dict[str, Any]] = yaml.safe_load(release().content)["spec"]["valuesFrom"]


def source(metadata: dict[str, Any] | None = None, **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return an OCIRepository of the attacker's, right but for what is given."""
    spec = source_spec(url="PREFIX/evil/x", digest=DIGEST, layer=FLUX_CONTENT, interval="1m")
    return flux_object("OCIRepository", SOURCE_API, "evil-x", {**spec, **fields}, metadata)


def inner(metadata: dict[str, Any] | None = None, **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return a Kustomization over an artifact, right but for what is given."""
    spec = content_spec("evil-x", interval="1m", timeout="1m")
    return flux_object("Kustomization", KUSTOMIZATION, "evil-x-content", {**spec, **fields}, metadata)


def wrapper(name: str = "evil-x", **fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return a wrapper of the attacker's, right but for what is given."""
    annotations = {**MARKS}
    spec = wrapper_spec(
        path=f"./{FOLDER}/evil/x/1.0.0",
        interval="1m",
        timeout="1m",
        annotations=annotations,
        depends_on=[],
        health_checks=[applier_reference(ComponentKind.CHART, name)],
        health=health_of(ComponentKind.CHART, OnFailure.RETRY),
    )
    metadata = {"annotations": annotations, "labels": {"ums/wrapper": "true"}}
    return flux_object("Kustomization", KUSTOMIZATION, name, {**spec, **fields}, metadata)


FORBIDDEN: dict[str, tuple[Raw, str]] = {
    "a CRD": (
        evil("CustomResourceDefinition", "apiextensions.k8s.io/v1", "evils.example.com", spec={}),
        "forbidden",
    ),
    "a weaker guard": (
        evil(
            "ValidatingAdmissionPolicy",
            "admissionregistration.k8s.io/v1",
            "ums-guard",
            spec={"failurePolicy": "Ignore", "validations": [{"expression": "true"}]},
        ),
        "forbidden",
    ),
    "a binding for itself": (
        evil(
            "RoleBinding",
            "rbac.authorization.k8s.io/v1",
            "evil",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        ),
        "forbidden",
    ),
    "substitutions": (inner(postBuild={"substitute": {"image": "evil"}}), "spec.postBuild"),
    "other images": (inner(images=[{"name": "app", "newName": "evil"}]), "spec.images"),
    "another service account": (inner(serviceAccountName="admin"), "spec.serviceAccountName"),
    "another cluster": (inner(kubeConfig={"secretRef": {"name": "evil"}}), "spec.kubeConfig"),
    "post-renderers": (release(postRenderers=[{"kustomize": {"images": [{"name": "app"}]}}]), "spec.postRenderers"),
    "values from elsewhere": (release(valuesFrom=[{"kind": "ConfigMap", "name": "evil"}]), "nowhere else"),
    "values from elsewhere too": (
        release(valuesFrom=[*OWNER_VALUES, {"kind": "ConfigMap", "name": "evil"}]),
        "nowhere else",
    ),
    "another component's values": (
        release(valuesFrom=[{**each, "name": "ums-values-small-config"} for each in OWNER_VALUES]),
        "nowhere else",
    ),
    "another key of the owner's values": (
        release(valuesFrom=[{**each, "valuesKey": "evil"} for each in OWNER_VALUES]),
        "nowhere else",
    ),
    "the owner's values somewhere else": (
        release(valuesFrom=[{**each, "targetPath": "image"} for each in OWNER_VALUES]),
        "nowhere else",
    ),
    "the owner's values as a condition": (
        release(valuesFrom=[{**each, "optional": False} for each in OWNER_VALUES]),
        "nowhere else",
    ),
    "a release without the owner's values": (release(valuesFrom=None), "nowhere else"),
    "the owner's values": (evil("ConfigMap", "v1", "ums-values-small-config", data={"values.yaml": "{}"}), "forbidden"),
    "an unsealed cluster": (
        evil("Namespace", "v1", "ums-system", metadata={"name": "ums-system", "annotations": {"ums/sealed": "false"}}),
        "forbidden",
    ),
    "a chart as another account": (release(serviceAccountName="admin"), "spec.serviceAccountName"),
    "a chart in another cluster": (release(kubeConfig={"secretRef": {"name": "evil"}}), "spec.kubeConfig"),
    "a chart from elsewhere": (
        release(
            chartRef=None,
            chart={"spec": {"chart": "x", "sourceRef": {"kind": "HelmRepository", "name": "x"}}},
        ),
        "spec.chart",
    ),
    "a Deployment": (
        evil("Deployment", "apps/v1", "evil", spec={"selector": {}, "template": {}}),
        "forbidden",
    ),
    "a ClusterRole": (evil("ClusterRole", "rbac.authorization.k8s.io/v1", "evil", rules=[]), "forbidden"),
    "a Secret": (evil("Secret", "v1", "ums-release-keys", stringData={"evil.pub": "x"}), "forbidden"),
    "another ConfigMap": (evil("ConfigMap", "v1", "evil", data={"a": "b"}), "forbidden"),
    "a source without verification": (source(verify=None), "must be verified"),
    "a source by tag": (source(ref={"tag": "latest"}), "must name a digest"),
    "a source from another registry": (source(url="oci://evil.example.com/x"), "must come from"),
    "a source whose content is not checked": (
        source(layerSelector={"mediaType": FLUX_CONTENT, "operation": "extract"}),
        "must copy its layer",
    ),
    "patches": (
        inner(patches=[{"patch": "- op: remove\n  path: /spec", "target": {"kind": "Deployment"}}]),
        "spec.patches",
    ),
    # Two policies refuse it, and the API server names either: what may read the repository, and as whom.
    "a wrapper that runs as the controller itself": (wrapper(serviceAccountName=None), "must run as ums-root"),
    # What bootstrap gave the root, and a wrapper does not have, stays in it.
    "another root": (wrapper("ums-root"), "spec.wait"),
    "a wrapper over another component": (wrapper("evil-y"), "the folder of its own component"),
    "a wrapper over all that there is": (wrapper(path=f"./{FOLDER}/evil/x/.."), "the folder of its own component"),
    "a health check that is content with anything": (
        wrapper(healthCheckExprs=[{**health_of(ComponentKind.CHART, OnFailure.RETRY), "current": "true"}]),
        "judge health as UMS does",
    ),
    "signed content in another namespace": (inner(targetNamespace="elsewhere"), "spec.targetNamespace"),
    "a label on everything that was signed": (inner(commonMetadata={"labels": {"a": "b"}}), "spec.commonMetadata"),
    "the deletion of what was applied": (inner(deletionPolicy="Delete"), "spec.deletionPolicy"),
    "content that nobody waits for": (inner(wait=False), "spec.wait"),
    "content that is never looked at again": (inner(interval="1000h"), "out of bounds"),
    "an upgrade by force": (
        release(upgrade={"crds": "CreateReplace", "strategy": {"name": "RetryOnFailure"}, "force": True}),
        "spec.upgrade",
    ),
    "a release that drifts": (release(driftDetection={"mode": "disabled"}), "spec.driftDetection"),
    "tests of a chart": (release(test={"enable": True}), "spec.test"),
    "the record of another release": (release(storageNamespace="flux-system"), "keep its record"),
    "an artifact of another component": (source(url="PREFIX/evil/y"), "as its name says"),
    "an owner that is not there": (
        inner({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]}),
        "no owners",
    ),
    "an object that is never deleted": (inner({"finalizers": ["example.com/evil"]}), "no finalizers"),
    "an object that may be pruned": (
        inner({"annotations": {"ums/release": "evil@1.0.0", "ums/digest": DIGEST}}),
        "exempt from pruning",
    ),
    "a way to apply of its own": (
        inner({"annotations": {**MARKS, "ums/digest": DIGEST, "kustomize.toolkit.fluxcd.io/force": "enabled"}}),
        "no labels and annotations",
    ),
    "values in a sealed cluster": (release(values={"image": "evil"}), "this cluster is sealed"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_state_key_alone_cannot_bring(
    what: str, cluster: Cluster, attacker: Attacker, service: RunningService
) -> None:
    """Signed with the right key, at a higher serial – and refused by the API server, on the guard's word."""
    given, refusal = FORBIDDEN[what]
    prefix = f"oci://{service.url.removeprefix('http://')}/ums"
    text = given.content.replace(b"PREFIX", prefix.encode())
    listing = attacker.read("kustomization.yaml")
    listing["resources"].append("evil.yaml")
    extra: Files = {
        f"{FOLDER}/evil.yaml": Raw(text),
        f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode()),
    }
    serial = cluster.get("configmap", "ums-state")["data"]["serial"]
    attacker.commit(lambda _: None, extra)
    message = cluster.wait_message("kustomization", "ums-root", refusal)
    assert "ums-root" in message or "ums-guard" in message
    assert cluster.get("configmap", "ums-state")["data"]["serial"] == serial, "nothing of that commit was applied"
    assert content(cluster) == "1"
    told(what, "the API server, at the guard's word" if "ums-guard" in message else "the API server", message)


STATES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "of another data plane": (lambda state: state["data"].update(pdp="acme/prod"), "must be that of"),
    "that is older": (lambda state: state["data"].update(serial="1000000000"), "serial must rise"),
    "with an equal serial and other content": (
        lambda state: state["data"].update(serial=str(CURRENT["serial"]), channel="edge"),
        "serial must rise",
    ),
    "from far in the future": (lambda state: state["data"].update(serial="9000000000"), "too far ahead"),
    "that has expired": (lambda state: state["data"].update(expires="2020-01-01T00:00:00Z"), "has expired"),
}
CURRENT: dict[str, str] = {}


@pytest.mark.parametrize("what", STATES)
def test_the_state_key_alone_cannot_offer_a_state(what: str, cluster: Cluster, attacker: Attacker) -> None:
    """Rollback, replay and freeze attacks end at the API server's own clock and memory."""
    change, refusal = STATES[what]
    before = cluster.get("configmap", "ums-state")["data"]
    CURRENT.update(before)
    attacker.commit(change)
    message = cluster.wait_message("kustomization", "ums-root", refusal)
    assert cluster.get("configmap", "ums-state")["data"] == before
    told(f"a state {what}", "the API server, at the guard's word", message)


def test_a_half_written_tree_changes_nothing(cluster: Cluster, attacker: Attacker) -> None:
    """What cannot be built whole is not begun with."""
    before = cluster.get("configmap", "ums-state")["data"]
    listing = attacker.read("kustomization.yaml")
    listing["resources"].append("not-there.yaml")
    attacker.commit(lambda _: None, {f"{FOLDER}/kustomization.yaml": Raw(yaml.safe_dump(listing).encode())})
    message = cluster.wait_message("kustomization", "ums-root", "not-there.yaml")
    assert cluster.get("configmap", "ums-state")["data"] == before
    assert content(cluster) == "1"
    told("a half-written tree", "kustomize-controller", message)


def test_an_empty_tree_removes_nothing(cluster: Cluster, attacker: Attacker) -> None:
    """With nothing in the folder but its list, every object stays: pruning is off and deletion refused."""
    leave_out(attacker)
    revision = attacker.git("rev-parse", "delivery")
    eventually(
        lambda: revision in json.dumps(cluster.get("kustomization", "ums-root")["status"]),
        timeout=180,
        what="the root has seen the empty tree",
        every=0.5,
    )
    assert cluster.exists("kustomization", "small-config")
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "1"}


def test_no_component_may_be_pruned_that_is_not_marked_for_removal(cluster: Cluster, attacker: Attacker) -> None:
    """Allowed in one state and left out of the next, it would be gone; the first of the two is refused."""
    attacker.commit(lambda _: None, pruning_allowed(attacker))
    message = cluster.wait_message("kustomization", "ums-root", "must be exempt from pruning")
    assert content(cluster) == "1"
    told("pruning of a component that is not marked", "the API server, at the guard's word", message)


@pytest.mark.parametrize(
    "kind", ["kustomization/small-config", "kustomization/small-config-content", "ocirepository/small-config"]
)
def test_what_no_earlier_state_marked_is_not_deleted(cluster: Cluster, attacker: Attacker, kind: str) -> None:
    """By whatever way the root's account comes to ask for it."""
    assert attacker.read("small-config.yaml"), "it is part of the state"
    account = ("--as=system:serviceaccount:ums-system:ums-root", "--as-group=system:serviceaccounts")
    said = cluster.kubectl("delete", kind, "-n", "ums-system", "--dry-run=server", *account, check=False)
    assert "did not mark for removal" in said
    told(f"the deletion of {kind}", "the API server, at the guard's word", said)


def test_an_older_commit_however_validly_signed_brings_nothing_back(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """The branch forced back to an earlier commit of ours: neither the root nor a wrapper follows it."""
    attacker = Attacker(service)
    old = attacker.git("rev-parse", "delivery")
    service.publish(small_bundle(tmp_path, value="2"), "1.1.0")
    for channel in ("edge", "candidate", "stable"):
        service.ums("promote", "small@1.1.0", "--to", channel)
    # It is healthy before the move as well.
    eventually(lambda: content(cluster) == "2" and health(service) == "healthy", timeout=180, what="1.1.0", every=0.5)
    new = attacker.git("rev-parse", "delivery")

    def is_refused() -> bool:
        nonlocal new
        # An event may wake the service, which offers anew.
        if (head := attacker.keep_at(old)) != old:
            new = head
        said = [cluster.ready("kustomization", name)[1] for name in ("ums-root", "small-config")]
        return "serial must rise" in said[0] and "no such file or directory" in said[1]

    eventually(is_refused, timeout=180, what="neither the root nor a wrapper follows", every=0.5)
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "2"}
    attacker.restore(new)
    eventually(lambda: root(cluster)[0] == "True", timeout=180, what="the root is well again", every=0.5)


def test_an_unsigned_artifact_is_refused_and_the_service_knows(cluster: Cluster, service: RunningService) -> None:
    """A digest that no release key signed is not run, even at the state key's word; the event says so.

    The last of the story: its state is a valid one, so there is no way back from its serial.
    """
    attacker = Attacker(service)
    unsigned = service.json("build", str(EXAMPLES / "flux" / "2.9.0"), "--version", "1.0.0")["components"][0]["digest"]
    objects = list(yaml.safe_load_all(attacker.git("show", f"delivery:{FOLDER}/small/config/1.1.0/objects.yaml")))
    objects[0]["spec"]["ref"]["digest"] = unsigned
    for each in objects:
        each["metadata"]["annotations"]["ums/digest"] = unsigned
    text = yaml.safe_dump_all(objects).encode()
    attacker.commit(lambda _: None, {f"{FOLDER}/small/config/1.1.0/objects.yaml": Raw(text)})
    eventually(
        lambda: cluster.ready("ocirepository", "small-config")[0] == "False",
        timeout=180,
        what="the source is refused",
        every=0.5,
    )
    assert cluster.get("configmap", "small", "small")["data"] == {"v": "2"}
    eventually(lambda: health(service) == "failed", timeout=180, what="the service says so", every=0.5)
