"""Folders become bundles: what is read, what is refused, and that equal folders make equal artifacts."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.doubles.memory_registry import MemoryRegistry
from tests.e2e.toolchain import find_tool
from tests.unit.adapters.test_archive import entry, tgz
from ums.adapters import _helm
from ums.adapters._archive import MAX_FILE_BYTES, pack, unpack
from ums.adapters.bundle_folder import BundleFolder
from ums.domain.artifact import EMPTY_BLOB, Artifact, Blob
from ums.domain.bundle import BundleSpec, ComponentKind, OnFailure, ReleaseClass, Workload
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError, NotFoundError, SpecError
from ums.domain.floors import Floor
from ums.domain.oci import FLUX_CONFIG, FLUX_CONTENT, HELM_CHART, HELM_CONFIG, Reference, Repository
from ums.domain.packaging import PackagedComponent
from ums.domain.version import VersionRange
from ums.schemas.__main__ import FOLDER as SCHEMAS
from ums.schemas.__main__ import schemas

EXAMPLES = Path(__file__).parents[3] / "examples"
BUNDLES = sorted(path.parent for path in EXAMPLES.glob("*/*/bundle.yaml"))
HELM = find_tool("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not at hand")

IMAGE = f"registry.example.com/app:1.0.0@{Digest.of(b'app')}"
SIDECAR = f"registry.example.com/sidecar:1.0.0@{Digest.of(b'sidecar')}"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app"},
    "spec": {"template": {"spec": {"containers": [{"name": "app", "image": IMAGE}]}}},
}
CHART: dict[str, bytes] = {
    "Chart.yaml": b"apiVersion: v2\nname: app\nversion: 1.2.3\n",
    "values.yaml": b"# Kept, as long as nothing is merged.\nreplicas: 1\nnested: {a: 1, b: 2}\n",
    "templates/app.yaml": yaml.safe_dump(DEPLOYMENT).encode(),
}
COMPONENT: dict[str, Any] = {"name": "app", "chart": "chart", "namespace": "apps", "images": [IMAGE]}
PLACEMENT = "app/templates/ums-placement.yaml"


def pod(*images: str, kind: str = "containers") -> dict[str, Any]:
    """Return a pod template."""
    return {"spec": {"containers": [], kind: [{"image": image} for image in images]}}


def named(kind: str, spec: object, **metadata: object) -> dict[str, Any]:
    """Return an object."""
    return {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": kind.lower(), **metadata}, "spec": spec}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def bundle(folder: Path, *components: Mapping[str, Any], **fields: object) -> Path:
    """Write a bundle of components, by default of one, and its chart; return its folder."""
    spec = {"name": "platform", **fields, "components": list(components) or [COMPONENT]}
    write(folder, {"bundle.yaml": yaml.safe_dump(spec, sort_keys=False).encode()})
    write(folder / "chart", CHART)
    return folder


def packager(*, registry: MemoryRegistry | None = None, helm: Path | None = None) -> BundleFolder:
    """Return a packager, by default without Helm, whatever this machine has."""
    return BundleFolder(registry=registry or MemoryRegistry(), helm=str(helm) if helm else None)


def build(folder: Path, made_by: BundleFolder | None = None) -> dict[str, PackagedComponent]:
    """Return every component of a folder."""
    made_by = made_by or packager()
    spec = made_by.read(folder)
    return {each.name: made_by.package(folder, spec.name, each) for each in spec.components}


def files_of(packaged: PackagedComponent) -> dict[str, bytes]:
    """Return what an artifact's layer holds."""
    layer = packaged.artifact.blobs[1].content
    assert isinstance(layer, bytes)
    return unpack(layer, "layer")


def script(folder: Path, body: str) -> Path:
    """Return a program that stands where Helm would."""
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


# --- what the examples show


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_examples_fit_the_schema_that_they_name(folder: Path) -> None:
    """The first line of an example leads an editor to the schema, and the schema agrees with the reader."""
    text = (folder / "bundle.yaml").read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((folder / first.partition("=")[2]).read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)
    spec = packager().read(folder)
    assert isinstance(spec, BundleSpec)
    assert spec.name == folder.parent.name


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_image_of_an_example_has_a_digest(folder: Path) -> None:
    """Examples keep the rule that they are to teach, and name what is to be watched, where something runs."""
    for each in build(folder).values():
        assert bool(each.workloads) == bool(each.images)
        assert all("@sha256:" in image for image in each.images)


def test_components_that_did_not_change_keep_their_digest() -> None:
    """A release that changes one component leaves the bytes of all others as they were."""
    digests = {
        version: {
            name: (each.artifact.descriptor.digest, each.content_digest)
            for name, each in build(EXAMPLES / "platform" / version).items()
        }
        for version in ("1.0.0", "1.1.0", "1.2.0")
    }

    def changed(before: str, after: str) -> set[str]:
        return {name for name, digest in digests[after].items() if digests[before][name] != digest}

    assert changed("1.0.0", "1.1.0") == {"gateway", "observability"}
    assert changed("1.1.0", "1.2.0") == {"cilium"}


def test_the_security_release_says_what_it_fixes() -> None:
    """Class and fixes of a release stand in its bundle."""
    spec = packager().read(EXAMPLES / "platform" / "1.2.0")
    assert (spec.release_class, spec.fixes) == (ReleaseClass.SECURITY, ("CVE-2026-0001",))
    assert [each.name for each in spec.components if each.fixes] == ["cilium"]


@needs_helm
@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_helm_changes_nothing(folder: Path) -> None:
    """With Helm the declarations are checked; the result is the same."""
    assert build(folder, packager(helm=HELM)) == build(folder)


# --- the schema


