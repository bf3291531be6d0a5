"""The guard: which rights and rules it has, and that what we render ourselves keeps them.

That the API server enforces them is what ``tests/e2e`` shows.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW, PROD, make_component, make_release, make_world
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.fleet import BundleState
from ums.domain.guard import GUARD, POLICY, SOURCE_POLICY, TRUST_POLICY, render_account, render_rules
from ums.domain.oci import Repository
from ums.domain.rendering import offer, render_objects, render_state, render_wrapper
from ums.domain.version import Version
from ums.domain.world import FleetSettings

SETTINGS = FleetSettings("https://ums.example.com", Repository("registry.example.com", "ums"))
OBJECTS = [*render_account(), *render_rules(SETTINGS)]
PINNED = (2, "1c2c531fdfc0")


def named(kind: str, name: str) -> dict[str, Any]:
    """Return an object of the guard."""
    return next(each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name))


def rules(name: str = POLICY, settings: FleetSettings = SETTINGS) -> list[dict[str, str]]:
    """Return the rules of a policy."""
    policy = next(
        each
        for each in render_rules(settings)
        if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"] == name
    )
    found: list[dict[str, str]] = policy["spec"]["validations"]
    return found


def variables() -> dict[str, str]:
    """Return the policy's variables."""
    return {
        each["name"]: each["expression"] for each in named("ValidatingAdmissionPolicy", POLICY)["spec"]["variables"]
    }


def allowed_fields(what: str, path: str = "spec", settings: FleetSettings = SETTINGS) -> set[str]:
    """Return the fields that the policy lists for a kind."""
    (rule,) = (
        rule["expression"]
        for rule in rules(settings=settings)
        if rule["message"] == f"ums-guard: {what} may have no field of {path} that UMS does not write"
    )
    found: list[str] = json.loads(rule.partition(" in ")[2].partition(")")[0])
    return set(found)


def rendered() -> list[dict[str, Any]]:
    """Return every kind of object that we give to a cluster."""
    release = make_release("1.0.0", {"cilium": "1.16.0"})
    state = BundleState(Version("1.0.0"), {"cilium": Version("1.0.0")})
    made = []
    for kind, on_failure in (
        (ComponentKind.MANIFESTS, OnFailure.RETRY),
        *((ComponentKind.CHART, x) for x in OnFailure),
    ):
        component = replace(make_component("cilium", "1.16.0"), kind=kind, on_failure=on_failure)
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


WHAT = {"OCIRepository": "an OCIRepository", "HelmRelease": "a HelmRelease", "Kustomization": "a Kustomization"}
FILLED_IN = {"an OCIRepository": {"provider", "timeout"}, "a wrapper": {"force"}, "a Kustomization": {"force"}}
"""What Flux's definitions fill in; the policy sees it as if it had been written."""


def what_is(made: dict[str, Any]) -> str:
    """Return what the policy's messages call an object."""
    wrapper = made["spec"].get("sourceRef", {}).get("kind") == "GitRepository"
    return "a wrapper" if wrapper else WHAT[made["kind"]]


@pytest.mark.parametrize("what", ["an OCIRepository", "a HelmRelease", "a wrapper", "a Kustomization"])
def test_the_guard_lists_exactly_what_rendering_writes(what: str) -> None:
    """And what depends on settings and on a data plane: a login, and values where the cluster takes any."""
    written = {field for made in rendered() if what_is(made) == what for field in made["spec"]}
    depends = {"an OCIRepository": {"secretRef"}, "a HelmRelease": {"values"}}
    assert allowed_fields(what) == written | FILLED_IN.get(what, set()) | depends.get(what, set())


def test_the_state_has_the_entries_that_rendering_writes() -> None:
    """And is nothing but its data: one that is immutable could not be replaced."""
    state = render_state(PROD, offer(make_world([make_release("1.0.0", {})]), PROD, {}, serial=1, now=NOW))
    assert allowed_fields("the state", "data") == set(state["data"])
    assert allowed_fields("the state", "object") == set(state)


def test_plain_http_is_refused_unless_the_settings_want_it() -> None:
    """Only a registry for tests speaks HTTP."""
    assert "insecure" not in allowed_fields("an OCIRepository")
    assert "insecure" in allowed_fields("an OCIRepository", settings=replace(SETTINGS, plain_http=True))


