"""The YAML that connects a cluster: what is in it, and in which order it protects."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_release, make_world
from ums.domain.bootstrapping import Credentials, check_cluster, how_to_apply, preamble, render_bootstrap
from ums.domain.errors import ConflictError, InvalidInputError, RefusedError
from ums.domain.fleet import DataPlane, Facts, Registration
from ums.domain.names import PDPName
from ums.domain.rendering import offer, render_state
from ums.domain.reporter import render_reporter
from ums.domain.trust import KeylessSigner, KeySigner, Signatory, TrustPolicy
from ums.domain.version import Version
from ums.domain.world import Topology, World

CREDENTIALS = Credentials("acme/prod", "a-password", "an-event-key")


def make_trusting_world() -> World:
    """Return a world with two release keys, a keyless signer and two state keys."""
    world = make_world([make_release("1.0.0", {"cilium": "1.16.0"})])
    signers: dict[str, Signatory] = {
        "ci": KeySigner("ci", "PEM of ci"),
        "ops": KeySigner("ops", "PEM of ops"),
        "workflow": KeylessSigner("workflow", "https://ci.example.com/job", "https://issuer.example.com"),
    }
    return replace(world, trust=TrustPolicy(signers, world.trust.rules, ("ssh-ed25519 ONE", "ssh-ed25519 TWO")))


def bootstrap(**settings: object) -> list[dict[str, Any]]:
    """Return the objects."""
    world = make_trusting_world()
    world = replace(world, settings=replace(world.settings, **settings))  # type: ignore[arg-type] # any of its fields
    return render_bootstrap(world, PROD, offer(world, PROD, {}, serial=5, now=NOW), CREDENTIALS)


def reporter(
    name: PDPName = PROD, image: str = "registry.example.com/ums:1.0.0", **settings: object
) -> list[dict[str, Any]]:
    """Return what a reporter adds."""
    world = make_trusting_world()
    world = replace(world, settings=replace(world.settings, **settings))  # type: ignore[arg-type] # any of its fields
    return render_reporter(name, world.settings, image=image, secret="ums-events")  # noqa: S106 - its name


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return one object."""
    return next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))