def test_schemas_are_up_to_date() -> None:
    """The schemas beside the code are what the models generate: run ``make schemas``."""
    assert {path.name: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")} == schemas()


def test_every_field_of_a_bundle_is_described() -> None:
    """An editor can say what each field means."""
    schema = json.loads(schemas()["bundle.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    models = [schema, *(each for each in schema["$defs"].values() if "properties" in each)]
    assert [name for each in models for name, field in each["properties"].items() if "description" not in field] == []


# --- reading


def test_a_bundle_is_read_with_its_defaults(tmp_path: Path) -> None:
    """What is not said has the meaning that is documented."""
    spec = packager().read(bundle(tmp_path))
    component = spec.components[0]
    assert (spec.release_class, spec.image_lock, spec.removes, str(spec.notes)) == (None, True, (), "")
    assert (component.kind, component.source, component.timeout.total_seconds()) == (ComponentKind.CHART, "chart", 120)


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    """Every field reaches the specification."""
    reference = f"oci://registry.example.com/charts/app@{Digest.of(b'x')}"
    first = {
        **COMPONENT,
        "chart": reference,
        "releaseName": "release",
        "onFailure": "rollback",
        "values": {"a": {"b": None}},
        "workloads": [
            {"kind": "Deployment", "name": "x"},
            {"apiVersion": "b/v1", "kind": "J", "name": "z", "namespace": "o"},
        ],
        "timeout": "5m",
        "fixes": ["CVE-2026-0002"],
    }
    second = {"name": "second", "manifests": "m", "version": "1.0.0", "namespace": "o", "needs": ["app"]}
    folder = bundle(
        tmp_path,
        first,
        second,
        schema=1,
        fixes=["CVE-2026-0001"],
        notes="# Notes",
        imageLock="relaxed",
        requires={"kubernetes": ">=1.30", "flux": "~2.9", "bundles": {"flux": ">=2.9"}},
        upgrade={"from": ">=1.0", "barrier": "new CRDs", "irreversible": True},
        removes=["old"],
        floors=[
            {"component": "app", "versions": ">=1.2", "reason": "CVE-2026-0001", "until": "2027-01-01T00:00:00Z"},
            {"component": "second", "versions": "1.x", "reason": "2.x is another product"},
        ],
        **{"class": "bugfix"},
    )
    spec = packager().read(folder)
    assert spec.floors == (
        Floor("app", VersionRange(">=1.2"), "CVE-2026-0001", datetime(2027, 1, 1, tzinfo=UTC)),
        Floor("second", VersionRange("1.x"), "2.x is another product"),
    )
    assert spec.requires.to_dict() == {"kubernetes": ">=1.30", "flux": "~2.9", "bundles": {"flux": ">=2.9"}}
    assert spec.upgrade.to_dict() == {"from": ">=1.0", "barrier": "new CRDs", "irreversible": True}
    assert (spec.release_class, spec.fixes, spec.notes, spec.image_lock, spec.removes) == (
        ReleaseClass.BUGFIX,
        ("CVE-2026-0002", "CVE-2026-0001"),
        "# Notes",
        False,
        ("old",),
    )
    app, other = spec.components
    assert app.source == Reference.parse(reference)
    assert (app.release_name, app.values) == ("release", {"a": {"b": None}})
    assert app.on_failure is OnFailure.ROLLBACK
    assert (app.fixes, other.fixes) == (("CVE-2026-0002", "CVE-2026-0001"), ("CVE-2026-0001",))
    assert app.workloads == (Workload("apps/v1", "Deployment", "apps", "x"), Workload("b/v1", "J", "o", "z"))
    assert (other.kind, other.needs, str(other.version)) == (ComponentKind.MANIFESTS, ("app",), "1.0.0")


FLOOR = {"component": "app", "versions": ">=1.2", "reason": "CVE-2026-0001"}


def changed(**fields: object) -> dict[str, Any]:
    """Return the component with fields replaced; ``None`` leaves one out."""
    return {key: value for key, value in {**COMPONENT, **fields}.items() if value is not None}


@pytest.mark.parametrize(
    ("components", "fields", "field", "says"),
    [
        ([changed(relaseName="x")], {}, "components[0].relaseName", "not known"),
        ([changed(namespace=None)], {}, "components[0].namespace", "missing"),
        ([changed(name="App")], {}, "components[0].name", "pattern"),
        ([changed(manifests="m")], {}, "components[0]", "give either chart or manifests"),
        ([changed(chart=None)], {}, "components[0]", "give either chart or manifests"),
        ([changed(chart="")], {}, "components[0].chart", "at least 1 character"),
        ([changed(chart=None, manifests="m")], {}, "components[0]", "add version"),
        ([changed(chart=None, manifests="m", version="1.0")], {}, "components[0].version", "not a semantic version"),
        ([changed(chart=None, manifests="m", version=1.0)], {}, "components[0].version", "text was expected"),
        ([changed(version="1.0.0")], {}, "components[0]", "a chart brings its own version"),
        ([changed(chart=None, manifests="m", version="1.0.0", values={"a": 1})], {}, "components[0]", "are for charts"),
        ([changed(chart="oci://registry.example.com/app:1")], {}, "components[0].chart", "has no digest"),
        ([changed(chart="oci://registry.example.com")], {}, "components[0].chart", "not an OCI repository"),
        ([changed(images=["app@sha256:abc"])], {}, "components[0].images[0]", "not a digest"),
        ([changed(timeout="soon")], {}, "components[0].timeout", "not a duration"),
        ([changed(onFailure="undo")], {}, "components[0].onFailure", "'retry' or 'rollback'"),
        (
            [changed(chart=None, manifests="m", version="1.0.0", images=[], onFailure="rollback")],
            {},
            "",
            "nothing in a cluster keeps what manifests were before",
        ),
        ([changed(workloads=[{"kind": "Deployment"}])], {}, "components[0].workloads[0].name", "missing"),
        ([changed(needs=["nobody"])], {}, "", "needs nobody"),
        ([changed(needs=["b"]), changed(name="b", needs=["app"])], {}, "", "in a circle"),
        ([COMPONENT, COMPONENT], {}, "", "lists app twice"),
        ([COMPONENT], {"removes": ["app"]}, "", "listed under removes"),
        ([COMPONENT], {"name": "../x"}, "name", "pattern"),
        ([COMPONENT], {"schema": 2}, "schema", "should be 1"),
        ([COMPONENT], {"class": "urgent"}, "class", "'security'"),
        ([COMPONENT], {"fixes": ["everything"]}, "fixes[0]", "pattern"),
        ([changed(fixes=["cve-1"])], {}, "components[0].fixes[0]", "pattern"),
        ([COMPONENT], {"floors": [{**FLOOR, "component": "b"}]}, "", "a floor for component b"),
        ([COMPONENT], {"floors": [{**FLOOR, "versions": "new"}]}, "floors[0].versions", "not a version range"),
        ([COMPONENT], {"floors": [{**FLOOR, "reason": ""}]}, "floors[0].reason", "at least 1 character"),
        ([COMPONENT], {"floors": [{**FLOOR, "until": "soon"}]}, "floors[0].until", "is not a time"),
        ([COMPONENT], {"requires": {"flux": "new"}}, "requires.flux", "not a version range"),
        ([COMPONENT], {"upgrade": {"from": "old"}}, "upgrade.from", "not a version range"),
        ([COMPONENT], {"imageLock": "off"}, "imageLock", "'required' or 'relaxed'"),
    ],
)
def test_wrong_bundles_are_refused(
    components: list[dict[str, Any]], fields: dict[str, Any], field: str, says: str, tmp_path: Path
) -> None:
    """A refusal names the file, the field and what was expected there."""
    folder = bundle(tmp_path, *components, **fields)
    with pytest.raises(SpecError) as caught:
        packager().read(folder)
    assert (caught.value.file, caught.value.field) == (str(folder / "bundle.yaml"), field)
    assert says in caught.value.message
    assert bool(field) == bool(caught.value.line)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"name: a\nname: b\n", 2, "stands here twice"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n" + b"c: [" + b"*b, " * 60 + b"]\n", 2, "aliases"),
        (b"name: " + b"x" * (1 << 20), 0, "bytes, more than"),
        (b"name: platform\ncomponents: []\n", 2, "at least 1 item"),
        (b"", 1, "one mapping was expected"),
        (b"name: [", 2, "not YAML"),
    ],
)
def test_wrong_yaml_is_refused(content: bytes, line: int, says: str, tmp_path: Path) -> None:
    """What is no bundle at all is refused by line."""
    write(tmp_path, {"bundle.yaml": content})
    with pytest.raises(SpecError, match=says) as caught:
        packager().read(tmp_path)
    assert caught.value.line == line


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    """What is missing is named, and what to do."""
    with pytest.raises(SpecError, match=r"bundle\.yaml.* cannot be read") as caught:
        packager().read(tmp_path)
    assert "holds a bundle.yaml" in caught.value.hint


# --- charts


def test_a_chart_becomes_a_helm_artifact(tmp_path: Path) -> None:
    """Config, layer and annotations are those that Helm and Flux read."""
    packaged = build(bundle(tmp_path))["app"]
    manifest = json.loads(packaged.artifact.manifest)
    config, layer = packaged.artifact.blobs
    assert (config.descriptor.media_type, layer.descriptor.media_type) == (HELM_CONFIG, HELM_CHART)
    assert config.content == b'{"apiVersion":"v2","name":"app","version":"1.2.3"}'
    found = files_of(packaged)
    assert found.pop(PLACEMENT)
    assert found == {f"app/{name}": content for name, content in CHART.items()}
    assert manifest["annotations"] == {
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.title": "app",
        "org.opencontainers.image.version": "1.2.3",
    }
    assert (str(packaged.version), packaged.images) == ("1.2.3", (IMAGE,))


def test_what_is_signed_says_where_it_is_installed(tmp_path: Path) -> None:
    """Flux's objects are signed by the state key alone; they may not decide it."""
    folder = bundle(tmp_path / "chart", changed(releaseName="web"))
    check = files_of(build(folder)["app"])[PLACEMENT].decode()
    assert '(ne .Release.Name "web") (ne .Release.Namespace "apps")' in check
    assert "fail" in check
    write(tmp_path / "manifests" / "manifests", {"b/more.yaml": b"{kind: A, apiVersion: v1, metadata: {name: b}}"})
    placed = files_of(build(manifests(tmp_path / "manifests", DEPLOYMENT))["agent"])["kustomization.yaml"]
    assert yaml.safe_load(placed) == {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "agents",
        "resources": ["all.yaml", "b/more.yaml"],
    }


@needs_helm
@pytest.mark.parametrize(
    ("release", "namespace", "works"), [("app", "apps", True), ("x", "apps", False), ("app", "x", False)]
)
def test_helm_renders_a_chart_where_it_was_signed_for(
    tmp_path: Path, release: str, namespace: str, *, works: bool
) -> None:
    """Elsewhere it could take over a release of somebody else, and delete what that one installed."""
    write(tmp_path / "out", files_of(build(bundle(tmp_path))["app"]))
    command = [str(HELM), "template", release, str(tmp_path / "out" / "app"), "--namespace", namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is works, done.stderr
    assert works or "signed to be installed as release app in namespace apps" in done.stderr


def test_only_names_and_contents_count(tmp_path: Path) -> None:
    """Times, modes and the folder's own place do not reach the artifact."""
    one, two = bundle(tmp_path / "one"), bundle(tmp_path / "elsewhere" / "two")
    for path in (two / "chart").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    assert build(one) == build(two)


@pytest.mark.parametrize(
    ("values", "merged"),
    [
        ({"replicas": 2}, {"replicas": 2, "nested": {"a": 1, "b": 2}}),
        ({"nested": {"b": 3, "c": {"d": 4}}}, {"replicas": 1, "nested": {"a": 1, "b": 3, "c": {"d": 4}}}),
        ({"nested": {"a": None}}, {"replicas": 1, "nested": {"b": 2}}),
        ({"nested": None}, {"replicas": 1}),
        ({"nested": [1]}, {"replicas": 1, "nested": [1]}),
        ({"replicas": {"x": 1}}, {"replicas": {"x": 1}, "nested": {"a": 1, "b": 2}}),
        ({"sub": {"x": None}}, {"replicas": 1, "nested": {"a": 1, "b": 2}, "sub": {"x": None}}),
    ],
)
def test_values_are_merged_as_helm_merges(values: dict[str, Any], merged: dict[str, Any], tmp_path: Path) -> None:
    """Mappings merge, null deletes, all else replaces; without values the file stays byte for byte."""
    packaged = build(bundle(tmp_path, changed(values=values)))["app"]
    assert yaml.safe_load(files_of(packaged)["app/values.yaml"]) == merged


def test_a_chart_without_values_gets_those_of_the_bundle(tmp_path: Path) -> None:
    """A chart need not have values of its own."""
    folder = bundle(tmp_path, changed(values={"a": 1}))
    (folder / "chart" / "values.yaml").unlink()
    assert files_of(build(folder)["app"])["app/values.yaml"] == b"a: 1\n"


@needs_helm
def test_merging_leaves_other_values_what_helm_reads(tmp_path: Path) -> None:
    """Values that are not touched are, to Helm, of the same kind and content as before."""
    texts = [
        "1e3",
        "'1e3'",
        "y",
        "'y'",
        "on",
        "0o14",
        "'0o14'",
        "0755",
        "22:22",
        "2026-12-01",
        "~",
        "1.0",
        "'08'",
        "08",
    ]
    show = (
        "{{ range .Values.all }}\n# {{ kindOf . }} {{ . }}{{ end }}\nkind: A\napiVersion: b/v1\nmetadata: {name: c}\n"
    )
    write(tmp_path / "chart", {**CHART, "values.yaml": f"all: [{', '.join(texts)}]\n".encode()})
    (tmp_path / "chart" / "templates" / "app.yaml").write_text(show, encoding="utf-8")
    write(
        tmp_path / "merged",
        {
            name.removeprefix("app/"): content
            for name, content in files_of(build(_only(tmp_path, changed(values={"other": 1})))["app"]).items()
        },
    )

    def rendering(chart: Path) -> str:
        command = [str(HELM), "template", "app", str(chart), "--namespace", "apps"]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert rendering(tmp_path / "merged") == rendering(tmp_path / "chart")
    assert "# float64 1000" in rendering(tmp_path / "merged")


def _only(folder: Path, component: Mapping[str, Any]) -> Path:
    """Write a ``bundle.yaml`` beside a chart that is there."""
    write(folder, {"bundle.yaml": yaml.safe_dump({"name": "platform", "components": [component]}).encode()})
    return folder


IGNORED: dict[str, bytes] = {
    ".helmignore": b"# comment\n*.bak\n/docs\nci/\ntests/*.yaml\n[^a-z]*.tmp\n",
    "a.bak": b"",
    "templates/b.bak": b"",
    "docs/x": b"",
    "sub/docs/x": b"",
    "ci/x": b"",
    "sub/ci/x": b"",
    "tests/x.yaml": b"",
    "tests/deep/x.yaml": b"",
    "templates/.hidden": b"",
    "templates/.hidden.d/x": b"",
    ".visible": b"",
    "0.tmp": b"",
    "a.tmp": b"",
}
KEPT = {".helmignore", "sub/docs/x", "tests/deep/x.yaml", ".visible", "a.tmp", *CHART}


def test_what_helm_ignores_is_left_out(tmp_path: Path) -> None:
    """A chart's ``.helmignore`` decides what is packed."""
    folder = bundle(tmp_path)
    write(folder / "chart", IGNORED)
    assert set(files_of(build(folder)["app"])) == {PLACEMENT, *(f"app/{name}" for name in KEPT)}


@needs_helm
@pytest.mark.parametrize("rules", [IGNORED[".helmignore"], b"", b"sub/*/x\n", b"!*.yaml\n", b"!ci/\n", b"/sub/ci/\n"])
def test_the_artifact_holds_what_helm_packs(rules: bytes, tmp_path: Path) -> None:
    """Helm and UMS agree on which files a chart has."""
    folder = bundle(tmp_path)
    write(folder / "chart", {**IGNORED, ".helmignore": rules})
    command = [str(HELM), "package", str(folder / "chart"), "--destination", str(tmp_path)]
    packed = subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0
    if not packed:  # a rule that leaves out Chart.yaml
        with pytest.raises(InvalidInputError, match=r"no Chart\.yaml"):
            build(folder)
        return
    with tarfile.open(tmp_path / "app-1.2.3.tgz") as archive:
        assert set(files_of(build(folder)["app"])) == {PLACEMENT, *archive.getnames()}


def test_a_packed_chart_is_repacked(tmp_path: Path) -> None:
    """However a chart was packed, its artifact is that of its files."""
    folder = bundle(tmp_path / "folder")
    packed = bundle(tmp_path / "packed", changed(chart="app.tgz"))
    write(packed, {"app.tgz": tgz(*(entry(f"app/{name}", content) for name, content in CHART.items()))})
    assert build(packed) == build(folder)


def test_packed_subcharts_are_unpacked(tmp_path: Path) -> None:
    """What is shipped holds no archive that readers could take differently; each keeps a folder of its own."""
    deep = tgz(entry("deep/Chart.yaml", b"name: deep\n"), entry("deep/templates/x.yaml", b""))
    sub = tgz(entry("sub/Chart.yaml", b"name: sub\n"), entry("sub/charts/deep-2.tgz", deep))
    folder = bundle(tmp_path)
    write(
        folder / "chart",
        {"charts/sub-1.tgz": sub, "charts/sub-2.tgz": sub, "charts/_off.tgz": b"", "charts/README": b""},
    )
    assert set(files_of(build(folder)["app"])) == {
        *(f"app/{name}" for name in CHART),
        PLACEMENT,
        *(f"app/charts/sub-{number}/Chart.yaml" for number in (1, 2)),
        *(
            f"app/charts/sub-{number}/charts/deep-2/{name}"
            for number in (1, 2)
            for name in ("Chart.yaml", "templates/x.yaml")
        ),
        *("app/charts/_off.tgz", "app/charts/README"),
    }
    write(folder / "chart", {"charts/sub-1/Chart.yaml": b""})
    with pytest.raises(InvalidInputError, match=r"both charts/sub-1\.tgz and a folder charts/sub-1"):
        build(folder)


def in_registry(registry: MemoryRegistry, files: Mapping[str, bytes], *, config: Blob | None = None) -> Reference:
    """Push a chart and return its reference."""
    repository = Repository("registry.example.com", "charts/app")
    layer = Blob.of(pack({f"app/{name}": content for name, content in files.items()})[0], HELM_CHART)
    artifact = Artifact.assemble(config=config or Blob.of(b"{}", HELM_CONFIG), layers=(layer,), annotations={})
    for blob in artifact.blobs:
        registry.push_blob(repository, blob)
    registry.push_manifest(repository, artifact)
    return Reference(repository, None, artifact.descriptor.digest)


def test_a_chart_in_a_registry_is_repacked(tmp_path: Path) -> None:
    """A chart by digest is fetched, and its artifact is that of its files."""
    registry = MemoryRegistry()
    reference = in_registry(registry, CHART)
    fetched = build(bundle(tmp_path, changed(chart=f"oci://{reference}")), packager(registry=registry))
    assert fetched == build(bundle(tmp_path / "folder"))


def test_a_registry_without_the_chart_says_so(tmp_path: Path) -> None:
    """What is not there is not found."""
    reference = f"oci://registry.example.com/charts/app@{Digest.of(b'x')}"
    with pytest.raises(NotFoundError):
        build(bundle(tmp_path, changed(chart=reference)))


def test_an_artifact_that_is_no_chart_is_refused(tmp_path: Path) -> None:
    """Media types are checked before anything is unpacked."""
    registry = MemoryRegistry()
    reference = in_registry(registry, CHART, config=EMPTY_BLOB)
    with pytest.raises(InvalidInputError, match="is no Helm chart"):
        build(bundle(tmp_path, changed(chart=f"oci://{reference}")), packager(registry=registry))


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "chart" / name).unlink()


def _with(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: write(folder, {name: content})


def _linked(folder: Path) -> None:
    (folder / "chart" / "templates" / "link.yaml").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("component", "spoil", "says"),
    [
        (changed(chart="missing"), None, "missing does not exist"),
        (changed(chart="../chart"), None, "leads outside"),
        (changed(chart="/etc"), None, "leads outside"),
        (changed(chart="bundle.yaml"), None, "not a tar.gz"),
        (COMPONENT, _linked, "templates/link.yaml is a symbolic link"),
        (COMPONENT, _without("Chart.yaml"), "holds no Chart.yaml"),
        (COMPONENT, _with("chart/Chart.yaml", b"- a"), "is not a mapping"),
        (COMPONENT, _with("chart/Chart.yaml", b""), "is not a mapping"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: [\n"), "chart/Chart.yaml:2: not YAML"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\n"), "lacks a name or a version"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: 1.2\n"), "lacks a name or a version"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: ..\nversion: 1.2.3\n"), "lacks a name or a version"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: a/b\nversion: 1.2.3\n"), "lacks a name or a version"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: v1.2\n"), "not a semantic version"),
        (COMPONENT, _with("chart/.helmignore", b"a/**\n"), r"rule with \*\*"),
        (COMPONENT, _with("chart/big", bytes(MAX_FILE_BYTES + 1)), "exceeds the limits"),
        (changed(values={"a": 1}), _with("chart/values.yaml", b"- a"), "values.yaml is no mapping"),
        (changed(chart="a.tgz"), _with("a.tgz", tgz(entry("app/../../x"))), "leads outside"),
        (changed(chart="a.tgz"), _with("a.tgz", tgz(entry("app/values.yaml"))), "not a packed Helm chart"),
        (changed(chart="a.tgz"), _with("a.tgz", tgz(entry("Chart.yaml"))), "not a packed Helm chart"),
        (changed(chart="a.tgz"), _with("a.tgz", tgz(entry("a/Chart.yaml"), entry("b/x"))), "not a packed Helm chart"),
        (changed(images=None), None, "what images the chart runs is not known"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: 1.2.3\nNAME: b\n"), "Helm would also read NAME"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: 1.2.3\nver\xc5\xbfion: 2.0.0\n"), "also read ver"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: !!str 1.2.3\n"), "readers of YAML differ on tags"),
        (COMPONENT, _with("chart/Chart.yaml", b"name: app\nversion: 1.2.3\n---\nname: b\n"), "is not a mapping"),
        (COMPONENT, _with("chart/Chart.yaml", b'name: "app\\n"\nversion: 1.2.3\n'), "lacks a name or a version"),
        (COMPONENT, _with("chart/Chart.yaml", b'name: app\nversion: "1.2.3\\n"\n'), "not a semantic version"),
        (COMPONENT, _with("chart/requirements.yaml", b"name: b\ndependencies: []\n"), "Helm would also read name"),
        (COMPONENT, _with("chart/templates\\evil.yaml", b"a: 1\n"), "a name that is not portable"),
        (
            COMPONENT,
            _with("chart/crds/a.yaml", yaml.safe_dump(named("Pod", pod(SIDECAR)["spec"])).encode()),
            "not listed",
        ),
        (COMPONENT, _with("chart/CHART.yaml", b"a: 1\n"), "one file on some machines"),
        (COMPONENT, _with("chart/charts/sub.tgz", tgz(entry("sub/../x"))), "leads outside"),
        (COMPONENT, _with("chart/charts/sub.tgz", tgz(entry("sub/x"))), "is not a packed Helm chart"),
        (COMPONENT, _with("chart/charts/sub.tgz", tgz(entry("s/Chart.yaml"), entry("s/a\\b"))), "not portable"),
        (
            changed(chart="a.tgz"),
            _with("a.tgz", tgz(entry("app/Chart.yaml"), entry("app/a\x01b"))),
            "not portable",
        ),
    ],
)
def test_wrong_charts_are_refused(
    component: dict[str, Any], spoil: Callable[[Path], None] | None, says: str, tmp_path: Path
) -> None:
    """A refusal names the component and what is wrong with it."""
    folder = bundle(tmp_path, component)
    if spoil:
        spoil(folder)
    with pytest.raises(InvalidInputError, match=says) as caught:
        build(folder)
    assert caught.value.message.startswith("component app: ")