def test_rules_that_change_are_a_new_version_of_the_guard() -> None:
    """By its version a cluster keeps older rules out: raise GUARD, and write the new digest here."""
    text = canonical_json(render_rules(SETTINGS))
    assert (GUARD, Digest.of(text).short) == PINNED, "the rules differ from those of this version"


def test_sources_come_from_our_registry_by_digest_and_verified() -> None:
    """The prefix ends with a slash: ``…/ums-evil`` is not under ``…/ums``."""
    text = " ".join(rule["expression"] for rule in rules())
    assert "startsWith('oci://registry.example.com/ums/')" in text
    assert ".replace('/', '-') == object.metadata.name" in text, "and from the component that they are named after"
    assert "has(object.spec.ref.digest)" in text
    assert '"secretRef": dyn({"name": "ums-release-keys"})' in text
    assert '"operation": dyn("copy")' in text


def test_a_guard_is_the_same_everywhere_and_reads_whose_cluster_it_is() -> None:
    """Its state and its folder, the name closed on both sides: no other that begins or ends alike."""
    text = " ".join(rule["expression"] for rule in rules())
    assert variables()["plane"] == "namespaceObject.metadata.annotations['ums/pdp']"
    assert "object.data.pdp == variables.plane" in text
    assert "object.spec.path.startsWith('./pdps/' + variables.plane + '/')" in text


def test_a_release_reads_the_owner_s_values_and_nobody_else_s() -> None:
    """In the form that we render, which is demanded: whoever could leave it out could drop what the owner gave."""
    (rule,) = [rule["expression"] for rule in rules() if "object.spec.valuesFrom ==" in rule["expression"]]
    assert rule.count('"name": dyn("ums-values-" + object.metadata.name)') == 2
    assert rule.count('"optional": dyn(true)') == 2


def test_a_cluster_takes_values_by_git_where_it_was_opened_alone() -> None:
    """Nothing but ``false`` opens it: a slip, or an annotation that is missing, leaves it sealed."""
    (rule,) = [rule["expression"] for rule in rules() if "object.spec.values)" in rule["expression"]]
    assert rule.endswith("(!has(object.spec.values) || variables.open)")
    assert variables()["open"].endswith("namespaceObject.metadata.annotations['ums/sealed'] == 'false'")


def test_the_state_we_render_has_every_member_that_the_rules_read() -> None:
    """A member that is missing is an error in CEL, and so a refusal."""
    world = make_world([make_release("1.0.0", {"cilium": "1.16.0"})])
    state = render_state(PROD, offer(world, PROD, {}, serial=1, now=NOW))
    read = {name for rule in rules() for name in re.findall(r"object\.data\.([a-z]+)", rule["expression"])}
    read.discard("all")
    assert read == {"pdp", "serial", "expires"}
    assert read <= set(state["data"])


def test_whoever_reads_the_release_repo_runs_as_the_root_account() -> None:
    """Else somebody's own Kustomization would apply our tree with more rights."""
    (rule,) = rules(SOURCE_POLICY)
    assert "object.spec.serviceAccountName == 'ums-root'" in rule["expression"]
    watched = named("ValidatingAdmissionPolicy", SOURCE_POLICY)["spec"]["matchConstraints"]["resourceRules"]
    assert [each["resources"] for each in watched] == [["kustomizations"]]


def test_older_keys_and_rules_are_refused_wherever_kubernetes_asks() -> None:
    """Of the policies themselves it asks no policy, so everything that comes with them carries their version."""
    watched = named("ValidatingAdmissionPolicy", TRUST_POLICY)["spec"]["matchConstraints"]["resourceRules"]
    assert {each["resources"][0]: set(each["resourceNames"]) for each in watched} == {
        "configmaps": {"ums-trust"},
        "secrets": {"ums-release-keys", "ums-state-keys"},
        "roles": {"ums-root"},
    }
    assert any("metadata.annotations['ums/trust']" in rule["expression"] for rule in rules(TRUST_POLICY))


def test_the_account_writes_no_subresource() -> None:
    """A status tells controllers what is installed; the policy does not look at one."""
    assert not any("/" in resource for rule in named("Role", "ums-root")["rules"] for resource in rule["resources"])
