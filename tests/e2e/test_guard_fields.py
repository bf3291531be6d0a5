"""Every field of Flux's definitions, asked of a real API server: rendering writes it, or the guard refuses it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.guarded import FLUX_KINDS, GuardedApi, Object, changed, rendered
from tests.e2e.toolchain import crds
from tests.processes import eventually
from ums.domain.layout import plane_component
from ums.domain.names import ComponentName, PDPName
from ums.domain.version import Version

Path = tuple[str | int, ...]
OBJECTS = rendered()
FREE: set[Path] = {("interval",), ("retryInterval",), ("timeout",)}
"""What may have another value within bounds: the settings decide, or a signed release does."""
PATTERNS = {
    r"^[\-._a-zA-Z0-9]+$": "a",
    r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$": "7m",
    r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$": "7m",
    r"^oci://.*$": "oci://registry.example.com/ums/x/y",
    r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$": "a",
}


def definition(kind: str) -> Object:
    """Return a definition of Flux's."""
    controller, group, plural = FLUX_KINDS[kind]
    found: Object = yaml.safe_load((crds(controller) / f"{group}_{plural}.yaml").read_text())
    return found


def spec_of(found: Object) -> Object:
    """Return the schema of a definition's spec, in the one version that it has."""
    (version,) = found["spec"]["versions"]
    schema: Object = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def members(schema: Object, path: Path = ()) -> Iterator[tuple[Path, Object]]:
    """Yield every property below a schema, with its path; what is in a list is at index 0."""
    for name, each in schema.get("properties", {}).items():
        yield (*path, name), each
        yield from members(each, (*path, name))
    if "items" in schema:
        yield from members(schema["items"], (*path, 0))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from members(schema["additionalProperties"], (*path, "key"))


def smallest(schema: Object) -> Any:  # noqa: ANN401, PLR0911 - any JSON value, a line each
    """Return the smallest value that a schema allows, with its required properties."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "pattern" in schema:
        return PATTERNS[schema["pattern"]]
    match schema.get("type"):
        case "object":
            return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [smallest(schema["items"])]
        case "boolean":
            return True
        case "integer" | "number":
            return 7
        case _:
            return "x"


def with_field(made: Object, schema: Object, path: Path) -> Object:
    """Return an object with one more field in its spec, and with what the definition demands around it."""
    made = copy.deepcopy(made)
    if path[0] == "chart":  # the definition wants either
        del made["spec"]["chartRef"]
    target, at = made["spec"], schema
    for step, after in zip(path, (*path[1:], None), strict=True):
        at = at["items"] if isinstance(step, int) else at.get("properties", {}).get(step) or at["additionalProperties"]
        if isinstance(step, int):
            if not target:
                target.append(smallest(at))
        elif after is None or step not in target:
            target[step] = smallest(at)
        if step == "kubeConfig":  # of these the definition wants one
            target[step] = {str(after or "secretRef"): {"name": "x"}}
        if after is not None:
            target = target[step]
    return made


def fields_of(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every field in a value; of a list the first member's."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value[:1]))
    for key, each in inner:
        yield (*path, key)
        yield from fields_of(each, (*path, key))


def at(value: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Return what is at a path."""
    for step in path:
        value = value[step]
    return value


def others(value: object) -> list[object]:
    """Return other values of the same type."""
    match value:
        case bool():
            return [not value]
        case str():
            return [f"{value}x", "other"]
        case int():
            return [value + 1]
        case list():
            return [[]] if value else []
        case dict():
            return [{}]
    raise AssertionError(value)


def is_refused(message: str) -> bool:
    """Return whether the guard refuses it, or Flux's own definition does, and no mistake in the question."""
    return "ums-guard" in message or " is invalid: " in message