# --- the lock, where Helm is at hand


@needs_helm
def test_helm_reads_what_is_not_declared(tmp_path: Path) -> None:
    """With Helm nothing has to be declared."""
    packaged = build(bundle(tmp_path, changed(images=None)), packager(helm=HELM))["app"]
    assert packaged.images == (IMAGE,)
    assert packaged.workloads == (Workload("apps/v1", "Deployment", "apps", "app"),)


@needs_helm
@pytest.mark.parametrize(
    ("component", "files", "says"),
    [
        (changed(images=[SIDECAR]), {}, f"images that are not listed: {IMAGE}"),
        (
            changed(workloads=[{"kind": "Deployment", "name": "b"}]),
            {},
            "does not make what workloads: lists: Deployment b",
        ),
        (COMPONENT, {"templates/bad.yaml": b"{{ .Values.a.b.c }}"}, "helm cannot render the chart: Error: "),
        (COMPONENT, {"templates/bad.yaml": b"{{ fail `no` }}"}, "no"),
    ],
)
def test_a_declaration_that_is_wrong_is_refused(
    component: dict[str, Any], files: dict[str, bytes], says: str, tmp_path: Path
) -> None:
    """What the chart does decides, not what is said about it."""
    folder = bundle(tmp_path, component)
    write(folder / "chart", files)
    with pytest.raises(InvalidInputError) as caught:
        build(folder, packager(helm=HELM))
    assert says in caught.value.message


