"""What Flux is given: by digest, verified, truthful about health, and gentle in removing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.test_values import VALUES as JSON_VALUES
from tests.unit.domain.worlds import NOW, PROD, make_component, make_release, make_world, settle
from ums.adapters._release_files import desired_from_state, to_bytes
from ums.adapters._yaml import dump
from ums.domain import layout
from ums.domain.bundle import ComponentKind, OnFailure
from ums.domain.canonical import canonical_json
from ums.domain.errors import NotFoundError
from ums.domain.fleet import BundleState, DataPlane, Desired, Registration
from ums.domain.names import ComponentName, PDPName
from ums.domain.oci import Repository
from ums.domain.release import Component
from ums.domain.rendering import (
    PRUNE_ANNOTATION,
    REMOVING_ANNOTATION,
    offer,
    render_objects,
    render_plane,
    render_planes,
    render_state,
    render_values,
    render_wrapper,
)
from ums.domain.values import values_text
from ums.domain.version import Version
from ums.domain.world import CopyOf, Document, FleetSettings

SETTINGS = FleetSettings("https://ums.example.com", Repository("registry.example.com", "ums"))
CHART = make_component("cilium", "1.16.0")
MANIFESTS = replace(CHART, kind=ComponentKind.MANIFESTS, release_name="", storage_namespace="", workloads=())
FIRST = make_release("1.0.0", {"cilium": "1.16.0", "gateway": "2.0.0"})
SECOND = make_release("1.1.0", {"cilium": "1.16.1", "gateway": "2.0.0"})
STATE = BundleState(Version("1.0.0"), {"cilium": Version("1.0.0"), "gateway": Version("1.0.0")})


def wrapper(component: Component = CHART, state: BundleState = STATE) -> dict[str, Any]:
    """Return the wrapper of a component."""
    return render_wrapper(PROD, FIRST, component, state, SETTINGS)


@pytest.mark.parametrize("component", [CHART, MANIFESTS], ids=["chart", "manifests"])
def test_a_source_names_a_digest_and_demands_its_signature(component: Component) -> None:
    """Never a tag: whoever writes to the registry could move it."""
    source, _ = render_objects("platform", component, SETTINGS)
    assert source["kind"] == "OCIRepository"
    assert source["spec"]["url"] == "oci://registry.example.com/ums/platform/cilium"
    assert source["spec"]["ref"] == {"digest": str(component.digest)}
    assert source["spec"]["verify"] == {"provider": "cosign", "secretRef": {"name": "ums-release-keys"}}
    assert source["spec"]["layerSelector"]["operation"] == "copy", "extracted, its digest would not be checked"


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"registry_login": True}, "secretRef", {"name": "ums-registry"}),
        ({"plain_http": True}, "insecure", True),
    ],
)
def test_a_source_has_a_login_or_plain_http_only_where_the_settings_say_so(
    change: dict[str, bool], field: str, value: object
) -> None:
    """The guard refuses what is there without need."""
    plain, _ = render_objects("platform", CHART, SETTINGS)
    changed, _ = render_objects("platform", CHART, replace(SETTINGS, **change))  # type: ignore[arg-type] # two booleans
    assert field not in plain["spec"]
    assert changed["spec"][field] == value


def test_a_chart_takes_over_the_release_that_was_installed_by_hand() -> None:
    """Under the same name, stored in the same namespace, its CRDs kept up to date."""
    chart = replace(CHART, release_name="my-cilium", namespace="kube-system", storage_namespace="kube-system")
    source, release = render_objects("platform", chart, SETTINGS)
    spec = release["spec"]
    assert (spec["releaseName"], spec["targetNamespace"], spec["storageNamespace"]) == (
        "my-cilium",
        "kube-system",
        "kube-system",
    )
    assert spec["chartRef"] == {"kind": "OCIRepository", "name": source["metadata"]["name"]}
    assert spec["install"]["crds"] == spec["upgrade"]["crds"] == "CreateReplace"


def test_manifests_are_applied_from_their_own_artifact() -> None:
    """By a Kustomization that is not the wrapper, and waits."""
    source, applier = render_objects("platform", MANIFESTS, SETTINGS)
    assert applier["kind"] == "Kustomization"
    assert applier["metadata"]["name"] != wrapper(MANIFESTS)["metadata"]["name"]
    assert applier["spec"]["sourceRef"] == {"kind": "OCIRepository", "name": source["metadata"]["name"]}
    assert (applier["spec"]["wait"], applier["spec"]["prune"]) == (True, True)


def test_a_chart_reads_what_its_cluster_s_owner_keeps() -> None:
    """If it is there: under a name that says for what, in a ConfigMap and then a Secret, which wins."""
    _, release = render_objects("platform", CHART, SETTINGS)
    assert [(each["kind"], each["name"], each["optional"]) for each in release["spec"]["valuesFrom"]] == [
        ("ConfigMap", "ums-values-platform-cilium", True),
        ("Secret", "ums-values-platform-cilium", True),
    ]
    assert "values" not in release["spec"]


@pytest.mark.parametrize("component", [CHART, MANIFESTS], ids=["chart", "manifests"])
def test_objects_keep_their_names_through_releases(component: Component) -> None:
    """So that the old artifact stays when a new digest does not verify."""
    newer = replace(component, version=Version("9.0.0"), digest=SECOND.components[0].digest)
    names = [
        [each["metadata"]["name"] for each in render_objects("platform", version, SETTINGS)]
        for version in (component, newer)
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("component", [CHART, MANIFESTS], ids=["chart", "manifests"])
def test_green_means_this_digest_and_not_suspended(component: Component) -> None:
    """A plain ``wait`` calls a suspended or old release healthy."""
    spec = wrapper(component)["spec"]
    assert "wait" not in spec, "it would make Flux ignore the health checks"
    expression = spec["healthCheckExprs"][0]
    assert "suspend" in expression["failed"]
    assert "observedGeneration" in expression["inProgress"]
    assert "metadata.annotations['ums/digest']" in expression["current"]
    applier = render_objects("platform", component, SETTINGS)[1]
    assert applier["metadata"]["annotations"]["ums/digest"] == str(component.digest)
    checked = spec["healthChecks"][0]
    assert (checked["kind"], checked["name"]) == (applier["kind"], applier["metadata"]["name"])
    assert (expression["kind"], expression["apiVersion"]) == (applier["kind"], applier["apiVersion"])


def test_what_is_to_be_rolled_back_is_tried_once_and_taken_back_by_helm() -> None:
    """From what Helm keeps in the cluster; a first install has nothing to go back to, and is tried again."""
    retried, rolled_back = (
        render_objects("platform", replace(CHART, on_failure=each), SETTINGS)[1]["spec"] for each in OnFailure
    )
    assert retried["upgrade"]["strategy"] == retried["install"]["strategy"] == rolled_back["install"]["strategy"]
    assert "remediation" not in retried["upgrade"]
    assert rolled_back["upgrade"]["strategy"] == {"name": "RemediateOnFailure"}
    assert rolled_back["upgrade"]["remediation"] == {
        "retries": 0,
        "remediateLastFailure": True,
        "strategy": "rollback",
    }
    assert {**retried, "upgrade": None} == {**rolled_back, "upgrade": None}


def test_what_was_rolled_back_has_failed_at_once_and_is_green_only_once_it_is_what_is_wanted() -> None:
    """helm-controller does not write down the digest of what it went back to; other components are told by theirs."""
    plain, undone = (
        wrapper(replace(CHART, on_failure=each))["spec"]["healthCheckExprs"][0]
        for each in (OnFailure.RETRY, OnFailure.ROLLBACK)
    )
    assert "Stalled" not in plain["failed"]
    assert "Stalled" in undone["failed"]
    for expression in (undone["failed"], undone["current"]):
        assert "status.lastAttemptedRevisionDigest == metadata.annotations['ums/digest']" in expression
    assert "rollback" not in plain["current"]
    assert undone["current"].endswith("&& status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')")


def test_a_wrapper_waits_for_workloads_and_a_little_longer_than_its_component() -> None:
    """So that the component's own message is the one that is heard."""
    spec = wrapper()["spec"]
    assert [each["kind"] for each in spec["healthChecks"]] == ["HelmRelease", "Deployment"]
    assert (CHART.timeout, spec["timeout"]) == (timedelta(minutes=1), "1m15s")


