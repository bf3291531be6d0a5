"""The YAML that connects a cluster: what is in it, and in which order it protects."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_release, make_world
from ums.domain.bootstrapping import Credentials, render_bootstrap
from ums.domain.rendering import offer, render_state
from ums.domain.trust import KeylessSigner, KeySigner, Signatory, TrustPolicy
from ums.domain.world import World

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


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return one object."""
    return next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))


def test_protection_comes_before_what_it_protects_from() -> None:
    """Applied in order and cut off anywhere, nothing is followed without its guard, keys and state."""
    order = [(each["kind"], each["metadata"]["name"]) for each in bootstrap()]
    stages = [
        ("Namespace", "ums-system"),
        ("Secret", "ums-state-keys"),
        ("ValidatingAdmissionPolicyBinding", "ums-guard"),
        ("ValidatingAdmissionPolicyBinding", "ums-guard-source"),
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
        ("ums-release-keys", {"ci.pub": "PEM of ci", "ops.pub": "PEM of ops"}),
        ("ums-state-keys", {"state-1.sshpub": "ssh-ed25519 ONE", "state-2.sshpub": "ssh-ed25519 TWO"}),
        ("ums-git", {"username": "acme/prod", "password": "a-password"}),
        ("ums-events", {"token": "an-event-key"}),
    ],
)
def test_each_secret_has_what_flux_reads_from_it(name: str, content: dict[str, str]) -> None:
    """Keys under the suffixes that Flux looks for; the offline state key is trusted from the start."""
    assert find(bootstrap(), "Secret", name)["stringData"] == content


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


def test_only_signed_commits_of_the_delivery_branch_are_followed() -> None:
    """And of those, only this data plane's folder."""
    objects = bootstrap(url="https://ums.example.com")
    source = find(objects, "GitRepository", "ums")["spec"]
    assert source["url"] == "https://ums.example.com/git/release-repo"
    assert source["ref"] == {"branch": "delivery"}
    assert source["verify"] == {"mode": "HEAD", "secretRef": {"name": "ums-state-keys"}}
    assert source["secretRef"] == {"name": "ums-git"}
    assert source["sparseCheckout"] == ["pdps/acme/prod"]
    root = find(objects, "Kustomization", "ums-root")["spec"]
    assert root["path"] == "./pdps/acme/prod"
    assert root["serviceAccountName"] == "ums-root"
    assert (root["wait"], root["prune"], root["deletionPolicy"]) == (True, True, "Orphan")


def test_events_come_back_signed_and_about_our_objects_alone() -> None:
    """Helm's logs would be in a HelmRelease's events, and must not leave the cluster."""
    objects = bootstrap(url="https://ums.example.com")
    provider = find(objects, "Provider", "ums")["spec"]
    assert provider["type"] == "generic-hmac"
    assert provider["address"] == "https://ums.example.com/api/v1/pdps/acme/prod/events"
    sources = find(objects, "Alert", "ums")["spec"]["eventSources"]
    assert {each["kind"] for each in sources} == {"GitRepository", "Kustomization"}
    assert all(each["name"] != "*" or each["matchLabels"] for each in sources)
