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
    allow_pruning,
    content,
    evil,
    health,
    leave_out,
    root,
    small_bundle,
    told,
)
from tests.e2e.cluster import Cluster
from tests.processes import eventually
from tests.running_service import EXAMPLES, RunningService
from ums.adapters.ssh_signature import SSHStateSigner
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


OWNER_VALUES: list[dict[str, Any]] = [
    {"kind": kind, "name": "ums-values-evil", "valuesKey": "values.yaml", "optional": True}
    for kind in ("ConfigMap", "Secret")
]


def release(**fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return a HelmRelease of the attacker's, right but for what is given."""
    reference = {"kind": "OCIRepository", "name": "evil"}
    spec = {"interval": "1m", "chartRef": reference, "valuesFrom": OWNER_VALUES, **fields}
    given = {name: value for name, value in spec.items() if value is not None}
    return evil("HelmRelease", "helm.toolkit.fluxcd.io/v2", "evil", spec=given)


def source(**fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return an OCIRepository of the attacker's, right but for what is given."""
    spec = {
        "interval": "1m",
        "url": "PREFIX/evil",
        "ref": {"digest": "sha256:" + "0" * 64},
        "verify": {"provider": "cosign", "secretRef": {"name": "ums-release-keys"}},
        "layerSelector": {"operation": "copy"},
        **fields,
    }
    given = {name: value for name, value in spec.items() if value is not None}
    return evil("OCIRepository", "source.toolkit.fluxcd.io/v1", "evil", spec=given)


def inner(**fields: Any) -> Raw:  # noqa: ANN401 - any YAML value
    """Return a Kustomization over an artifact, right but for what is given."""
    reference = {"kind": "OCIRepository", "name": "evil"}
    spec = {"interval": "1m", "prune": True, "path": "./", "sourceRef": reference, **fields}
    return evil("Kustomization", "kustomize.toolkit.fluxcd.io/v1", "evil-content", spec=spec)


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
    "substitutions": (inner(postBuild={"substitute": {"image": "evil"}}), "substitutions"),
    "other images": (inner(images=[{"name": "app", "newName": "evil"}]), "no patches, images"),
    "another service account": (inner(serviceAccountName="admin"), "as it is"),
    "another cluster": (inner(kubeConfig={"secretRef": {"name": "evil"}}), "other cluster"),
    "post-renderers": (release(postRenderers=[{"kustomize": {"images": [{"name": "app"}]}}]), "post-renderers"),
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
    "a chart as another account": (release(serviceAccountName="admin"), "other cluster or account"),
    "a chart in another cluster": (release(kubeConfig={"secretRef": {"name": "evil"}}), "other cluster or account"),
    "a chart from elsewhere": (
        evil(
            "HelmRelease",
            "helm.toolkit.fluxcd.io/v2",
            "evil",
            spec={
                "interval": "1m",
                "chart": {"spec": {"chart": "x", "sourceRef": {"kind": "HelmRepository", "name": "x"}}},
            },
        ),
        "must install the OCIRepository",
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
    "a source whose content is not checked": (source(layerSelector={"operation": "extract"}), "must copy its layer"),
    "patches": (
        inner(patches=[{"patch": "- op: remove\n  path: /spec", "target": {"kind": "Deployment"}}]),
        "no patches",
    ),
    "a wrapper that runs as the controller itself": (
        evil(
            "Kustomization",
            "kustomize.toolkit.fluxcd.io/v1",
            "evil",
            spec={
                "interval": "1m",
                "prune": True,
                "path": f"./{FOLDER}/evil",
                "sourceRef": {"kind": "GitRepository", "name": "ums"},
            },
        ),
        # Two policies refuse it, and the API server names either: what may read the repository, and as whom.
        "as ums-root",
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


def test_what_no_earlier_state_marked_is_not_deleted(cluster: Cluster, attacker: Attacker) -> None:
    """Pruning is allowed in one state, and the next leaves the component out: the rule on deletion is what stays."""
    good = {
        name: Raw(yaml.safe_dump(attacker.read(name)).encode()) for name in ("kustomization.yaml", "small-config.yaml")
    }
    allow_pruning(attacker, cluster)
    leave_out(attacker)
    message = cluster.wait_message("kustomization", "ums-root", "did not mark for removal")
    assert cluster.exists("kustomization", "small-config")
    assert content(cluster) == "1"
    told("a component that is left out, unmarked", "the API server, at the guard's word", message)
    # Its serial was taken: what is well again has to be newer.
    attacker.commit(lambda _: None, {f"{FOLDER}/{name}": text for name, text in good.items()})
    eventually(lambda: root(cluster)[0] == "True", timeout=180, what="the root is well again", every=0.5)


def test_an_older_commit_however_validly_signed_brings_nothing_back(
    cluster: Cluster, service: RunningService, tmp_path: Path
) -> None:
    """The branch forced back to an earlier commit of ours: neither the root nor a wrapper follows it."""
    attacker = Attacker(service)
    old = attacker.git("rev-parse", "delivery")
    service.publish(small_bundle(tmp_path, value="2"), "1.1.0")
    for channel in ("edge", "candidate", "stable"):
        service.ums("promote", "small@1.1.0", "--to", channel)
    eventually(lambda: health(service) == "healthy", timeout=180, what="1.1.0 is healthy", every=0.5)
    new = attacker.git("rev-parse", "delivery")
    attacker.restore(old)
    cluster.wait_message("kustomization", "ums-root", "serial must rise")
    cluster.wait_message("kustomization", "small-config", "no such file or directory")
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