def test_a_wrapper_changes_with_every_release() -> None:
    """A new generation is what the root waits for, and says which release put an object there."""
    first, second = wrapper(), render_wrapper(PROD, SECOND, CHART, STATE, SETTINGS)
    for made, name in ((first, "platform@1.0.0"), (second, "platform@1.1.0")):
        assert made["spec"]["commonMetadata"]["annotations"]["ums/release"] == name
    assert first["spec"]["path"] == f"./pdps/{PROD}/platform/cilium/1.0.0"
    assert second["spec"]["path"] == f"./pdps/{PROD}/platform/cilium/1.1.0"


def test_a_wrapper_depends_on_what_it_needs_as_far_as_that_is_there() -> None:
    """A dependency that was left out would be waited for in vain."""
    component = replace(CHART, needs=("gateway", "gone"))
    assert [each["name"] for each in wrapper(component)["spec"]["dependsOn"]] == ["platform-gateway"]


def test_a_wrapper_waits_for_what_it_needs_in_the_release_that_this_data_plane_has_of_it() -> None:
    """Ready with the release before, which the root has not replaced yet, is not ready."""
    state = replace(STATE, components={"cilium": Version("1.1.0"), "gateway": Version("1.0.0")})
    (needed,) = wrapper(replace(CHART, needs=("gateway",)), state)["spec"]["dependsOn"]
    known, *ready = needed["readyExpr"].split(" && ")
    assert known == "dep.metadata.annotations['ums/release'] == 'platform@1.0.0'"
    assert wrapper(make_component("gateway", "2.0.0"))["metadata"]["annotations"]["ums/release"] == "platform@1.0.0"
    assert "dep.status.observedGeneration == dep.metadata.generation" in ready


