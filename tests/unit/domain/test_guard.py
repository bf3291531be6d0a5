"""The guard: which rights and rules it has, and that what we render ourselves keeps them.

That the API server enforces them is what ``tests/e2e`` shows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_component, make_release, make_world
from ums.domain.bundle import ComponentKind
from ums.domain.fleet import BundleState
from ums.domain.guard import POLICY, SOURCE_POLICY, TRUST_POLICY, render_account, render_rules
from ums.domain.oci import Repository
from ums.domain.rendering import offer, render_objects, render_state, render_wrapper
from ums.domain.version import Version
from ums.domain.world import FleetSettings

SETTINGS = FleetSettings("https://ums.example.com", Repository("registry.example.com", "ums"))
GUARD = [*render_account(), *render_rules(SETTINGS)]
RESOURCES = {"OCIRepository": "ocirepositories", "HelmRelease": "helmreleases", "Kustomization": "kustomizations"}


def named(kind: str, name: str) -> dict[str, Any]:
    """Return an object of the guard."""
    return next(each for each in GUARD if (each["kind"], each["metadata"]["name"]) == (kind, name))


def rules(name: str = POLICY, settings: FleetSettings = SETTINGS) -> list[dict[str, str]]:
    """Return the rules of a policy."""
    policy = next(
        each
        for each in render_rules(settings)
        if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"] == name
    )
    found: list[dict[str, str]] = policy["spec"]["validations"]
    return found


def forbidden_fields(resource: str, settings: FleetSettings = SETTINGS) -> set[str]:
    """Return the fields of a spec that the policy wants absent."""
    about = [rule["expression"] for rule in rules(settings=settings) if f"!= '{resource}'" in rule["expression"]]
    found = {name for text in about for name in re.findall(r"!has\(object\.spec\.([a-zA-Z.]+)\)", text)}
    # Each of these may be there on a condition.
    conditional = {"secretRef", "provider", "force", "sourceRef.namespace", "chartRef.namespace", "values"}
    return found - {*conditional, "serviceAccountName"}


def rendered() -> list[dict[str, Any]]:
    """Return every kind of object that we give to a cluster."""
    release = make_release("1.0.0", {"cilium": "1.16.0"})
    state = BundleState(Version("1.0.0"), {"cilium": Version("1.0.0")})
    made = []
    for kind in ComponentKind:
        component = replace(make_component("cilium", "1.16.0"), kind=kind)
        made += [
            *render_objects("platform", component, SETTINGS),
            render_wrapper(PROD, release, component, state, SETTINGS),
        ]
    return made


def test_a_policy_fails_closed_and_denies() -> None:
    """A policy that is not bound, or only warns, is none."""
    for name in (POLICY, SOURCE_POLICY, TRUST_POLICY):
        assert named("ValidatingAdmissionPolicy", name)["spec"]["failurePolicy"] == "Fail"
        binding = named("ValidatingAdmissionPolicyBinding", name)["spec"]
        assert binding == {"policyName": name, "validationActions": ["Deny"]}


def test_each_rule_says_who_speaks_and_looks_like_a_lack_of_rights() -> None:
    """Flux shows the message: people must find out what was tried."""
    messages = [rule["message"] for name in (POLICY, SOURCE_POLICY, TRUST_POLICY) for rule in rules(name)]
    assert len(set(messages)) == len(messages)
    assert all(message.startswith("ums-guard: ") for message in messages)
    assert {rule["reason"] for rule in rules()} == {"Forbidden"}


def test_the_account_may_write_four_kinds_in_one_namespace_and_delete_no_collection() -> None:
    """No CRDs, no ClusterRoles, no Namespaces, no Secrets: not even before a dry run."""
    role = named("Role", "ums-root")
    assert role["metadata"]["namespace"] == "ums-system"
    allowed = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert allowed == {"ocirepositories", "helmreleases", "kustomizations", "configmaps"}
    assert not any("deletecollection" in rule["verbs"] or "*" in rule["verbs"] for rule in role["rules"])
    state = next(rule for rule in role["rules"] if rule["resources"] == ["configmaps"])
    assert state["resourceNames"] == ["ums-state"]
    assert "delete" not in state["verbs"]


def test_beyond_its_namespace_the_account_only_reads() -> None:
    """To see whether workloads are healthy; Secrets and ConfigMaps are none."""
    cluster_rules = named("ClusterRole", "ums-root-health")["rules"]
    assert {verb for rule in cluster_rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    core = next(rule for rule in cluster_rules if rule["apiGroups"] == [""])
    assert not {"secrets", "configmaps", "*"} & set(core["resources"])


def test_the_policy_watches_all_that_the_account_may_write() -> None:
    """A right without a rule would be a hole."""
    watched = named("ValidatingAdmissionPolicy", POLICY)["spec"]["matchConstraints"]["resourceRules"]
    role = named("Role", "ums-root")
    for rule in role["rules"]:
        (match,) = [each for each in watched if each["resources"] == rule["resources"]]
        assert match["apiGroups"] == rule["apiGroups"]
        assert set(match["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    condition = named("ValidatingAdmissionPolicy", POLICY)["spec"]["matchConditions"][0]["expression"]
    assert "system:serviceaccount:ums-system:ums-root" in condition


@pytest.mark.parametrize("made", rendered(), ids=lambda made: f"{made['kind']}-{made['metadata']['name']}")
def test_what_we_render_has_no_field_that_the_guard_refuses(made: dict[str, Any]) -> None:
    """Else every update would be refused by our own rule."""
    refused = forbidden_fields(RESOURCES[made["kind"]])
    assert refused, "the rules about this kind were found"
    assert not refused & set(made["spec"])


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        ("ocirepositories", "certSecretRef"),
        ("ocirepositories", "suspend"),
        ("ocirepositories", "insecure"),
        ("helmreleases", "postRenderers"),
        ("helmreleases", "kubeConfig"),
        ("helmreleases", "suspend"),
        ("kustomizations", "patches"),
        ("kustomizations", "images"),
        ("kustomizations", "postBuild"),
        ("kustomizations", "kubeConfig"),
        ("kustomizations", "suspend"),
    ],
)
def test_what_would_change_signed_content_is_refused(resource: str, field: str) -> None:
    """Whoever has the state key alone brings no code and stops nothing."""
    assert field in forbidden_fields(resource)


def test_plain_http_is_refused_unless_the_settings_want_it() -> None:
    """Only a registry for tests speaks HTTP."""
    assert "insecure" not in forbidden_fields("ocirepositories", replace(SETTINGS, plain_http=True))


def test_sources_come_from_our_registry_by_digest_and_verified() -> None:
    """The prefix ends with a slash: ``…/ums-evil`` is not under ``…/ums``."""
    text = " ".join(rule["expression"] for rule in rules())
    assert "startsWith('oci://registry.example.com/ums/')" in text
    assert "has(object.spec.ref.digest)" in text
    assert "object.spec.verify.secretRef.name == 'ums-release-keys'" in text
    assert "object.spec.layerSelector.operation == 'copy'" in text


def test_a_guard_is_the_same_everywhere_and_reads_whose_cluster_it_is() -> None:
    """Its state and its folder, the name closed on both sides: no other that begins or ends alike."""
    text = " ".join(rule["expression"] for rule in rules())
    whose = "namespaceObject.metadata.annotations['ums/pdp']"
    assert f"object.data.pdp == {whose}" in text
    assert f"object.spec.path.startsWith('./pdps/' + {whose} + '/')" in text
    assert "!object.spec.path.contains('..')" in text


def test_a_release_reads_the_owner_s_values_and_nobody_else_s() -> None:
    """In the form that we render, which is demanded: whoever could leave it out could drop what the owner gave."""
    (rule,) = [rule["expression"] for rule in rules() if "valuesFrom" in rule["expression"]]
    (made,) = [each for each in rendered() if each["kind"] == "HelmRelease"]
    first, second = made["spec"]["valuesFrom"]
    for number, found in enumerate((first, second)):
        assert f"object.spec.valuesFrom[{number}].kind == '{found['kind']}'" in rule
        assert found["name"] == f"ums-values-{made['metadata']['name']}"
        assert found["optional"] is True
        assert f"v.valuesKey == '{found['valuesKey']}'" in rule
        assert found.keys() == {"kind", "name", "valuesKey", "optional"}
    assert "has(object.spec.valuesFrom) && object.spec.valuesFrom.size() == 2" in rule
    assert "v.name == 'ums-values-' + object.metadata.name" in rule
    assert "v.optional && !has(v.targetPath) && !has(v.literal)" in rule


def test_a_sealed_cluster_takes_no_values_by_git() -> None:
    """It is sealed by whatever its namespace says but ``false``: a slip closes."""
    (rule,) = [rule["expression"] for rule in rules() if "object.spec.values)" in rule["expression"]]
    assert "!has(object.spec.values) || !(has(namespaceObject.metadata.annotations)" in rule
    assert "namespaceObject.metadata.annotations['ums/sealed'] != 'false'" in rule


def test_the_state_we_render_has_every_member_that_the_rules_read() -> None:
    """A member that is missing is an error in CEL, and so a refusal."""
    world = make_world([make_release("1.0.0", {"cilium": "1.16.0"})])
    state = render_state(PROD, offer(world, PROD, {}, serial=1, now=NOW))
    read = {name for rule in rules() for name in re.findall(r"object\.data\.([a-z]+)", rule["expression"])}
    assert read == {"pdp", "serial", "expires"}
    assert read <= set(state["data"])


def test_whoever_reads_the_release_repo_runs_as_the_root_account() -> None:
    """Else somebody's own Kustomization would apply our tree with more rights."""
    (rule,) = rules(SOURCE_POLICY)
    assert "object.spec.serviceAccountName == 'ums-root'" in rule["expression"]
    watched = named("ValidatingAdmissionPolicy", SOURCE_POLICY)["spec"]["matchConstraints"]["resourceRules"]
    assert [each["resources"] for each in watched] == [["kustomizations"]]