def test_protection_comes_before_what_it_protects_from() -> None:
    """Applied in order and cut off anywhere, nothing is followed without its guard, keys and state."""
    order = [(each["kind"], each["metadata"]["name"]) for each in bootstrap()]
    stages = [
        ("Namespace", "ums-system"),
        ("ValidatingAdmissionPolicyBinding", "ums-guard"),
        ("ValidatingAdmissionPolicyBinding", "ums-guard-source"),
        ("ValidatingAdmissionPolicyBinding", "ums-guard-trust"),
        ("Secret", "ums-state-keys"),
        ("ConfigMap", "ums-state"),
        ("GitRepository", "ums"),
        ("Kustomization", "ums-root"),
    ]
    assert order[0] == stages[0]
    assert sorted(stages, key=order.index) == stages
    assert len(set(order)) == len(order)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ums-git", {"username": "acme/prod", "password": "a-password"}),
        ("ums-events", {"token": "an-event-key"}),
    ],
)
def test_each_secret_has_what_flux_reads_from_it(name: str, content: dict[str, str]) -> None:
    """A user and a password for Git, and the key of events."""
    assert find(bootstrap(), "Secret", name)["stringData"] == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ums-release-keys", {"ci.pub": "PEM of ci", "ops.pub": "PEM of ops"}),
        ("ums-state-keys", {"state-1.sshpub": "ssh-ed25519 ONE", "state-2.sshpub": "ssh-ed25519 TWO"}),
    ],
)
def test_keys_have_the_suffixes_that_flux_looks_for(name: str, content: dict[str, str]) -> None:
    """The offline state key is trusted from the start; a keyless signer is no key."""
    data = find(bootstrap(), "Secret", name)["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == content


def test_the_namespace_says_whose_cluster_it_is() -> None:
    """The guard reads it there; nothing that comes by Git may write it."""
    annotations = find(bootstrap(), "Namespace", "ums-system")["metadata"]["annotations"]
    assert annotations == {"ums/pdp": "acme/prod", "ums/sealed": "true"}


def test_a_registry_login_is_there_only_where_it_is_needed() -> None:
    """And in Docker's form."""
    assert not any(each["metadata"]["name"] == "ums-registry" for each in bootstrap())
    secret = find(bootstrap(registry_login=True), "Secret", "ums-registry")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    login = json.loads(secret["stringData"][".dockerconfigjson"])["auths"]["registry.example.com"]
    assert (login["username"], login["password"]) == ("acme/prod", "a-password")
    assert base64.b64decode(login["auth"]) == b"acme/prod:a-password"


def test_the_first_pull_cannot_be_an_old_one() -> None:
    """The state is among the objects."""
    world = make_trusting_world()
    state = find(bootstrap(), "ConfigMap", "ums-state")
    assert state == render_state(PROD, offer(world, PROD, {}, serial=5, now=NOW))


@pytest.mark.parametrize(
    ("topology", "remote"),
    [
        (Topology.VIEW, {"url": "https://ums.example.com/git/acme/prod", "ref": {"branch": "view"}}),
        (
            Topology.SHARED,
            {
                "url": "https://ums.example.com/git/release-repo",
                "ref": {"branch": "delivery"},
                "sparseCheckout": ["pdps/acme/prod"],
            },
        ),
    ],
)
def test_only_signed_commits_are_followed(topology: Topology, remote: dict[str, Any]) -> None:
    """Of its own remote or of the shared one, and of that only this data plane's folder, which is at the same path."""
    objects = bootstrap(url="https://ums.example.com", topology=topology)
    source = find(objects, "GitRepository", "ums")["spec"]
    assert {key: source[key] for key in remote} == remote
    assert source["verify"] == {"mode": "HEAD", "secretRef": {"name": "ums-state-keys"}}
    assert source["secretRef"] == {"name": "ums-git"}
    root = find(objects, "Kustomization", "ums-root")["spec"]
    assert root["path"] == "./pdps/acme/prod"
    assert root["serviceAccountName"] == "ums-root"
    assert (root["wait"], root["prune"], root["deletionPolicy"]) == (True, True, "Orphan")


def test_a_data_plane_can_be_told_to_follow_its_view_alone() -> None:
    """In a fleet that shares the release repo; the other way round its credential would not open it."""
    world = make_trusting_world()
    desired = offer(world, PROD, {}, serial=5, now=NOW)
    with pytest.raises(ConflictError, match="view alone"):
        render_bootstrap(world, PROD, desired, CREDENTIALS, topology=Topology.SHARED)
    world = replace(world, settings=replace(world.settings, topology=Topology.SHARED))
    objects = render_bootstrap(world, PROD, desired, CREDENTIALS, topology=Topology.VIEW)
    assert find(objects, "GitRepository", "ums")["spec"]["ref"] == {"branch": "view"}


def test_who_shares_the_release_repo_at_a_host_brings_a_login_of_its_own() -> None:
    """None of ours opens anything there."""
    world = make_trusting_world()
    desired, host = offer(world, PROD, {}, serial=5, now=NOW), "https://git.example.com/acme/release-repo.git"
    objects = render_bootstrap(world, PROD, desired, CREDENTIALS, topology=Topology.SHARED, host=host)
    source = find(objects, "GitRepository", "ums")["spec"]
    assert (source["url"], source["ref"], source["secretRef"]) == (
        host,
        {"branch": "delivery"},
        {"name": "ums-git-host"},
    )
    followed = find(render_bootstrap(world, PROD, desired, CREDENTIALS, host=host), "GitRepository", "ums")["spec"]
    assert followed["ref"] == {"branch": "view"}, "views stay with the service"


def sealing(registration: Registration, *, unsealed: bool) -> dict[str, str]:
    """Return what the namespace says."""
    world = make_trusting_world()
    world = world.with_plane(replace(world.plane(PROD), registration=registration))
    desired = offer(world, PROD, {}, serial=5, now=NOW)
    objects = render_bootstrap(world, PROD, desired, CREDENTIALS, unsealed=unsealed)
    found: dict[str, str] = find(objects, "Namespace", "ums-system")["metadata"]["annotations"]
    return found


@pytest.mark.parametrize(
    ("registered", "unsealed", "says"), [(True, False, "true"), (False, False, "true"), (False, True, "false")]
)
def test_a_cluster_is_sealed_unless_both_open_it(*, registered: bool, unsealed: bool, says: str) -> None:
    """The registration, which is in Git, and whoever bootstraps, who need not trust Git for that."""
    registration = Registration(PROD, "stable", ("platform",), sealed=registered)
    assert sealing(registration, unsealed=unsealed)["ums/sealed"] == says


def test_what_a_sealed_registration_says_is_not_opened_by_the_way() -> None:
    """Else the next bootstrap without it would seal the cluster again."""
    with pytest.raises(ConflictError, match="cannot be bootstrapped unsealed") as refused:
        sealing(Registration(PROD, "stable", ("platform",)), unsealed=True)
    assert "--no-sealed" in refused.value.hint


def test_what_has_values_cannot_be_sealed() -> None:
    """Its cluster would refuse all of its states."""
    values = {"platform": {"cilium": {"a": 1}}}
    registration = Registration(PROD, "stable", ("platform",), values=values, sealed=False)
    assert sealing(registration, unsealed=True)["ums/sealed"] == "false"
    with pytest.raises(ConflictError, match="cannot be sealed") as refused:
        sealing(registration, unsealed=False)
    assert "--no-values" in refused.value.hint


@pytest.mark.parametrize(
    ("registered", "reported", "old"),
    [
        (Facts(), Facts(), []),
        (Facts(Version("1.30.0"), Version("2.9.0")), Facts(), []),
        (Facts(Version("1.36.2")), Facts(), []),
        (Facts(Version("1.29.9"), Version("2.9.0")), Facts(), ["kubernetes"]),
        (Facts(flux=Version("2.8.3")), Facts(), ["flux"]),
        (Facts(), Facts(Version("1.29.9"), Version("2.8.3")), ["kubernetes", "flux"]),
        (Facts(Version("1.31.0")), Facts(Version("1.29.9")), []),
        (Facts(Version("1.29.0")), Facts(Version("1.31.0")), []),
    ],
)
def test_a_cluster_that_is_known_to_be_too_old_is_refused(registered: Facts, reported: Facts, old: list[str]) -> None:
    """All that is too old at once; the newest that anybody said counts, or an upgrade could never be told of."""
    plane = DataPlane(Registration(PROD, "stable", ("platform",), facts=registered), reported_facts=reported)
    if not old:
        check_cluster(plane)
        return
    with pytest.raises(RefusedError) as refused:
        check_cluster(plane)
    assert [each.code for each in refused.value.reasons] == [f"requires-{name}" for name in old]
    for name, reason in zip(old, refused.value.reasons, strict=True):
        assert "and needs" in reason.message
        assert f"ums pdp set acme/prod --{name} VERSION" in (reason.who_can_override or "")
        assert f"--{name}" in refused.value.hint


def test_whoever_applies_it_is_told_what_it_needs() -> None:
    """And the command that begins with the question whether there can be a guard."""
    text = "\n".join(preamble(PROD, "my plane.yaml"))
    assert "Kubernetes >= 1.30.0 and Flux >= 2.9.0" in text
    assert how_to_apply("my plane.yaml").endswith(" && kubectl apply -f 'my plane.yaml'")
    assert how_to_apply("my plane.yaml") in text


def test_events_come_back_signed_and_about_our_objects_alone() -> None:
    """Helm's logs would be in a HelmRelease's events, and must not leave the cluster."""
    objects = bootstrap(url="https://ums.example.com")
    provider = find(objects, "Provider", "ums")["spec"]
    assert provider["type"] == "generic-hmac"
    assert provider["address"] == "https://ums.example.com/api/v1/pdps/acme/prod/events"
    sources = find(objects, "Alert", "ums")["spec"]["eventSources"]
    assert {each["kind"] for each in sources} == {"GitRepository", "Kustomization"}
    assert all(each["name"] != "*" or each["matchLabels"] for each in sources)


def test_a_reporter_is_there_only_where_it_was_asked_for() -> None:
    """Behind all the rest, and its key is the one of events."""
    world = make_trusting_world()
    desired = offer(world, PROD, {}, serial=5, now=NOW)
    without = render_bootstrap(world, PROD, desired, CREDENTIALS)
    image = "registry.example.com/ums:1.0.0"
    assert render_bootstrap(world, PROD, desired, CREDENTIALS, reporter=image) == [*without, *reporter()]
    pod = find(reporter(), "CronJob", "ums-reporter")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert find(without, "Secret", pod["volumes"][0]["secret"]["secretName"])["stringData"] == {"token": "an-event-key"}


def test_a_reporter_may_read_pods_and_deployments_of_flux_and_nothing_else() -> None:
    """Every rule that there is, and whom it is for."""
    objects = reporter()
    rules = {(each["kind"], each["metadata"].get("namespace")): each["rules"] for each in objects if "rules" in each}
    assert rules == {
        ("ClusterRole", None): [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"nonResourceURLs": ["/version"], "verbs": ["get"]},
        ],
        ("Role", "flux-system"): [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}],
    }
    bound = [each for each in objects if "roleRef" in each]
    assert [each["roleRef"]["kind"] for each in bound] == ["ClusterRole", "Role"]
    account = {"kind": "ServiceAccount", "name": "ums-reporter", "namespace": "ums-system"}
    assert all(each["subjects"] == [account] for each in bound)