def test_nothing_is_pruned_that_was_not_marked() -> None:
    """An empty or broken tree removes nothing."""
    kept, removed = wrapper(), wrapper(state=replace(STATE, removing=("cilium",)))
    for made, prune in ((kept, "disabled"), (removed, "enabled")):
        for found in (made["metadata"]["annotations"], made["spec"]["commonMetadata"]["annotations"]):
            assert found[PRUNE_ANNOTATION] == prune
            assert (REMOVING_ANNOTATION in found) is (prune == "enabled")


def test_the_state_says_who_what_and_until_when() -> None:
    """Its strings are what the guard compares."""
    desired = Desired(7, "stable", NOW, NOW + timedelta(days=7), {"platform": STATE})
    made = render_state(PROD, desired)
    assert made["metadata"]["annotations"] == {PRUNE_ANNOTATION: "disabled"}
    assert made["data"] == {
        "pdp": "acme/prod",
        "channel": "stable",
        "serial": "7",
        "issued": "2026-11-23T12:00:00Z",
        "expires": "2026-11-30T12:00:00Z",
        "releases": canonical_json({"platform": STATE.to_dict()}).decode(),
    }


def test_an_offer_has_whole_seconds_and_ends() -> None:
    """What is written is what was meant, and nobody may take it years later."""
    world = make_world([FIRST])
    made = offer(world, PROD, {}, serial=3, now=NOW.replace(microsecond=5))
    assert (made.issued, made.expires - made.issued) == (NOW, world.settings.validity)


