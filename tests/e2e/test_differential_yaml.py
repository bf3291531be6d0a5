"""What Flux and Helm read is what UMS checked: thousands of changed manifests and renderings, read by Go as well.

Go reads with what is in kustomize-controller, Helm and helm-controller (``tools/differential``).
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doubles.memory_registry import MemoryRegistry
from tests.e2e.toolchain import tool
from tests.e2e.yaml_mutations import folder, rendering
from ums.adapters._archive import unpack
from ums.adapters._objects import read_objects, write_objects
from ums.adapters.bundle_folder import BundleFolder
from ums.domain.bundle import ComponentKind, ComponentSpec
from ums.domain.errors import InvalidInputError
from ums.domain.packaging import images_of
from ums.domain.version import Version

FOLDERS, RENDERINGS, UNDEFENDED = 10_000, 10_000, 2_000
COMPONENT = ComponentSpec("app", ComponentKind.MANIFESTS, "m", "apps", Version("1.0.0"))
PLACEMENT = "kustomization.yaml"
PACKAGER = BundleFolder(registry=MemoryRegistry(), helm=None)


def readings(mode: str, documents: Iterable[bytes]) -> Iterator[Any]:
    """Yield what Go reads in each document."""
    lines = b"\n".join(map(base64.b64encode, documents))
    done = subprocess.run([tool("differential"), mode], input=lines, capture_output=True, timeout=1800, check=True)
    return map(json.loads, done.stdout.splitlines())


def in_go(files: Mapping[str, bytes]) -> bytes:
    """Return a folder as the Go program takes it."""
    return json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}).encode()


def sorted_objects(objects: Iterable[Any]) -> list[str]:
    """Return objects to be compared: their order is Flux's choice, and the form of a number is JSON's.

    kustomize leaves out metadata, labels and annotations that are empty.
    """
    return sorted(json.dumps(_without_empty(_plain(each)), sort_keys=True, default=str) for each in objects)


def _without_empty(item: Any) -> Any:  # noqa: ANN401 - any JSON value
    match item:
        case {"metadata": None, **rest}:
            return rest
        case {"metadata": dict(metadata)}:
            empty = {name for name in ("labels", "annotations") if not metadata.get(name)}
            return {**item, "metadata": {key: value for key, value in metadata.items() if key not in empty}}
    return item


def _without_blanks(text: str) -> str:
    return re.sub(r"(?:\\n)+", "\\n", text)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def items(objects: Iterable[Any]) -> Iterator[Any]:
    """Yield objects, those of lists one by one."""
    for each in objects:
        if isinstance(each, dict) and str(each.get("kind")).endswith("List") and "items" in each:
            yield from items(each["items"] or ())
        else:
            yield each


def images(objects: Iterable[Any]) -> set[str]:
    """Return the images of objects, or nothing where they cannot be told."""
    try:
        return set(images_of(each for each in items(objects) if isinstance(each, dict)))
    except InvalidInputError:
        return set()


def build(root: Path, files: Mapping[str, bytes]) -> tuple[dict[str, bytes], set[str]]:
    """Return what is shipped of a folder, and the images that were found in it.

    Raises:
        InvalidInputError: it is refused.

    """
    for name, content in files.items():
        path = root / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    packaged = PACKAGER.package(root, "platform", COMPONENT)
    layer = packaged.artifact.blobs[1].content
    assert isinstance(layer, bytes)
    shipped = unpack(layer, "layer")
    # The namespace that kustomize gives to objects is the component's. Without it the readings can be compared.
    (placement,) = read_objects(shipped[PLACEMENT], PLACEMENT)
    assert placement.pop("namespace") == COMPONENT.namespace
    return {**shipped, PLACEMENT: write_objects([placement])}, set(packaged.images)


def test_what_flux_reads_of_a_component_is_what_was_checked(tmp_path: Path) -> None:
    """Of 10,000 changed folders each is refused, or Flux reads the objects and images of it that UMS read."""
    shipped: list[tuple[int, dict[str, bytes], set[str], list[Any]]] = []
    outcomes: Counter[str] = Counter()
    for seed in range(FOLDERS):
        files = folder(seed)
        try:
            content, found = build(tmp_path / str(seed), files)
        except InvalidInputError:
            outcomes["refused"] += 1
            continue
        names = sorted(content.keys() - {PLACEMENT})
        checked = [each for name in names for each in read_objects(files[name], name, max_bytes=1 << 22)]
        shipped.append((seed, content, found, checked))
    for (seed, _, found, checked), go in zip(
        shipped, readings("kyaml", (in_go(content) for _, content, _, _ in shipped)), strict=True
    ):
        outcomes["applied" if "value" in go else "refused by Flux"] += 1
        if "value" in go:
            assert sorted_objects(go["value"]) == sorted_objects(checked), folder(seed)
            assert images(go["value"]) == found, folder(seed)
    print(dict(outcomes))
    assert sum(outcomes.values()) == FOLDERS
    assert outcomes["applied"] > FOLDERS * 0.25
    assert outcomes["refused"] > FOLDERS * 0.2


def test_what_helm_and_flux_read_of_a_rendering_is_what_was_checked() -> None:
    """Of 10,000 changed renderings each is refused, or Helm and kyaml read the objects of it that UMS read."""
    accepted: list[tuple[bytes, list[Any]]] = []
    for seed in range(RENDERINGS):
        text = rendering(seed)
        try:
            accepted.append((text, read_objects(text, "rendering")))
        except InvalidInputError:
            continue
    both = 0
    for (text, checked), go in zip(accepted, readings("rendering", (text for text, _ in accepted)), strict=True):
        if "value" in go["helm"]:
            assert sorted_objects(items(go["helm"]["value"])) == sorted_objects(checked), text.decode()
        if "value" in go["kyaml"]:
            # To folded text with indented lines kyaml adds empty lines, since it writes and reads it once more.
            found, expected = sorted_objects(items(go["kyaml"]["value"])), sorted_objects(checked)
            assert list(map(_without_blanks, found)) == list(map(_without_blanks, expected)), text.decode()
        if "value" in go["rewritten"]:
            assert images(go["rewritten"]["value"]) == images(checked), text.decode()
        both += "value" in go["helm"] and "value" in go["kyaml"]
    print(f"{len(accepted)} of {RENDERINGS} accepted, {both} by all")
    assert both > RENDERINGS * 0.3
    assert len(accepted) < RENDERINGS * 0.8


def as_pyyaml_reads(files: Mapping[str, bytes]) -> list[Any]:
    """Return the objects in a folder by PyYAML's own rules.

    Raises:
        yaml.YAMLError: a file is no YAML.
        ValueError: a file has a value that Python has not.

    """
    return [
        document
        for name, content in sorted(files.items())
        if name.endswith((".yaml", ".yml"))
        for document in yaml.load_all(content, Loader=yaml.CSafeLoader)
    ]


@pytest.mark.parametrize("what", ["folders", "renderings"])
def test_without_the_strict_reader_other_images_run(what: str) -> None:
    """The defence off: what was checked is shipped as it was written, and Go finds images that the check did not."""
    folders = [folder(seed) for seed in range(UNDEFENDED)]
    if what == "renderings":
        folders = [{"a.yaml": rendering(seed)} for seed in range(UNDEFENDED)]
    checked: list[tuple[dict[str, bytes], list[Any]]] = []
    for files in folders:
        try:
            checked.append((files, as_pyyaml_reads(files)))
        except (yaml.YAMLError, ValueError, TypeError):
            continue
    if what == "folders":
        read = [go.get("value") for go in readings("kyaml", (in_go(files) for files, _ in checked))]
    else:
        read = [go["kyaml"].get("value") for go in readings("rendering", (files["a.yaml"] for files, _ in checked))]
    differing = unseen = 0
    for (_, before), go in zip(checked, read, strict=True):
        if go is not None:
            differing += sorted_objects(items(before)) != sorted_objects(items(go))
            unseen += not images(go) <= images(before)
    print(f"{differing} of {len(checked)} read differently, {unseen} with images that were not seen")
    assert differing > UNDEFENDED * 0.01
    assert unseen > 0