RUNS = f"kind: Pod\napiVersion: v1\nmetadata: {{name: x}}\nspec: {{containers: [{{name: x, image: '{SIDECAR}'}}]}}\n"
VOLUME = f"containers: []\n  volumes: [{{name: v, image: {{reference: '{SIDECAR}'}}}}]"
EVIL = {"Chart.yaml": b"apiVersion: v2\nname: sub\nversion: 1.0.0\n", "templates/x.yaml": RUNS.encode()}


def _hook(events: str) -> bytes:
    return RUNS.replace("name: x}", f"name: x, annotations: {{helm.sh/hook: '{events}'}}}}", 1).encode()


def _when(condition: str) -> bytes:
    return f"{{{{ if {condition} }}}}\n{RUNS}{{{{ end }}}}\n".encode()


@needs_helm
@pytest.mark.parametrize(
    "files",
    [
        {"templates/x.yaml": _when(".Release.IsUpgrade")},
        {"templates/x.yaml": _when("gt .Release.Revision 1")},
        {"templates/x.yaml": b"{{ with .Values }}" + _when("gt (int $.Release.Revision) 1") + b"{{ end }}"},
        {"templates/x.yaml": _when('lookup "v1" "Namespace" "" "kube-system"')},
        {"templates/x.yaml": _when('.Capabilities.APIVersions.Has "example.com/v1/Widget"')},
        {"templates/x.yaml": _when('.Capabilities.APIVersions.Has (printf "%s/v1" "example.com")')},
        {"templates/x.yaml": _when('not (.Capabilities.APIVersions.Has "policy/v1beta1")')},
        {"templates/x.yaml": _when('semverCompare ">=1.34-0" .Capabilities.KubeVersion.Version')},
        {"templates/x.yaml": _when('semverCompare "<1.31-0" .Capabilities.KubeVersion.Version')},
        {
            "templates/x.yaml": b"{{ tpl .Values.x . }}",
            "values.yaml": b"x: |\n  " + _when("gt .Release.Revision 1").replace(b"\n", b"\n  "),
        },
        {"templates/x.yaml": _hook("pre-install,test")},
        {"templates/x.yaml": _hook("post-upgrade")},
        {"templates/x.yaml": _hook("test").replace(b"annotations", b"labels: {}, annotation\xc5\xbf")},
        {"templates/x.yaml": b"---a: b\n---" + RUNS.encode()},
        {"templates/x.yaml": RUNS.replace("containers", "ephemeralContainers").encode()},
        {"templates/x.yaml": f"kind: Pod\napiVersion: v1\nmetadata: {{name: x}}\nspec:\n  {VOLUME}\n".encode()},
        {"templates/tests/x.yaml": RUNS.encode()},
        {"charts/sub.tgz": tgz(*(entry(f"sub/{name}", content) for name, content in EVIL.items()))},
        {f"charts/sub/{name}": content for name, content in EVIL.items()},
        {"crds/x.yaml": RUNS.encode()},
        {"crds/deep/x.YML": RUNS.encode()},
        {"crds/x.json": json.dumps(yaml.safe_load(RUNS)).encode()},
        {"charts/sub/crds/x.yaml": RUNS.encode(), "charts/sub/Chart.yaml": EVIL["Chart.yaml"]},
    ],
    ids=",".join,
)
def test_every_image_that_a_chart_can_run_must_be_listed(files: dict[str, bytes], tmp_path: Path) -> None:
    """Another time, another cluster, another place in the chart: what runs there is listed, or the chart is refused."""
    folder = bundle(tmp_path, COMPONENT, requires={"kubernetes": ">=1.30.0 <1.36.0"})
    write(folder / "chart", files)
    spec = packager(helm=HELM).read(folder)
    with pytest.raises(InvalidInputError, match=f"images that are not listed: {SIDECAR}"):
        packager(helm=HELM).package(folder, "platform", spec.components[0], kubernetes=spec.requires.kubernetes)


