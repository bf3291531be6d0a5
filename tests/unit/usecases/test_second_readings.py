"""A signed manifest that Go reads otherwise than UMS: Flux would fetch what UMS never looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.usecases.stage import PREFIX, Stage
from ums.adapters.trust_folder import write_trust_folder
from ums.domain.artifact import Artifact, Blob
from ums.domain.errors import IntegrityError, InvalidInputError
from ums.domain.oci import FLUX_CONTENT, MANIFEST, RELEASE, Descriptor, Document
from ums.domain.release import Component
from ums.domain.trusting import COMPONENT, newest_trust, render_trust, trust_version
from ums.domain.version import Version
from ums.usecases import verify
from ums.usecases.build import Built
from ums.usecases.publish import Publish

EVIL = Blob.of(b"evil", FLUX_CONTENT)
Change = Callable[[bytes], bytes]


def added(name: str, value: object) -> Change:
    """Add a member behind all others; its name is JSON text, so that it may hold escapes."""
    return lambda content: content[:-1] + f',"{name}":{json.dumps(value)}}}'.encode()


def replaced(before: str, after: str) -> Change:
    """Replace the first occurrence of a text."""

    def change(content: bytes) -> bytes:
        assert before.encode() in content
        return content.replace(before.encode(), after.encode(), 1)

    return change


EVIL_LAYERS = [EVIL.descriptor.to_dict()]
CHANGES: dict[str, Change] = {
    "another case": added("Layers", EVIL_LAYERS),
    "long s": added("layer\u017f", EVIL_LAYERS),
    "long s, escaped": added("layer\\u017f", EVIL_LAYERS),
    "Kelvin sign, in a member that is not there": added("\u212aind", "x"),
    "twice": added("layers", EVIL_LAYERS),
    "twice, escaped": added("\\u006cayers", EVIL_LAYERS),
    "another case of a descriptor's digest": replaced('"digest":"', f'"Digest":"{EVIL.descriptor.digest}","digest":"'),
    "case of a subject": added("Subject", EVIL.descriptor.to_dict()),
    "index as well": added("manifests", EVIL_LAYERS),
    "index as well, in another case": added("Manifests", EVIL_LAYERS),
    "unknown member": added("comment", "x"),
    "layer with addresses": replaced('"layers":[{', '"layers":[{"urls":["https://example.com/evil"],'),
    "layer with content": replaced('"layers":[{', '"layers":[{"data":"ZXZpbA==",'),
    "two layers": replaced('"layers":[', f'"layers":[{json.dumps(EVIL.descriptor.to_dict())},'),
    "another order": lambda content: json.dumps(dict(reversed(json.loads(content).items()))).encode(),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "space": lambda content: b" " + content,
    "another annotation": replaced('"annotations":{', '"annotations":{"a":"b",'),
    "an annotation of another type": replaced('"annotations":{', '"annotations":{"a":null,'),
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service and a publisher, who has a release key."""
    return Stage(tmp_path)


def changed_trust(stage: Stage, change: Change) -> Built:
    """Return a release of bundle trust whose manifest of keys and guard is changed, but for which all is right."""
    world = stage.world()
    folder = stage.folder / "trust"
    write_trust_folder(folder, render_trust(world.trust.trusted, world.settings, 1), version="1.0.0", notes="")
    built = stage.build(folder, trust_version(1))
    guard = built.components[COMPONENT]
    manifest = change(guard.manifest)
    made = Artifact(Descriptor.of(manifest, MANIFEST), manifest, (*guard.blobs, EVIL))
    release = replace(built.release, components=(replace(built.release.components[0], digest=made.descriptor.digest),))
    return replace(built, release=release, artifact=release.to_artifact(""), components={COMPONENT: made})


def publish(stage: Stage, built: Built) -> None:
    """Push, sign and register a release with the release key."""
    Publish(stage.registry, stage.keys["release"], stage.verify, stage.registrar)(built, PREFIX)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_component_with_a_second_reading_is_not_let_in(stage: Stage, change: Change) -> None:
    """Although the release key signed it, and what UMS reads of it is right."""
    with pytest.raises(IntegrityError, match="is not a component as UMS makes it"):
        publish(stage, changed_trust(stage, change))
    assert newest_trust(stage.world()) is None


def test_without_the_strict_reader_it_is_let_in(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence is the strict reader: with Python's own, the attacker's layer enters the catalog beside ours."""

    def read(_component: Component, content: bytes) -> Document:
        data = json.loads(content)
        config, layers = Descriptor.from_dict(data["config"]), map(Descriptor.from_dict, data["layers"])
        return Document(MANIFEST, config, tuple(layers), annotations=data["annotations"])

    monkeypatch.setattr(verify, "read_component_manifest", read)
    publish(stage, changed_trust(stage, CHANGES["another case"]))
    assert newest_trust(stage.world()) == Version("1.0.0")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_release_with_a_second_reading_is_not_let_in(stage: Stage, change: Change) -> None:
    """The same for the manifest of the release itself."""
    built = stage.build(stage.write_bundle({"cilium": "1.0.0"}), Version("1.0.0"))
    manifest = change(built.artifact.manifest)
    blobs = (*built.artifact.blobs, EVIL)
    tampered = replace(built, artifact=Artifact(Descriptor.of(manifest, MANIFEST), manifest, blobs))
    with pytest.raises(InvalidInputError, match="holds no UMS release"):
        publish(stage, tampered)
    assert not stage.world().catalog


@pytest.mark.parametrize(
    "change",
    [
        added("Components", []),
        added("new", 1),
        replaced('"images":[', '"images":[1,null,'),
        replaced('"fixes":[', '"fixes":[null'),
        replaced('"irreversible":false', '"irreversible":"no"'),
        replaced('"timeoutSeconds":120', '"timeoutSeconds":1e308'),
        replaced('"timeoutSeconds":120', '"timeoutSeconds":99999999999999999999'),
        replaced('"schema":1', '"schema":1.0'),
        lambda content: content + b"\n",
    ],
)
def test_a_release_of_odd_types_is_not_let_in(stage: Stage, change: Change) -> None:
    """It would be read again at every decision, at every answer and at every collection of garbage."""
    built = stage.build(stage.write_bundle({"cilium": "1.0.0"}), Version("1.0.0"))
    layer = Blob.of(change(built.release.to_bytes()), RELEASE)
    artifact = Artifact.assemble(
        config=built.artifact.blobs[0],
        layers=(layer,),
        artifact_type=RELEASE,
        annotations=json.loads(built.artifact.manifest)["annotations"],
    )
    with pytest.raises(InvalidInputError, match=r"not a release manifest|holds no UMS release"):
        publish(stage, replace(built, artifact=artifact))
    assert not stage.world().catalog