@pytest.fixture(scope="module", params=["new", "stored"])
def api(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[GuardedApi]:
    """Return a guarded API that takes everything that rendering writes, and has none or all of it already."""
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        for name, made in OBJECTS.items():
            assert running.ask(made, dry_run=request.param == "new") == "", name
        yield running


@pytest.mark.parametrize("kind", FLUX_KINDS)
def test_each_field_is_written_by_rendering_or_refused(api: GuardedApi, kind: str) -> None:
    """At every depth, in an object that is right but for this field, whether the object is new or not."""
    schema = spec_of(definition(kind))
    fields = [path for path, _ in members(schema)]
    asked, wrong, known = 0, [], set()
    for name, made in OBJECTS.items():
        if made["kind"] != kind:
            continue
        rendering_writes = set(fields_of(made["spec"]))
        known |= rendering_writes
        for path in fields:
            if path not in rendering_writes:
                asked += 1
                message = api.ask(with_field(made, schema, path))
                if not is_refused(message):
                    wrong.append((name, path, message))
    assert not wrong
    known &= set(fields)
    assert known, "the schema was read"
    print(f"{kind}: {len(fields)} fields, {len(known)} of them written; asked {asked} times, refused {asked} times")


def test_without_the_guard_every_field_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So it is this policy that refuses them; one makes no sense to Flux, and ``ums-guard-source`` has one, too."""
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        running.kubectl("delete", "validatingadmissionpolicybinding", "ums-guard")
        probe = changed(OBJECTS["source of chart"], ("spec", "suspend"), True)  # noqa: FBT003 - any JSON value
        eventually(lambda: not running.ask(probe), timeout=30, what="the guard is off")
        taken, invalid = 0, []
        for made in OBJECTS.values():
            schema = spec_of(definition(made["kind"])) if "spec" in made else {}
            for path in {path for path, _ in members(schema)} - set(fields_of(made.get("spec"))):
                message = running.ask(with_field(made, schema, path))
                taken += not message
                if message and "ums-guard-source" not in message:
                    invalid.append((made["kind"], path))
            for path, value in METADATA.values():
                assert running.ask(changed(made, ("metadata", *path), value)) == ""
        assert set(invalid) <= {("HelmRelease", ("upgrade", "strategy", "retryInterval"))}
        assert taken > 500
        print(f"without the guard: {taken} taken")


@pytest.mark.parametrize("name", [name for name in OBJECTS if name != "state"])
def test_no_field_that_rendering_writes_may_have_another_value_or_be_left_out(api: GuardedApi, name: str) -> None:
    """But those that settings or a signed release decide; ``attacks/test_state_key.py`` looks at these."""
    made = OBJECTS[name]
    taken = [
        (path, value)
        for path in fields_of(made["spec"])
        for value in others(at(made["spec"], path))
        if not is_refused(api.ask(changed(made, ("spec", *path), value))) and path not in FREE
    ]
    without = [
        field
        for field in made["spec"]
        if not is_refused(api.ask({**made, "spec": {key: made["spec"][key] for key in made["spec"] if key != field}}))
    ]
    # Helm's release is free where there is none yet: the signed chart says what it may be called.
    release = [(("releaseName",), f"{made['spec'].get('releaseName')}x"), (("releaseName",), "other")]
    assert [each for each in taken if each not in release] == SIGNED.get(name, [])
    assert not without


SIGNED: dict[str, list[tuple[Path, object]]] = {
    "wrapper of chart": [(("dependsOn",), []), (("dependsOn", 0, "name"), "platform-agentx")],
}
"""What a release says and the guard cannot know: which of the bundle's components another one needs."""


@pytest.mark.parametrize(
    ("field", "value"),
    [("interval", "999ms"), ("interval", "61m"), ("timeout", "0s"), ("timeout", "25h"), ("retryInterval", "2h")],
)
def test_intervals_and_timeouts_have_bounds(api: GuardedApi, field: str, value: str) -> None:
    """A very long one would freeze a component, a very short one keep a controller busy."""
    for name, made in OBJECTS.items():
        if field in made.get("spec", {}):
            assert "out of bounds" in api.ask(changed(made, ("spec", field), value)), name


def test_no_wrapper_is_the_root(api: GuardedApi) -> None:
    """Nor a component whose objects would be called as it is."""
    made = changed(OBJECTS["wrapper of chart"], ("metadata", "name"), "ums-root")
    made = changed(made, ("metadata", "annotations", "ums/release"), "ums@1.0.0")
    folder = plane_component(PDPName("acme", "prod"), ComponentName("ums", "root"), Version("1.0.0"))
    made = changed(made, ("spec", "path"), f"./{folder}")
    assert "and not be ums-root" in api.ask(changed(made, ("spec", "dependsOn"), []))


METADATA: dict[str, tuple[Path, object]] = {
    "a label": (("labels", "evil"), "x"),
    "the label of another Kustomization": (("labels", "kustomize.toolkit.fluxcd.io/name"), "evil"),
    "the label of a Helm release": (("labels", "helm.toolkit.fluxcd.io/name"), "evil"),
    "an annotation": (("annotations", "evil"), "x"),
    "a way to apply": (("annotations", "kustomize.toolkit.fluxcd.io/ssa"), "IfNotPresent"),
    "a way to replace": (("annotations", "kustomize.toolkit.fluxcd.io/force"), "enabled"),
    "a way to ignore drift": (("annotations", "helm.toolkit.fluxcd.io/driftDetection"), "disabled"),
    "a request to reconcile": (("annotations", "reconcile.fluxcd.io/requestedAt"), "now"),
    "a forced upgrade": (("annotations", "reconcile.fluxcd.io/forceAt"), "now"),
    "a reset": (("annotations", "reconcile.fluxcd.io/resetAt"), "now"),
    "pruning": (("annotations", "kustomize.toolkit.fluxcd.io/prune"), "enabled"),
    "a mark that is none": (("annotations", "ums/removing"), "false"),
    "a mark without pruning": (("annotations", "ums/removing"), "true"),
    "an owner": (("ownerReferences",), [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]),
    "a finalizer": (("finalizers",), ["example.com/evil"]),
}


@pytest.mark.parametrize("what", METADATA)
def test_metadata_has_what_rendering_and_kustomize_controller_write(api: GuardedApi, what: str) -> None:
    """An owner that is not there would have the object collected, without the two steps of a removal."""
    path, value = METADATA[what]
    for name, made in OBJECTS.items():
        assert "ums-guard: " in api.ask(changed(made, ("metadata", *path), value)), name


@pytest.mark.parametrize("annotation", ["ums/release", "ums/digest", "kustomize.toolkit.fluxcd.io/prune"])
def test_no_annotation_may_be_left_out(api: GuardedApi, annotation: str) -> None:
    """By them the health of a component and its removal are judged."""
    for name, made in OBJECTS.items():
        if annotation in made["metadata"]["annotations"]:
            without = copy.deepcopy(made)
            del without["metadata"]["annotations"][annotation]
            assert "ums-guard" in api.ask(without), name


def test_what_others_wrote_into_metadata_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Controllers keep finalizers and people annotations there: with these, too, the root may go on."""
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        for name, made in OBJECTS.items():
            assert running.ask(made, dry_run=False) == "", name
            theirs = {
                **{key: made[key] for key in ("apiVersion", "kind")},
                "metadata": {
                    "name": made["metadata"]["name"],
                    "namespace": "ums-system",
                    "annotations": {"reconcile.fluxcd.io/requestedAt": "now"},
                    "labels": {"team": "a"},
                    "finalizers": ["example.com/theirs"],
                },
            }
            running.kubectl("apply", "--server-side", "--field-manager=them", "-f", "-", stdin=yaml.safe_dump(theirs))
            assert running.ask(made) == "", name
            assert "ums-guard" in running.ask(changed(made, ("metadata", "labels", "team"), "b")), name


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("immutable",), True),
        (("binaryData",), {"more": "eA=="}),
        (("data", "other"), "x"),
        (("data", "pdp"), "acme/other"),
    ],
)
def test_the_state_has_its_six_entries(api: GuardedApi, path: Path, value: object) -> None:
    """One that is immutable could never be replaced again."""
    assert "ums-guard: " in api.ask(changed(OBJECTS["state"], path, value))


@pytest.mark.parametrize("kind", FLUX_KINDS)
def test_a_field_that_flux_adds_tomorrow_is_refused(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    """Wherever in an object it comes to be, until a new guard lists it."""
    newer = definition(kind)
    nodes = [((), spec_of(newer)), *members(spec_of(newer))]
    for _, node in nodes:
        if "properties" in node:
            node["properties"]["tomorrow"] = {"type": "string"}
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        running.apply(yaml.safe_dump(newer))
        asked, wrong = 0, []
        for name, made in OBJECTS.items():
            if made["kind"] != kind:
                continue
            added = changed(made, ("spec", "tomorrow"), "x")
            eventually(lambda: "spec.tomorrow" in running.ask(added), timeout=30, what="it is served")  # noqa: B023
            for path, node in nodes:
                if path in {(), *fields_of(made["spec"])} and "properties" in node:
                    asked += 1
                    if "ums-guard: " not in running.ask(changed(made, ("spec", *path, "tomorrow"), "x")):
                        wrong.append((name, path))
        assert not wrong
        assert asked
        print(f"{kind}: a new field at {asked} places, refused at {asked}")