@needs_helm
def test_helm_ignores_nothing_that_is_shipped(tmp_path: Path) -> None:
    """A packed chart's .helmignore does not hide a template from the check that Flux would use."""
    files = {**CHART, ".helmignore": b"x.yaml\n", "templates/x.yaml": RUNS.encode()}
    folder = bundle(tmp_path, changed(chart="app.tgz"))
    write(folder, {"app.tgz": tgz(*(entry(f"app/{name}", content) for name, content in files.items()))})
    with pytest.raises(InvalidInputError, match=f"images that are not listed: {SIDECAR}"):
        build(folder, packager(helm=HELM))


@needs_helm
@pytest.mark.parametrize(
    "template",
    [
        _hook("test"),
        _hook(" Test , test-success"),
        b"{{ if .Release.IsUpgrade }}{{ fail `no password` }}{{ end }}",
        b"{{ with lookup `v1` `Secret` `a` `b` }}{{ index .data `x` | b64dec | required `x` }}{{ end }}",
        b"{{ if .Capabilities.APIVersions.Has `example.com/v1` }}{{ fail `too old` }}{{ end }}",
        b"{{ if not (.Capabilities.APIVersions.Has `apps/v1`) }}{{ fail `too old` }}{{ end }}",
    ],
)
def test_ordinary_charts_are_not_refused(template: bytes, tmp_path: Path) -> None:
    """Images of tests need no digest, and a chart need not render an upgrade without a cluster."""
    folder = bundle(tmp_path)
    write(folder / "chart", {"templates/x.yaml": template})
    assert build(folder, packager(helm=HELM))["app"].images == (IMAGE,)