def test_a_folder_lists_every_wrapper_and_brings_its_objects() -> None:
    """The folder is replaced as a whole; objects are copies of the catalog's."""
    world = make_world([FIRST, SECOND], promoted=["1.0.0"])
    mixed = replace(STATE, components={"cilium": Version("1.1.0"), "gateway": Version("1.0.0")})
    files = render_plane(world, PROD, offer(world, PROD, {"platform": mixed}, serial=1, now=NOW))
    folder = "pdps/acme/prod/"
    assert next(iter(files.items())) == (folder, None)
    listed = document(files, f"{folder}kustomization.yaml")["resources"]
    assert listed == ["platform-cilium.yaml", "platform-gateway.yaml", "state.yaml"]
    assert all(f"{folder}{name}" in files for name in listed)
    for name, version in (("cilium", "1.1.0"), ("gateway", "1.0.0")):
        path = document(files, f"{folder}platform-{name}.yaml")["spec"]["path"].removeprefix("./")
        assert files[f"{path}/objects.yaml"] == CopyOf(f"catalog/platform/{version}/objects/{name}.yaml")


def test_objects_of_the_state_before_stay_for_one_state() -> None:
    """A wrapper that has not been brought up to date yet must still find what it reads (ADR 0007)."""
    world = settle(make_world([FIRST, SECOND], promoted=["1.0.0"]))
    newer = replace(STATE, release=Version("1.1.0"), components={"cilium": Version("1.1.0")})
    files = render_plane(world, PROD, offer(world, PROD, {"platform": newer}, serial=1, now=NOW))
    for version in ("1.0.0", "1.1.0"):
        assert f"pdps/acme/prod/platform/cilium/{version}/objects.yaml" in files
    assert "platform-gateway.yaml" not in document(files, "pdps/acme/prod/kustomization.yaml")["resources"]


@pytest.mark.parametrize(
    "components", [{"cilium": Version("9.0.0")}, {"other": Version("1.0.0")}], ids=["release", "component"]
)
def test_a_state_that_the_catalog_does_not_know_is_not_rendered(components: dict[str, Version]) -> None:
    """Rather nothing than half a tree."""
    world = make_world([FIRST])
    desired = offer(world, PROD, {"platform": replace(STATE, components=components)}, serial=1, now=NOW)
    with pytest.raises(NotFoundError):
        render_plane(world, PROD, desired)


def test_rendered_together_is_rendered_alone() -> None:
    """What data planes of one state share is only work saved; another state, or another state before, is another."""
    world = settle(make_world([FIRST, SECOND], promoted=["1.0.0"]))
    new = PDPName("1e3", "null")
    world = world.with_plane(replace(world.plane(PROD), registration=Registration(new, "stable", ("platform",))))
    fresh = PDPName("acme", "test")
    world = world.with_plane(DataPlane(Registration(fresh, "stable", ("platform",))))
    newer = replace(STATE, release=Version("1.1.0"), components={"cilium": Version("1.1.0")}, removing=("cilium",))
    states = {PROD: STATE, new: STATE, fresh: STATE}
    offers = {pdp: offer(world, pdp, {"platform": state}, serial=1, now=NOW) for pdp, state in states.items()}
    offers[new] = replace(offers[new], serial=2, channel="edge")
    together = render_planes(world, offers)
    assert together == {path: each for pdp in offers for path, each in render_plane(world, pdp, offers[pdp]).items()}
    later = render_planes(world, offers | {new: replace(offers[new], bundles={"platform": newer})})
    assert document(later, "pdps/1e3/null/kustomization.yaml")["resources"] == ["platform-cilium.yaml", "state.yaml"]
    for path, content in (*together.items(), *later.items()):
        if isinstance(content, Document):
            assert to_bytes(content, None, path) == dump(content.data)


VALUES = '{"hubble":{"enabled":true}}'
VALUED = replace(STATE, values={"cilium": VALUES})


def test_values_stand_beside_the_objects_of_their_component_alone() -> None:
    """The objects stay the catalog's; a patch adds the values, in a folder that no other values share."""
    world = make_world([FIRST])
    files = render_plane(world, PROD, offer(world, PROD, {"platform": VALUED}, serial=1, now=NOW))
    without = render_plane(world, PROD, offer(world, PROD, {"platform": STATE}, serial=1, now=NOW))
    path = document(files, "pdps/acme/prod/platform-cilium.yaml")["spec"]["path"].removeprefix("./")
    assert files[f"{path}/objects.yaml"] == CopyOf("catalog/platform/1.0.0/objects/cilium.yaml")
    listed = document(files, f"{path}/kustomization.yaml")
    assert listed["resources"] == ["objects.yaml"]
    (patch,) = listed["patches"]
    assert (patch["target"]["kind"], patch["target"]["name"]) == ("HelmRelease", "platform-cilium")
    assert json.loads(patch["patch"]) == [{"op": "add", "path": "/spec/values", "value": json.loads(VALUES)}]
    assert path not in {each.rpartition("/")[0] for each in without}
    assert {each for each in files if "gateway" in each} == {each for each in without if "gateway" in each}