def test_a_reporter_runs_with_as_little_as_it_can() -> None:
    """As the restricted Pod Security Standard asks, within limits, and for two minutes at most."""
    objects = reporter(registry_login=True)
    assert find(objects, "ServiceAccount", "ums-reporter")["automountServiceAccountToken"] is False
    spec = find(objects, "CronJob", "ums-reporter")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] == 120
    pod = job["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", True)
    assert pod["imagePullSecrets"] == [{"name": "ums-registry"}]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert container["args"] == ["report", "--pdp", "acme/prod", "--key-file", "/var/run/ums/token"]
    assert "imagePullSecrets" not in json.dumps(reporter())


def test_reporters_do_not_come_all_at_once() -> None:
    """Each in minutes of its own, always the same ones, four times an hour."""
    schedules = []
    for number in range(300):
        (spec,) = (each["spec"] for each in reporter(PDPName("acme", f"plane-{number}")) if each["kind"] == "CronJob")
        schedules.append(spec["schedule"])
        minutes = [int(minute) for minute in spec["schedule"].split()[0].split(",")]
        assert [later - minutes[0] for later in minutes] == [0, 15, 30, 45]
        assert minutes[-1] < 60
    assert len(set(schedules)) == 15
    assert max(map(schedules.count, schedules)) < 60


@pytest.mark.parametrize("image", ["", "-x", "a b", "a\nb", "A", "x" * 513])
def test_what_is_no_image_is_refused(image: str) -> None:
    """It would be written into a cluster's YAML."""
    with pytest.raises(InvalidInputError):
        reporter(image=image)