@needs_helm
def test_a_chart_for_another_kubernetes_is_refused(tmp_path: Path) -> None:
    """What the release allows is what the chart must take."""
    folder = bundle(tmp_path)
    write(folder / "chart", {"Chart.yaml": CHART["Chart.yaml"] + b"kubeVersion: '>=1.33.0-0'\n"})
    component = packager().read(folder).components[0]
    with pytest.raises(InvalidInputError, match=r"incompatible with Kubernetes v1\.32\.0"):
        packager(helm=HELM).package(folder, "platform", component, kubernetes=VersionRange(">=1.32"))


@needs_helm
def test_an_image_may_be_declared_that_no_template_names(tmp_path: Path) -> None:
    """A controller may start images of its own, which only its author knows."""
    packaged = build(bundle(tmp_path, changed(images=[SIDECAR, IMAGE])), packager(helm=HELM))["app"]
    assert packaged.images == tuple(sorted((IMAGE, SIDECAR)))


def test_helm_is_asked_about_this_release(tmp_path: Path) -> None:
    """The rendering is that of the release name and namespace, and sees nothing of this user's settings."""
    asked = tmp_path / "asked"
    helm = script(tmp_path, f'echo "$*" >>{asked}; echo "$HOME" >>{asked}')
    component = changed(releaseName="release")
    build(bundle(tmp_path, component), packager(helm=helm))
    installed, home, upgraded, other = asked.read_text(encoding="utf-8").splitlines()
    assert installed == f"template release {home}/chart.tgz --namespace apps"
    assert upgraded == f"template release {other}/chart.tgz --namespace apps --is-upgrade"
    assert os.environ.get("HOME") not in {home, other}
    assert not Path(home).exists()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo no >&2; exit 1", "helm cannot render the chart: no"),
        ("while :; do echo '# flood'; done", "renders to more than"),
        ("exec sleep 60", "still rendering the chart"),
        ("echo 'a: ['", "rendering of app:2: not YAML"),
        ("echo 'kind: Deployment'", "a Deployment lacks apiVersion or metadata.name"),
    ],
)
def test_a_helm_that_fails_is_no_success(body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rendering that breaks, floods or never ends is an error with a reason."""
    monkeypatch.setattr(_helm, "TIMEOUT_SECONDS", 1 if "sleep" in body else 60)
    with pytest.raises(InvalidInputError) as caught:
        build(bundle(tmp_path, changed(images=None)), packager(helm=script(tmp_path, body)))
    assert says in caught.value.message


# --- manifests

MANIFESTS = {"name": "agent", "manifests": "manifests", "version": "0.9.0", "namespace": "agents"}


def manifests(folder: Path, *documents: object, **fields: object) -> Path:
    """Write a bundle of one component of manifests."""
    component = {**MANIFESTS, **fields}
    write(folder, {"manifests/all.yaml": yaml.safe_dump_all(documents).encode()})
    return _only(folder, component)


def test_manifests_become_a_flux_artifact(tmp_path: Path) -> None:
    """Config, layer and annotations are those that Flux reads."""
    packaged = build(manifests(tmp_path, DEPLOYMENT))["agent"]
    manifest = json.loads(packaged.artifact.manifest)
    config, layer = packaged.artifact.blobs
    assert (config.descriptor.media_type, layer.descriptor.media_type) == (FLUX_CONFIG, FLUX_CONTENT)
    assert manifest["annotations"] == {
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.revision": "0.9.0",
        "org.opencontainers.image.source": "ums:platform/agent",
        "org.opencontainers.image.version": "0.9.0",
    }
    assert set(files_of(packaged)) == {"all.yaml", "kustomization.yaml"}
    assert (packaged.images, str(packaged.version)) == ((IMAGE,), "0.9.0")
    assert packaged.workloads == (Workload("apps/v1", "Deployment", "agents", "app"),)


@pytest.mark.parametrize(
    ("document", "images", "workloads"),
    [
        (named("StatefulSet", {"template": pod(IMAGE, SIDECAR)}), {IMAGE, SIDECAR}, {"StatefulSet agents"}),
        (named("DaemonSet", {"template": pod(IMAGE)}, namespace="other"), {IMAGE}, {"DaemonSet other"}),
        (named("Deployment", {"template": pod(IMAGE, kind="initContainers")}), {IMAGE}, {"Deployment agents"}),
        (named("Pod", pod(IMAGE, kind="ephemeralContainers")["spec"]), {IMAGE}, set()),
        (named("CronJob", {"jobTemplate": {"spec": {"template": pod(IMAGE)}}}), {IMAGE}, set()),
        (named("Rollout", {"template": pod(IMAGE)}), {IMAGE}, set()),
        (named("Job", {"template": pod(IMAGE)}), {IMAGE}, {"Job agents"}),
        (named("Job", {"template": pod(IMAGE), "ttlSecondsAfterFinished": 60}), {IMAGE}, set()),
        (named("Job", {"template": pod(IMAGE)}, annotations={"helm.sh/hook": "x"}), {IMAGE}, set()),
        ({"kind": "List", "items": [DEPLOYMENT]}, {IMAGE}, {"Deployment agents"}),
        ({**named("CustomResourceDefinition", pod(IMAGE)), "apiVersion": "apiextensions.k8s.io/v1"}, set(), set()),
        (named("CustomResourceDefinition", {"template": pod(IMAGE)}), {IMAGE}, set()),
        (named("Pod", {"volumes": [{"name": "v", "image": {"reference": IMAGE}}]}), {IMAGE}, set()),
        (named("Plan", {"initContainers": [{"image": IMAGE}]}), {IMAGE}, set()),
        (named("Pod", pod(IMAGE)["spec"], annotations={"helm.sh/hook": "test"}), {IMAGE}, set()),
        ({"kind": "PodList", "items": [{"kind": "List", "items": [DEPLOYMENT]}]}, {IMAGE}, {"Deployment agents"}),
        ({**named("ConfigMap", None), "data": {"image": IMAGE}}, set(), set()),
    ],
)
def test_images_and_workloads_are_read_off_manifests(
    document: dict[str, Any], images: set[str], workloads: set[str], tmp_path: Path
) -> None:
    """Every container of every kind counts; what stays and can be waited for is watched."""
    packaged = build(manifests(tmp_path, document))["agent"]
    assert set(packaged.images) == images
    assert {f"{each.kind} {each.namespace}" for each in packaged.workloads} == workloads


def test_declared_images_are_added_to_those_found(tmp_path: Path) -> None:
    """An operator's images, which no manifest names, can be locked too."""
    packaged = build(manifests(tmp_path, DEPLOYMENT, images=[SIDECAR]))["agent"]
    assert packaged.images == tuple(sorted((IMAGE, SIDECAR)))


def test_declared_workloads_stand_for_those_found(tmp_path: Path) -> None:
    """Who declares workloads says which of them matter."""
    packaged = build(manifests(tmp_path, DEPLOYMENT, workloads=[{"kind": "Deployment", "name": "other"}]))["agent"]
    assert [each.name for each in packaged.workloads] == ["other"]


def _labelled(annotations: str) -> bytes:
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a, annotations: {annotations}}}\n".encode()