@given(values=JSON_VALUES)
def test_values_are_data_whatever_they_are(values: dict[str, Any]) -> None:
    """Read again from the file that Flux gets, they are what was registered: no key or text is an instruction."""
    made = dump(render_values(ComponentName("platform", "cilium"), values_text(values)))
    (patch,) = yaml.safe_load(made)["patches"]
    assert json.loads(patch["patch"]) == [{"op": "add", "path": "/spec/values", "value": values}]
    assert patch["patch"].startswith("[{"), "kustomize takes it for a JSON patch, which is no merge"


@given(values=st.dictionaries(st.sampled_from(["cilium", "gateway"]), JSON_VALUES), serial=st.integers(1, 2**40))
def test_without_values_a_tree_is_as_it_ever_was(values: dict[str, Any], serial: int) -> None:
    """Only what has values has other files, and equal values give equal trees."""
    world = make_world([FIRST])
    valued = replace(STATE, values={name: values_text(each) for name, each in values.items()})
    plain, own, again = (
        render_plane(world, PROD, offer(world, PROD, {"platform": state}, serial=serial, now=NOW))
        for state in (STATE, valued, replace(valued, values={name: valued.values[name] for name in sorted(values)}))
    )
    assert own == again
    changed = {path for path in {*plain, *own} if plain.get(path) != own.get(path)}
    assert bool(changed) == bool(values)
    assert all(any(name in path for name in values) or path.endswith("/state.yaml") for path in changed)


def test_other_values_leave_the_folder_of_those_before_for_one_state() -> None:
    """As with another release: a wrapper that is not up to date yet must find what it reads."""
    world = settle(make_world([FIRST], promoted=["1.0.0"]))
    first = offer(world, PROD, {"platform": VALUED}, serial=1, now=NOW)
    world = world.with_plane(replace(world.plane(PROD), desired=first))
    files = render_plane(world, PROD, offer(world, PROD, {"platform": STATE}, serial=2, now=NOW))
    assert layout.plane_values(PROD, ComponentName("platform", "cilium"), Version("1.0.0"), VALUES) in files
    assert document(files, "pdps/acme/prod/platform-cilium.yaml")["spec"]["path"] == (
        "./pdps/acme/prod/platform/cilium/1.0.0"
    )


def test_data_planes_with_values_are_rendered_together_as_alone() -> None:
    """Who shares a state shares a folder, and values are part of the state."""
    world = make_world([FIRST])
    names = [PROD, PDPName("acme", "one"), PDPName("acme", "two")]
    for name in names[1:]:
        world = world.with_plane(DataPlane(Registration(name, "stable", ("platform",))))
    states = [VALUED, STATE, replace(STATE, values={"cilium": '{"a":1}'})]
    offers = {
        name: offer(world, name, {"platform": state}, serial=1, now=NOW)
        for name, state in zip(names, states, strict=True)
    }
    together = render_planes(world, offers)
    assert together == {path: each for pdp in offers for path, each in render_plane(world, pdp, offers[pdp]).items()}


def test_an_offer_is_read_with_its_values() -> None:
    """What was offered is known, whatever the registration says by now."""
    desired = Desired(7, "stable", NOW, NOW + timedelta(days=7), {"platform": VALUED})
    found = desired_from_state(yaml.safe_load(dump(render_state(PROD, desired))))
    assert found.bundles["platform"].values == VALUED.values


def document(files: Mapping[str, object], path: str) -> Mapping[str, Any]:
    """Return the content of a document."""
    found = files[path]
    assert isinstance(found, Document)
    return found.data