SMUGGLED = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: a}}
data:
  a: "x
---# another document to kyaml, which ignores the quotes
apiVersion: v1
kind: Pod
metadata: {{name: b}}
spec: {{containers: [{{name: b, image: {SIDECAR}}}]}}
---#"
"""


def test_only_what_was_checked_is_shipped(tmp_path: Path) -> None:
    """The layer holds the objects that were read, each in one form, and no other file."""
    folder = manifests(tmp_path, DEPLOYMENT)
    more = b"# Comments are lost.\n'kind': ConfigMap\napiVersion: v1\nmetadata: {name: on-off}\ndata:\n"
    more += b"  x: 'on'\n  y1: \"\\x6f\"\n"
    write(
        folder,
        {"manifests/sub/b.yml": more, "manifests/README.md": b"x", "manifests/x.YAML": b"x", "manifests/c.yaml": b"#"},
    )
    shipped = files_of(build(folder)["agent"])
    assert set(shipped) == {"all.yaml", "sub/b.yml", "kustomization.yaml"}
    assert json.loads(shipped["all.yaml"]) == DEPLOYMENT
    assert shipped["sub/b.yml"].decode() == (
        '{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n  "metadata": {\n    "name": "on-off"\n  },\n'
        '  "data": {\n    "x": "on",\n    "y1": "o"\n  }\n}\n'
    )


def test_a_document_that_only_flux_finds_is_refused(tmp_path: Path) -> None:
    """PyYAML reads one ConfigMap here. Flux would run the image that is in its text."""
    assert [each["kind"] for each in yaml.safe_load_all(SMUGGLED)] == ["ConfigMap"]
    write(tmp_path, {"manifests/a.yaml": SMUGGLED.encode()})
    with pytest.raises(InvalidInputError, match=r"a\.yaml:6: Flux and Helm begin another document at this line"):
        build(_only(tmp_path, MANIFESTS))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"manifests/readme.md": b"x"}, "holds no manifests"),
        ({"manifests/a.yaml": b"# nothing\n"}, "holds no manifests"),
        ({"manifests/a.yaml": b"- a\n"}, "is not a mapping"),
        ({"manifests/a.yaml": b"a: [\n"}, "manifests/a.yaml:2: not YAML"),
        (
            {"manifests/a.yaml": b"kind: Deployment\nmetadata: {generateName: x}\n"},
            "lacks apiVersion, kind or metadata",
        ),
        ({"manifests/a.yaml": b"kind: Job\nmetadata: x\n"}, "lacks apiVersion, kind or metadata"),
        ({"manifests/deep/kustomization.yaml": b"images: []\n"}, "changes the manifests after they were signed"),
        ({"manifests/Kustomization": b"images: []\n"}, "changes the manifests after they were signed"),
        ({"manifests/.sourceignore": b"*\n"}, "changes the manifests after they were signed"),
        ({"manifests/a\\b.yaml": b"a: 1\n"}, "a name that is not portable"),
        ({"manifests/a.yaml": b"a: 1\n---\nb: !!binary aW1n\n"}, "manifests/a.yaml:3: readers of YAML differ on tags"),
        (
            {"manifests/a.yaml": b"apiVersion: kustomize.config.k8s.io/v1\nkind: Component\nmetadata: {name: a}\n"},
            "Component a is for kustomize",
        ),
        ({"manifests/a.yaml": _labelled("{a: null}")}, "Pod a has a: None, which is not text"),
        ({"manifests/a.yaml": _labelled("[a]")}, "which is not text"),
        ({"manifests/a.yaml": _labelled("{config.kubernetes.io/local-config: 'true'}")}, "kustomize changes objects"),
        ({"manifests/a.yaml": _labelled("{internal.config.kubernetes.io/x: ''}")}, "kustomize changes objects"),
        (
            {"manifests/a.yaml": b"apiVersion: v1\nkind: Pod\nmetadata: {name: ''}\n"},
            "has an empty apiVersion, kind or",
        ),
        (
            {"manifests/a.yaml": _labelled("{}") + b"spec: {containers: [{image: 1}]}\n"},
            "an image is 1, which is not text",
        ),
        ({"manifests": b"a file"}, "is not a folder"),
        ({}, "manifests does not exist"),
    ],
)
def test_wrong_manifests_are_refused(files: dict[str, bytes], says: str, tmp_path: Path) -> None:
    """A refusal names the component and what is wrong with it."""
    write(tmp_path, files)
    with pytest.raises(InvalidInputError, match=says) as caught:
        build(_only(tmp_path, MANIFESTS))
    assert caught.value.message.startswith("component agent: ")
